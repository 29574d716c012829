"""What Brain's ``/status`` shows: names for people, unknown as null."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from titan.domain.equity import Equity
from titan.domain.numbers import format_decimal
from titan.domain.reasons import Reason
from titan.v1 import brain_pb2 as b

if TYPE_CHECKING:
    from titan.brain.app import BrainApp
    from titan.runtime.http import Page

# What `/decisions` shows: it is read through proxies, and a hundred with all their guards are some 200 KB.
_SHOWN = 100


def brain_status(app: BrainApp) -> dict[str, object]:
    """The page as a JSON object."""
    risk_state, governor, feed = app.risk_state, app.governor, app.feed
    posture = governor.state
    last = app.decider.last
    unknown = app.earlier_life.problem
    return {
        "market": {
            "label": feed.label or None,
            "connected": feed.connected,
            "lockstep": feed.lockstep,
            "step": feed.last_step,
            "market_time_ns": app.now_ns() or None,
            "ended": feed.ended,
        },
        "mode": risk_state.limits.mode,
        "policy_hash": app.policy.hash,
        "term": app.term,
        "posture": {
            "in_force": posture.in_force.name,
            "reason": posture.reason,
            "ceiling": posture.ceiling.name,
            "latch": posture.latch.name,
            "latch_never_set": posture.latch_never_set,
            "risk_level": posture.risk_level.name,
        },
        "equity": _equity(risk_state.equity),
        "truth": {"score": risk_state.truth.score, "unresolved": risk_state.truth.unresolved}
        if risk_state.truth.known
        else None,
        "execution": {
            "connected": app.execution.connected,
            "policy_hash": risk_state.execution_hash or None,
            "unanswered": len(app.execution.pending),
        },
        "exposure": {
            "gross_notional": _shown(risk_state.gross_notional),
            "reserved_worst_case": _shown(risk_state.worst_case),
            "entries_in_flight": len(risk_state.reservations.entries),
            "exits_in_flight": len(risk_state.reservations.exits),
        },
        "phases": {
            seat.phase_id: {
                "connected": seat.stream is not None,
                "policy_hash": seat.policy_hash or None,
                "intents": seat.intents,
                "approved": seat.approved,
                "budget": _budget(app, seat.phase_id),
            }
            for seat in app.phases.seats.values()
        },
        "positions": {symbol: _shown(held.net) for symbol, held in risk_state.symbols.items() if held.net},
        "intents": app.decider.intents,
        "decisions": {Reason(reason).name: count for reason, count in sorted(app.decider.counts.items())},
        "last_decision": None
        if last is None
        else {"intent_id": last.intent_id, "approved": last.approved, "message": last.message},
        "decisions_unsaved": app.store.unsaved + app.store.dropped,
        "database": unknown.said if unknown else app.store.problem or "ok",
    }


def decisions_page(newest: Sequence[b.Decision]) -> Page:
    """The latest decisions, newest first, as the JSON of ``ListDecisionsResponse``."""
    # Only who reads the page pays for the module.
    from google.protobuf.json_format import MessageToJson

    response = b.ListDecisionsResponse(decisions=newest[:_SHOWN])
    text = MessageToJson(response, preserving_proto_field_name=True, indent=None)
    return HTTPStatus.OK, "application/json", text.encode() + b"\n"


def _equity(equity: Equity) -> dict[str, object] | None:
    if not equity.known:
        return None
    return {
        "equity": _shown(equity.equity),
        "realized_pnl": _shown(equity.realized_pnl),
        "unrealized_pnl": _shown(equity.unrealized_pnl),
        "fees": _shown(equity.fees),
        "drawdown": _shown(equity.drawdown),
    }


def _budget(app: BrainApp, phase_id: str) -> dict[str, object] | None:
    budget = app.risk_state.phases[phase_id].budget
    if budget is None:
        return None
    return {
        "state": budget.state.name,
        "reason": budget.reason,
        "max_notional": format_decimal(budget.max_notional),
        "used_notional": _shown(app.risk_state.phases[phase_id].used_notional),
        "expired": budget.expired(app.now_ns()),
    }


def _shown(value: object) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")
