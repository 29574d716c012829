"""A phase's request: open a trade that Brain will size, or close (part of) its own share."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import Action, OrderType, Side, TimeInForce
from titan.domain.numbers import ZERO


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A phase's request to Brain.

    ``quantity`` in base units (CLOSE only), ``max_notional`` in quote units (OPEN, 0: no own bound), prices in quote
    units (0: none), ``setup_score`` in [0, 1], ``volatility`` a fraction of price over ``timeframe_ns``,
    ``event_time_ns`` on the market clock, ``hops`` measured durations (name, nanoseconds) that sum to the signal's age.
    """

    intent_id: str
    phase_id: str
    setup: str
    symbol: str
    side: Side
    action: Action
    order_type: OrderType
    time_in_force: TimeInForce
    reference_price: Decimal
    event_time_ns: int
    ttl_ns: int
    policy_hash: str
    limit_price: Decimal = ZERO
    quantity: Decimal = ZERO
    max_notional: Decimal = ZERO
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    setup_score: float = 0.0
    volatility: float = 0.0
    timeframe_ns: int = 0
    hops: tuple[tuple[str, int], ...] = ()
    evidence: dict[str, str] = {}

    @property
    def age_ns(self) -> int:
        """Sum of the hops, each on its machine's own clock; a lower bound, since a hop may be measured by nobody."""
        return sum(duration for _, duration in self.hops)
