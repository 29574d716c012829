"""The simulated venue: requests that take time to arrive, market events, and the venue's updates.

Deterministic: the same requests and events give the same updates. A request reaches the market at the later of its own
market time plus the latency, and the market clock when it was admitted; it is executed between the events before and
after that time (before an event of the same time). Before the first event requests wait like any other and then meet
what the book has: a market order in an empty book is rejected (NO_LIQUIDITY).

The owner stores every change: a request is admitted, stored, then enqueued; and after a batch of events
:meth:`MatchingEngine.collect` returns all changes as one record, to be stored before the updates are sent.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from titan.domain.instruments import Instrument
from titan.domain.market import BookEvent, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.reasons import Reason
from titan.domain.venue import (
    AmendOrder,
    CancelOrder,
    OrderRequest,
    RequestKind,
    SendOrder,
    Transfer,
    VenueOrder,
    VenuePosition,
    VenueReject,
    VenueTrade,
)
from titan.matching.checks import Refusal, amend_problem
from titan.matching.order_matcher import OrderMatcher, OrderUpdate
from titan.matching.state import PendingRequest, VenueDelta, VenueState, WorkingOrder

# Margins are quotients; in a message they have this many places.
_SHOWN = Decimal("1e-8")


def kind_of(request: OrderRequest) -> RequestKind:
    """Return the kind of a request, for a reject."""
    if isinstance(request, SendOrder):
        return RequestKind.SEND
    return RequestKind.CANCEL if isinstance(request, CancelOrder) else RequestKind.AMEND


class MatchingEngine:
    """One account at one venue.

    Parameters
    ----------
    instruments
        By symbol. Those that do not settle in ``currency`` are not tradable here.
    latency_ns
        Market time from a client to the market.
    state
        The state to continue from; a new one has a deposit of 0. The engine owns it from now on.
    currency
        The settlement currency of the account.
    leverage
        Margin leverage of perpetuals; an instrument's own maximum may be lower.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        latency_ns: int,
        state: VenueState,
        currency: str = "USDT",
        leverage: Decimal = Decimal(20),
    ) -> None:
        self._latency_ns = latency_ns
        self._state = state
        self._matcher = OrderMatcher(state, {}, currency, leverage)
        self._currency = currency
        self._executed: list[int] = []
        self._queue = [(each.arrival_ns, each.number) for each in state.pending.values()]
        heapq.heapify(self._queue)
        self._on_the_way = {
            each.request.client_order_id: each for each in state.pending.values() if isinstance(each.request, SendOrder)
        }
        self.list_instruments(instruments)

    def list_instruments(self, instruments: Mapping[str, Instrument]) -> None:
        """Set the tradable instruments; they are added or replaced, never removed."""
        self._matcher.instruments.update(
            {symbol: each for symbol, each in instruments.items() if each.settle == self._currency}
        )

    # --- requests ----------------------------------------------------------------------------------------------------

    def admit(self, request: OrderRequest) -> PendingRequest | VenueReject:
        """Give a request its arrival time and number, or refuse it; changes nothing."""
        client_order_id = request.client_order_id
        if isinstance(request, SendOrder) and self.order(client_order_id) is not None:
            message = f"DUPLICATE_ORDER: client_order_id={client_order_id} was used before"
            return self.reject(request, Reason.DUPLICATE_ORDER, message)
        arrival_ns = max(request.market_time_ns + self._latency_ns, self._state.market_time_ns)
        return PendingRequest(number=self._state.next_number, arrival_ns=arrival_ns, request=request)

    def admission(self, pending: PendingRequest) -> VenueDelta:
        """The record of an admitted request, to be written before it is enqueued."""
        state = self._state
        return VenueDelta(last_sequence=state.last_sequence, market_time_ns=state.market_time_ns, admitted=(pending,))

    def enqueue(self, pending: PendingRequest) -> None:
        """Send an admitted request on its way."""
        self._state.next_number = pending.number + 1
        self._state.pending[pending.number] = pending
        if isinstance(pending.request, SendOrder):
            self._on_the_way[pending.request.client_order_id] = pending
        heapq.heappush(self._queue, (pending.arrival_ns, pending.number))

    def reject(self, request: OrderRequest, reason: Reason, message: str) -> VenueReject:
        """The answer to a request that changes nothing."""
        return VenueReject(
            client_order_id=request.client_order_id,
            request=kind_of(request),
            reason=reason,
            message=message,
            market_time_ns=self._state.market_time_ns,
        )

    # --- transfers ---------------------------------------------------------------------------------------------------

    def transferred(self, transfer: Transfer) -> bool:
        """Whether a transfer of this id was made."""
        return any(each.transfer_id == transfer.transfer_id for each in self._state.transfers)

    def admit_transfer(self, transfer: Transfer) -> VenueDelta | Refusal:
        """Return the record of a new transfer, to be stored before :meth:`make_transfer`, or the reason against it."""
        state, account = self._state, self._matcher.account
        if transfer.amount < ZERO:
            # Unrealized profit is no cash yet, and margin in use stays.
            free = max(ZERO, min(account.available(), account.cash))
            if -transfer.amount > free:
                numbers = (
                    f"amount={format_decimal(-transfer.amount)}, available={format_decimal(free.quantize(_SHOWN))}"
                )
                return Reason.INSUFFICIENT_MARGIN, f"INSUFFICIENT_MARGIN: {numbers}"
        return VenueDelta(
            last_sequence=state.last_sequence,
            market_time_ns=state.market_time_ns,
            balances={**state.balances, self._currency: account.cash + transfer.amount},
            transfer=transfer,
        )

    def make_transfer(self, delta: VenueDelta) -> None:
        """Move the money of a stored transfer."""
        self._state.apply(delta)

    # --- the market --------------------------------------------------------------------------------------------------

    def renumber(self) -> None:
        """Accept the next event whatever its sequence: the market counts from the beginning again."""
        self._state.last_sequence = 0

    def on_snapshot(self, event: MarketEvent) -> None:
        """Set the book from the state of the market at some moment; matches nothing."""
        self._apply(event, catching_up=True)

    def on_event(self, event: MarketEvent) -> list[OrderUpdate]:
        """Execute what arrives before the event, then match the event; one that was matched before only moves the book.

        Returns
        -------
        list[OrderUpdate]
            The venue's updates, in order.
        """
        if event.sequence <= self._state.last_sequence:
            self._apply(event, catching_up=True)
            return []
        self._execute_due(event.market_time_ns)
        self._state.last_sequence = event.sequence
        matcher = self._matcher
        self._apply(event, catching_up=False)
        if isinstance(event, TradeEvent):
            matcher.on_trade(event)
        elif matcher.working(event.symbol):
            matcher.on_book_moved(event.symbol)
        return self._take_updates() if matcher.updates else []

    def advance(self, market_time_ns: int) -> list[OrderUpdate]:
        """Move the market clock (never back) and execute the requests that have arrived by then."""
        self._execute_due(market_time_ns)
        return self._take_updates()

    def collect(self) -> VenueDelta | None:
        """Return all changes since the last call, or None."""
        executed, self._executed = tuple(self._executed), []
        return self._matcher.collect(executed)

    def _apply(self, event: MarketEvent, catching_up: bool) -> None:
        if isinstance(event, BookEvent):
            self._matcher.book(event.symbol).apply(event, catching_up)
        elif isinstance(event, QuoteEvent):
            self._matcher.book(event.symbol).apply_quote(event, catching_up)

    def _execute_due(self, market_time_ns: int) -> None:
        state, matcher = self._state, self._matcher
        while self._queue and self._queue[0][0] <= market_time_ns:
            arrival_ns, number = heapq.heappop(self._queue)
            state.market_time_ns = matcher.now_ns = max(state.market_time_ns, arrival_ns)
            pending = state.pending.pop(number)
            self._executed.append(number)
            request = pending.request
            if isinstance(request, SendOrder):
                del self._on_the_way[request.client_order_id]
                matcher.accept(_order_from(request, number))
            elif isinstance(request, CancelOrder):
                self._cancel(request)
            else:
                self._amend(request, number)
        state.market_time_ns = matcher.now_ns = max(state.market_time_ns, market_time_ns)

    def _take_updates(self) -> list[OrderUpdate]:
        updates, self._matcher.updates = self._matcher.updates, []
        return updates

    # --- cancels and amends ------------------------------------------------------------------------------------------

    def _working_order(self, request: CancelOrder | AmendOrder) -> WorkingOrder | None:
        order = self._state.orders.get(request.client_order_id)
        if order is not None and not order.state.final:
            return order
        stands = "none" if order is None else order.state.name
        message = f"UNKNOWN_ORDER: client_order_id={request.client_order_id}, state={stands}"
        self._matcher.updates.append(self.reject(request, Reason.UNKNOWN_ORDER, message))
        return None

    def _cancel(self, request: CancelOrder) -> None:
        order = self._working_order(request)
        if order is not None:
            self._matcher.cancel(order)

    def _amend(self, request: AmendOrder, number: int) -> None:
        order = self._working_order(request)
        if order is None:
            return
        refused = amend_problem(order, request) or self._replace(order, request, number)
        if refused is not None:
            self._matcher.updates.append(self.reject(request, *refused))

    def _replace(self, order: WorkingOrder, request: AmendOrder, number: int) -> Refusal | None:
        changed = msgspec.structs.replace(
            order,
            quantity=request.quantity or order.quantity,
            limit_price=request.limit_price or order.limit_price,
            trigger_price=request.trigger_price or order.trigger_price,
        )
        same_price = (changed.limit_price, changed.trigger_price) == (order.limit_price, order.trigger_price)
        # Only a smaller quantity at the same price keeps the place in the queue.
        keeps_place = same_price and changed.quantity <= order.quantity
        if not keeps_place:
            changed.priority = number
        return self._matcher.replace(order, changed, requeue=not keeps_place)

    # --- queries -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> VenueState:
        """The venue's state; read it, never change it."""
        return self._state

    def order(self, client_order_id: str) -> VenueOrder | None:
        """An order by its id, on its way (PENDING), working or final; None where there is none."""
        order = self._state.orders.get(client_order_id)
        if order is not None:
            return order.to_update()
        pending = self._on_the_way.get(client_order_id)
        return None if pending is None else _order_on_the_way(pending)

    @property
    def quiet(self) -> bool:
        """Whether no order is working and no request on its way: the market alone changes nothing then."""
        return not self._queue and self._matcher.idle

    def open_orders(self) -> list[VenueOrder]:
        """Orders that are not final, and those on their way, oldest first."""
        found = [order.to_update() for order in self._matcher.all_working()]
        found += [_order_on_the_way(each) for each in sorted(self._on_the_way.values(), key=lambda each: each.number)]
        return found

    def trades_after(self, sequence: int, limit: int) -> list[VenueTrade]:
        """Trades with a greater sequence, oldest first, at most ``limit``."""
        trades = self._state.trades
        if not trades:
            return []
        # Sequences have no gap, so the place of a trade is its distance from the first that is kept.
        start = max(0, sequence + 1 - trades[0].sequence)
        return trades[start : start + limit]

    def positions(self) -> list[VenuePosition]:
        """Open positions of perpetuals, by symbol."""
        return [
            VenuePosition(symbol=symbol, quantity=each.quantity, average_entry_price=each.average_entry_price)
            for symbol, each in sorted(self._state.positions.items())
            if each.quantity
        ]


def _order_from(request: SendOrder, number: int) -> WorkingOrder:
    return WorkingOrder(
        client_order_id=request.client_order_id,
        venue_order_id=f"p{number}",
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force,
        quantity=request.quantity,
        limit_price=request.limit_price,
        trigger_price=request.trigger_price,
        reduce_only=request.reduce_only,
        priority=number,
        updated_ns=request.market_time_ns,
    )


def _order_on_the_way(pending: PendingRequest) -> VenueOrder:
    request = pending.request
    assert isinstance(request, SendOrder)
    return _order_from(request, pending.number).to_update()
