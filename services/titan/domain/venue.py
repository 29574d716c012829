"""Messages between a trading client and a venue: requests, and the venue's updates.

Used by every venue alike, the simulated one and real exchanges. Quantities in base units, prices in quote units
(0: none), ``market_time_ns`` on the market clock, ``signed_at_ns`` on the machine's wall clock.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.numbers import ZERO
from titan.domain.reasons import Reason

# Currency of an account's deposits and of its settlement.
ACCOUNT_CURRENCY = "USDT"


class VenueOrderState(IntEnum):
    """States of an order at the venue; the numbers are those of the wire contract."""

    PENDING = 1  # accepted, not yet arrived in the market
    OPEN = 2
    UNTRIGGERED = 3  # a stop or take-profit that waits for its trigger price
    FILLED = 4
    CANCELED = 5
    REJECTED = 6
    EXPIRED = 7

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self >= VenueOrderState.FILLED


class RequestKind(StrEnum):
    """Kind of a refused request."""

    SEND = "send"
    CANCEL = "cancel"
    AMEND = "amend"


class SendOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="send"):
    """Send one order. A venue refuses it after ``signed_at_ns`` + ``receive_window_ms``."""

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    market_time_ns: int
    signed_at_ns: int
    receive_window_ms: int
    limit_price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    reduce_only: bool = False


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="cancel"):
    """Cancel one order."""

    client_order_id: str
    market_time_ns: int
    signed_at_ns: int
    receive_window_ms: int


class AmendOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="amend"):
    """Change the quantity or a price of one order; 0 leaves it."""

    client_order_id: str
    market_time_ns: int
    signed_at_ns: int
    receive_window_ms: int
    quantity: Decimal = ZERO
    limit_price: Decimal = ZERO
    trigger_price: Decimal = ZERO


OrderRequest = SendOrder | CancelOrder | AmendOrder


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue has it. ``quantity`` of a reduce-only order may be less than requested."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    reduce_only: bool
    state: VenueOrderState
    market_time_ns: int
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    limit_price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    reason: Reason = Reason.OK
    message: str = ""

    @property
    def remaining_quantity(self) -> Decimal:
        """Base units not yet filled."""
        return self.quantity - self.filled_quantity


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one of our orders.

    ``sequence`` counts from 1 without a gap and is the cursor of a list of trades; ``fee`` in ``fee_currency``,
    positive when paid.
    """

    sequence: int
    trade_id: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    market_time_ns: int


class VenueReject(msgspec.Struct, frozen=True, kw_only=True):
    """A request that changed nothing at the venue.

    For a refused ``send`` the venue has no such order, with one exception: after ``DUPLICATE_ORDER`` it
    already has one of this id, which stands as it was.
    """

    client_order_id: str
    request: RequestKind
    reason: Reason
    message: str
    market_time_ns: int


class VenueMarker(msgspec.Struct, frozen=True, kw_only=True):
    """All updates of this slice of market time have been sent.

    ``quiet``: the venue has no order that is working or on its way, so nothing follows until the next request.
    """

    step: int
    market_time_ns: int
    quiet: bool = False


class VenueHeartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The private stream works. A ``last_trade_sequence`` beyond the last trade received means that one was missed.

    ``deposits`` are deposits less withdrawals; None where the venue does not report them.
    """

    wall_time_ns: int
    last_trade_sequence: int
    deposits: Decimal | None = None


class Transfer(msgspec.Struct, frozen=True):
    """Money in (positive) or out, in :data:`ACCOUNT_CURRENCY`; done once by its id."""

    transfer_id: str
    amount: Decimal


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """A net position: ``quantity`` in signed base units."""

    symbol: str
    quantity: Decimal
    average_entry_price: Decimal


class VenueAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Balances by asset (settlement currency included), open positions, and the venue's clocks."""

    balances: dict[str, Decimal]
    positions: tuple[VenuePosition, ...]
    deposits: Decimal
    market_time_ns: int
    wall_time_ns: int
    last_trade_sequence: int
