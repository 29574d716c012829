"""Render Brain's pages: ``/status`` with names for people and null for unknown, and ``/decisions``."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from titan.brain.snapshot import BrainSnapshot, PhaseSnapshot
from titan.domain.equity import Equity
from titan.domain.numbers import format_decimal
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MS
from titan.v1 import brain_pb2 as b

if TYPE_CHECKING:
    from titan.runtime.http import Page

# The page is read through proxies, and a hundred decisions with all their guards are some 200 KB.
_MAX_DECISIONS = 100


def status_page(snapshot: BrainSnapshot) -> dict[str, object]:
    """Render the snapshot as a JSON object."""
    market, posture, last = snapshot.market, snapshot.posture, snapshot.last_decision
    return {
        "market": {
            "label": market.label or None,
            "connected": market.connected,
            "lockstep": market.lockstep,
            "step": market.step,
            "market_time_ns": market.market_time_ns or None,
            "ended": market.ended,
        },
        "mode": snapshot.mode,
        "policy_hash": snapshot.policy_hash,
        "not_enforced": list(snapshot.not_enforced),
        "term": snapshot.term,
        "posture": {
            "in_force": posture.in_force.name,
            "reason": posture.reason,
            "ceiling": posture.ceiling.name,
            "latch": posture.latch.name,
            "latch_never_set": posture.latch_never_set,
            "risk_level": posture.risk_level.name,
        },
        "equity": _equity(snapshot.equity),
        "equity_age_ms": max(0, market.market_time_ns - snapshot.equity_as_of_ns) // NS_PER_MS
        if snapshot.equity_as_of_ns
        else None,
        "truth": {"score": snapshot.truth.score, "unresolved": snapshot.truth.unresolved}
        if snapshot.truth.known
        else None,
        "execution": {
            "connected": snapshot.execution_connected,
            "policy_hash": snapshot.execution_policy_hash or None,
            "unanswered": snapshot.unanswered,
        },
        "exposure": {
            "gross_notional": _fixed(snapshot.gross_notional),
            "reserved_worst_case": _fixed(snapshot.worst_case),
            "entries_in_flight": snapshot.entries_in_flight,
            "exits_in_flight": snapshot.exits_in_flight,
        },
        "phases": {
            phase.phase_id: {
                "connected": phase.connected,
                "policy_hash": phase.policy_hash or None,
                "intents": phase.intents,
                "approved": phase.approved,
                "budget": _budget(phase),
            }
            for phase in snapshot.phases
        },
        "positions": {position.symbol: _fixed(position.quantity) for position in snapshot.positions},
        "intents": snapshot.intents,
        "decisions": {Reason(reason).name: count for reason, count in snapshot.decisions},
        "last_decision": None
        if last is None
        else {"intent_id": last.intent_id, "approved": last.approved, "message": last.message},
        "decisions_unsaved": snapshot.decisions_unsaved,
        "database": snapshot.database_problem or "ok",
    }


def decisions_page(newest: Sequence[b.Decision]) -> Page:
    """Render the latest decisions, newest first, as the JSON of ``ListDecisionsResponse``."""
    # Imported with the first reader: the module is large.
    from google.protobuf.json_format import MessageToJson

    response = b.ListDecisionsResponse(decisions=newest[:_MAX_DECISIONS])
    text = MessageToJson(response, preserving_proto_field_name=True, indent=None)
    return HTTPStatus.OK, "application/json", text.encode() + b"\n"


def _equity(equity: Equity) -> dict[str, object] | None:
    if not equity.known:
        return None
    return {
        "equity": _fixed(equity.equity),
        "confirmed_equity": _fixed(equity.confirmed_equity),
        "oldest_price_ns": equity.oldest_mark_ns or None,
        "net_deposits": _fixed(equity.net_deposits),
        "realized_pnl": _fixed(equity.realized_pnl),
        "unrealized_pnl": _fixed(equity.unrealized_pnl),
        "fees": _fixed(equity.fees),
        "drawdown": _fixed(equity.drawdown),
    }


def _budget(phase: PhaseSnapshot) -> dict[str, object] | None:
    budget = phase.budget
    if budget is None:
        return None
    return {
        "state": budget.state.name,
        "reason": budget.reason,
        "max_notional": format_decimal(budget.max_notional),
        "used_notional": _fixed(phase.used_notional),
        "expired": phase.budget_expired,
        "modifier": format_decimal(budget.modifier),
        "modifier_reason": budget.modifier_reason,
    }


def _fixed(value: object) -> str:
    """At most eight places, without trailing zeros."""
    return f"{value:.8f}".rstrip("0").rstrip(".")
