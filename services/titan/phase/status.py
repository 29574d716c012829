"""Render a phase's ``/status`` page."""

from __future__ import annotations

from titan.domain.numbers import format_decimal
from titan.phase.brain_client import BrainClient
from titan.runtime.market_feed import MarketFeed
from titan.strategies.base import Strategy


def status_page(
    brain: BrainClient, feed: MarketFeed, strategy: Strategy, policy_hash: str, budget_left_s: float
) -> dict[str, object]:
    """Render levels, traps, position, budget, posture and the last decision; null where unknown."""
    posture, budget, decision = brain.posture, brain.budget, brain.last_decision
    return {
        "phase": brain.phase_id,
        "strategy": strategy.name,
        "policy_hash": policy_hash,
        "market": {
            "label": feed.label or None,
            "connected": feed.connected,
            "lockstep": feed.lockstep,
            "step": feed.last_step,
            "market_time_ns": feed.clock.now_ns or None,
            "ended": feed.ended,
        },
        "brain": {"connected": brain.connected, "policy_hash": posture.policy_hash if posture else None},
        "posture": posture.in_force.name if posture else None,
        "opening": brain.permission.reason if feed.clock.now_ns >= brain.permission.opening_until_ns else "permitted",
        "budget": None
        if budget is None
        else {
            "budget_id": budget.budget_id,
            "state": budget.state.name,
            "max_notional": format_decimal(budget.max_notional),
            "allocation": format_decimal(budget.allocation),
            "expires_in_s": round(budget_left_s, 3),
            "reason": budget.reason,
        },
        "undecided_intents": list(brain.undecided),
        "last_decision": None
        if decision is None
        else {
            "intent_id": decision.intent_id,
            "approved": decision.approved,
            "reason": decision.reason.name,
            "message": decision.message,
        },
        **strategy.status(),
    }
