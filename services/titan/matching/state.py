"""State of a venue, and its storage as a chain of changes.

The market itself is not part of it: after a restart the book comes from the market source, and events up to
``last_sequence`` have been matched already.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.numbers import ZERO
from titan.domain.reasons import Reason
from titan.domain.venue import OrderRequest, Transfer, VenueOrder, VenueOrderState, VenueTrade
from titan.matching.book import TakenLevel

# Average prices are quotients: this is their last place. Cash and quantities are exact.
PRICE_PLACES = Decimal("1e-12")


class WorkingOrder(msgspec.Struct, kw_only=True):
    """An order at the venue, final or not.

    ``priority`` orders those at one price, earlier first; ``queue_ahead`` is the quantity of other people before it at
    its price, in base units; ``filled_notional`` in quote units.
    """

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    limit_price: Decimal
    trigger_price: Decimal
    reduce_only: bool
    priority: int
    updated_ns: int
    state: VenueOrderState = VenueOrderState.PENDING
    filled_quantity: Decimal = ZERO
    filled_notional: Decimal = ZERO
    queue_ahead: Decimal = ZERO
    reason: Reason = Reason.OK
    message: str = ""

    @property
    def remaining_quantity(self) -> Decimal:
        """Base units not yet filled."""
        return self.quantity - self.filled_quantity

    def to_update(self) -> VenueOrder:
        """Return the order as an update of the venue."""
        filled = self.filled_quantity
        return VenueOrder(
            client_order_id=self.client_order_id,
            venue_order_id=self.venue_order_id,
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            time_in_force=self.time_in_force,
            quantity=self.quantity,
            reduce_only=self.reduce_only,
            state=self.state,
            market_time_ns=self.updated_ns,
            filled_quantity=filled,
            average_price=(self.filled_notional / filled).quantize(PRICE_PLACES).normalize() if filled else ZERO,
            limit_price=self.limit_price,
            trigger_price=self.trigger_price,
            reason=self.reason,
            message=self.message,
        )


class PendingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request on its way: it reaches the market at ``arrival_ns`` (market clock), after those of lower number."""

    number: int
    arrival_ns: int
    request: OrderRequest


class PositionState(msgspec.Struct, frozen=True):
    """A net position: signed base units, and what they cost in quote units with the same sign."""

    quantity: Decimal
    cost: Decimal

    @property
    def average_entry_price(self) -> Decimal:
        """Quote units; 0 for no position."""
        return (self.cost / self.quantity).quantize(PRICE_PLACES).normalize() if self.quantity else ZERO


class VenueDelta(msgspec.Struct, kw_only=True, omit_defaults=True, tag=True):
    """Changes since the delta before: applied in order, they rebuild the state. Absent means unchanged."""

    last_sequence: int
    market_time_ns: int
    admitted: tuple[PendingRequest, ...] = ()
    executed: tuple[int, ...] = ()
    orders: tuple[WorkingOrder, ...] = ()
    trades: tuple[VenueTrade, ...] = ()
    balances: dict[str, Decimal] | None = None
    positions: dict[str, PositionState] = {}
    taken: dict[str, tuple[TakenLevel, ...]] = {}
    transfer: Transfer | None = None


class VenueState(msgspec.Struct, kw_only=True, tag=True):
    """The venue's state. Balances by asset in its own units; positions by symbol; requests by number.

    ``deposits`` are deposits less withdrawals, the first balance included; ``transfers`` those after it.
    """

    last_sequence: int = 0
    market_time_ns: int = 0
    next_number: int = 1
    deposits: Decimal = ZERO
    balances: dict[str, Decimal] = {}
    positions: dict[str, PositionState] = {}
    orders: dict[str, WorkingOrder] = {}
    pending: dict[int, PendingRequest] = {}
    trades: list[VenueTrade] = []
    last_trade_sequence: int = 0
    taken: dict[str, tuple[TakenLevel, ...]] = {}
    transfers: list[Transfer] = []

    def apply(self, delta: VenueDelta) -> None:
        """Apply one delta."""
        self.last_sequence = delta.last_sequence
        self.market_time_ns = delta.market_time_ns
        for pending in delta.admitted:
            self.pending[pending.number] = pending
            self.next_number = pending.number + 1
        for number in delta.executed:
            del self.pending[number]
        for order in delta.orders:
            self.orders[order.client_order_id] = order
        for trade in delta.trades:
            self.trades.append(trade)
            self.last_trade_sequence = trade.sequence
        if delta.balances is not None:
            self.balances = delta.balances
        for symbol, position in delta.positions.items():
            if position.quantity:
                self.positions[symbol] = position
            else:
                self.positions.pop(symbol, None)
        self.taken.update(delta.taken)
        if delta.transfer is not None:
            self.transfers.append(delta.transfer)
            self.deposits += delta.transfer.amount

    def forget_history(self, keep: int) -> None:
        """Drop the oldest final orders and trades, so that at most ``keep`` of each are left."""
        final = [order.client_order_id for order in self.orders.values() if order.state.final]
        for client_order_id in final[: max(0, len(final) - keep)]:
            del self.orders[client_order_id]
        del self.trades[: max(0, len(self.trades) - keep)]
