"""The document that ``/status`` shows while Execution trades."""

from __future__ import annotations

import statistics

from titan.execution.session import TradingSession


def session_status(session: TradingSession) -> dict[str, object]:
    """Return market, posture, lease, truth, orders, equity, journal, tables and the order path's durations."""
    equity, truth, tables = session.valuer.equity, session.reconciler.truth, session.projector
    posture, journal = session.posture, session.store.journal
    return {
        "market": session.feed.label,
        "market_time_ns": session.now_ns,
        "posture": {
            "in_force": posture.in_force.name,
            "latch": posture.latch.posture.name,
            "why": posture.cause,
            "venue_problem": posture.venue_problem or None,
        },
        "lease": {"term": session.lease.term, "held": session.sender.may_send(), "problem": session.lease.problem},
        "truth": {"known": truth.known, "score": truth.score if truth.known else None, "passes": truth.passes},
        "venue_connected": session.venue.connected,
        "brain_connected": session.brain.connected,
        "orders": session.queries.counts(),
        "equity": str(equity.equity) if equity.known else None,
        "equity_unknown_because": equity.reason or None,
        "ledger_balanced": session.store.account.ledger.balanced,
        "journal": {
            "sequence": journal.last_sequence,
            "synced": journal.synced_sequence,
            "syncs": journal.syncs,
            "problem": journal.failed or journal.space_problem,
        },
        "tables": {
            "lag": tables.lag,
            "problem": tables.problem.message if tables.problem else "",
        },
        "place_ns": _durations(session),
    }


def _durations(session: TradingSession) -> dict[str, int | None]:
    durations = sorted(duration for _, duration in session.intake.durations_ns)
    return {
        "count": len(durations),
        "p50": int(statistics.median(durations)) if durations else None,
        "p99": durations[int(0.99 * (len(durations) - 1))] if durations else None,
    }
