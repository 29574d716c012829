"""A budget: the expiring grant of Brain to a phase."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import BudgetState
from titan.domain.numbers import ONE


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring grant.

    ``max_notional``, ``max_drawdown`` and ``allocation`` (equity times ``weight``) in quote units; ``weight`` a
    fraction; ``max_leverage`` a multiple of the allocation; ``expires_at_ns`` on the market clock. ``modifier`` is the
    factor on sizes by the phase's daily returns, with the numbers that it comes from.
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
    modifier: Decimal = ONE
    modifier_reason: str = "not measured"

    def expired(self, now_ns: int) -> bool:
        """Whether the grant has expired at ``now_ns`` of the market clock."""
        return now_ns >= self.expires_at_ns
