"""Orders and fills, and the order state machine as one table."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.kinds import Leg, OrderState, OrderType, Side, TimeInForce
from titan.domain.numbers import ZERO
from titan.domain.reasons import Reason


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order as we have it.

    ``quantity`` in base units, prices in quote units (0: none), times on the market clock.
    """

    client_order_id: str
    intent_id: str
    phase_id: str
    leg: Leg
    attempt: int
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    reduce_only: bool
    policy_hash: str
    term: int
    created_ns: int
    updated_ns: int
    limit_price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    state: OrderState = OrderState.NEW
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    reason: Reason = Reason.OK
    message: str = ""
    venue_order_id: str = ""

    @property
    def remaining_quantity(self) -> Decimal:
        """Base units not yet filled."""
        return self.quantity - self.filled_quantity


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution.

    ``fee`` in ``fee_currency``, positive when paid; ``realized_pnl`` in quote units, gross of fees;
    ``venue_sequence`` the venue's cursor, 0 where it gives none.
    """

    trade_id: str
    client_order_id: str
    intent_id: str
    phase_id: str
    leg: Leg
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    event_time_ns: int
    policy_hash: str
    realized_pnl: Decimal = ZERO
    venue_sequence: int = 0
