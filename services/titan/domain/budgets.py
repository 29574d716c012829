"""A budget: the expiring grant of Brain to a phase; and the posture with where it comes from."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.kinds import BudgetState, Posture, RiskLevel


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring grant.

    ``max_notional``, ``max_drawdown`` and ``allocation`` (equity times ``weight``) in quote units; ``weight`` a
    fraction; ``max_leverage`` a multiple of the allocation; ``expires_at_ns`` on the market clock.
    """

    budget_id: str
    phase_id: str
    state: BudgetState
    max_notional: Decimal
    max_leverage: Decimal
    max_drawdown: Decimal
    orders_per_minute: int
    reason: str
    expires_at_ns: int
    allocation: Decimal
    weight: Decimal

    def expired(self, now_ns: int) -> bool:
        """Whether the grant has expired at ``now_ns`` of the market clock."""
        return now_ns >= self.expires_at_ns


class PostureState(msgspec.Struct, frozen=True, kw_only=True):
    """The posture in force and its three sources; ``by`` is who moved the latch last."""

    in_force: Posture
    ceiling: Posture
    latch: Posture
    risk_level: RiskLevel
    reason: str
    by: str
    policy_hash: str
    term: int
    latch_never_set: bool
