"""Orders in the market: takers walk the book, makers wait in the queue, triggers wait for a price.

Rules, where venues differ:

* A taker walks the real book, best price first, less what we took before (:mod:`titan.matching.book`). Our own orders
  are not in that book and never meet one another.
* Queue of a resting limit order: on arrival everything on display at its price is ahead. A public trade at the price
  takes from what is ahead first, then fills us; a public trade beyond the price has emptied the queue. A level that
  shrinks without trades shrinks behind us: the queue ahead falls only to the displayed rest (the cautious model).
  One public trade fills at most its own quantity. When the other side of the book comes to our price, it fills us at
  our price, up to what is on display.
* A stop or take-profit is touched by a public trade or by the mid price (the mark), whichever is first, and is then a
  market order in the same moment.
* The rest that a market or IOC order cannot get at once is canceled (NO_LIQUIDITY); a market order that gets nothing is
  rejected.
* A reduce-only order shrinks to the holding: a market or limit order on arrival and at each fill, a trigger when it
  triggers. When the holding is gone, the rest of the order is canceled (POSITION_CLOSED). A spot sale cannot sell more
  than the balance, so it behaves alike at its fills.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.instruments import Instrument
from titan.domain.market import Level, TradeEvent
from titan.domain.notional import notional_price
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.reasons import Reason
from titan.domain.venue import VenueOrder, VenueOrderState, VenueReject, VenueTrade
from titan.matching import checks
from titan.matching.account import SimulatedAccount
from titan.matching.book import Book
from titan.matching.checks import Refusal
from titan.matching.state import VenueDelta, VenueState, WorkingOrder

# Margins are quotients; in a message they have this many places.
_SHOWN = Decimal("1e-8")

OrderUpdate = VenueOrder | VenueTrade | VenueReject


class OrderMatcher:
    """The orders and the account of one venue, without requests or a clock of its own.

    ``updates`` collects the updates to send, in order; the owner empties it and sets ``now_ns``, the market clock.
    """

    def __init__(self, state: VenueState, instruments: dict[str, Instrument], currency: str, leverage: Decimal) -> None:
        self.updates: list[OrderUpdate] = []
        self.now_ns = state.market_time_ns
        self.instruments = instruments
        self.books: dict[str, Book] = {}
        self._last_trade_price: dict[str, Decimal] = {}
        self._state = state
        self._working: dict[str, list[WorkingOrder]] = {}
        self.account = SimulatedAccount(state, instruments, currency, leverage, self._working, self.reference_price)
        self._dirty_orders: dict[str, WorkingOrder] = {}
        self._dirty_positions: set[str] = set()
        self._new_trades: list[VenueTrade] = []
        for order in state.orders.values():
            if not order.state.final:
                self._enlist(order)

    def book(self, symbol: str) -> Book:
        """The book of a symbol, empty before its first event."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = Book(self._state.taken.get(symbol, ()))
        return book

    def reference_price(self, symbol: str) -> Decimal | None:
        """The mark: mid of the book, else the last public trade since the start, else None."""
        book = self.books.get(symbol)
        mid = book.mid_price if book is not None else None
        return mid if mid is not None else self._last_trade_price.get(symbol)

    def working(self, symbol: str) -> list[WorkingOrder]:
        """Orders of the symbol that are not final, first come first."""
        return self._working.get(symbol, [])

    @property
    def idle(self) -> bool:
        """Whether no order is working."""
        return not any(self._working.values())

    def all_working(self) -> list[WorkingOrder]:
        """Orders of every symbol that are not final, first come first."""
        return sorted((order for orders in self._working.values() for order in orders), key=lambda each: each.priority)

    # --- orders as they come -----------------------------------------------------------------------------------------

    def accept(self, order: WorkingOrder) -> None:
        """Let a new order arrive: it is rejected, executed, or rests."""
        self._state.orders[order.client_order_id] = order
        refused = self.refusal(order)
        if refused is not None:
            self._finish(order, VenueOrderState.REJECTED, *refused)
            return
        self._enlist(order)
        self._execute(order)

    def replace(self, old: WorkingOrder, new: WorkingOrder, requeue: bool) -> Refusal | None:
        """Replace the working order ``old`` by ``new``, or return the reason against it.

        Parameters
        ----------
        requeue
            Whether it arrives in the market again, at the end of the queue.
        """
        orders = self._working[old.symbol]
        orders.remove(old)
        refused = self.refusal(new)
        if refused is not None:
            self._enlist(old)
            return refused
        self._state.orders[new.client_order_id] = new
        self._enlist(new)
        if requeue:
            self._execute(new)
        else:
            self._report(new)
        return None

    def cancel(self, order: WorkingOrder) -> None:
        """Cancel a working order."""
        self._finish(order, VenueOrderState.CANCELED, Reason.OK, "canceled by request")

    def refusal(self, order: WorkingOrder) -> Refusal | None:
        """Return the refusal of a new order, or None; shrink a reduce-only one."""
        instrument = self.instruments.get(order.symbol)
        if instrument is None:
            return Reason.UNKNOWN_SYMBOL, f"UNKNOWN_SYMBOL: {order.symbol!r}, allowed: {', '.join(self.instruments)}"
        book = self.book(order.symbol)
        return (
            checks.contradiction(order)
            or checks.no_liquidity(order, book)
            or checks.outside_filters(order, instrument, book)
            or self._not_reducing(order, instrument)
            or checks.triggers_at_once(order, self.reference_price(order.symbol))
            or checks.takes_at_once(order, book)
            or (self._unaffordable(order, instrument, book) if order.type not in checks.TRIGGERS else None)
        )

    def _execute(self, order: WorkingOrder) -> None:
        """Take what the book has for a working order, and let the rest wait where its type allows."""
        if order.type in checks.TRIGGERS:
            order.state = VenueOrderState.UNTRIGGERED
            self._report(order)
            return
        book = self.book(order.symbol)
        self._take(order, book)
        if order.remaining_quantity and order.type is OrderType.LIMIT and order.time_in_force is not TimeInForce.IOC:
            order.state = VenueOrderState.OPEN
            order.queue_ahead = book.level_quantity(order.side, order.limit_price)
            self._report(order)
        else:
            self._conclude(order)
        self._release(order.symbol)

    # --- the market moves --------------------------------------------------------------------------------------------

    def on_book_moved(self, symbol: str) -> None:
        """Let the book of a symbol queue, fill and trigger after it changed."""
        book = self.book(symbol)
        for order in self._resting(symbol):
            on_display = book.level_quantity(order.side, order.limit_price)
            if order.queue_ahead > on_display:
                order.queue_ahead = on_display
                self._dirty_orders[order.client_order_id] = order
            if book.would_take(order.side, order.limit_price):
                levels = book.walk(order.side, self._fillable(order), order.limit_price)
                book.take(order.side, levels)
                self._fill_resting(order, sum((level.quantity for level in levels), ZERO))
        mid = book.mid_price
        if mid is not None:
            self._trigger(symbol, mid)

    def on_trade(self, event: TradeEvent) -> None:
        """Let a public trade fill those who wait at its price or better, and trigger."""
        self._last_trade_price[event.symbol] = event.price
        if not self.working(event.symbol):
            return
        side = event.taker_side.opposite
        left = event.quantity
        for order in self._resting(event.symbol):
            beyond = (order.limit_price - event.price) * side.sign
            if order.side is not side or beyond < 0:
                continue
            passed = min(order.queue_ahead, left) if beyond == 0 else ZERO
            if order.queue_ahead:
                order.queue_ahead = order.queue_ahead - passed if beyond == 0 else ZERO
                self._dirty_orders[order.client_order_id] = order
            got = min(left - passed, self._fillable(order))
            left -= got
            self._fill_resting(order, got)
        self._trigger(event.symbol, event.price)

    def _resting(self, symbol: str) -> list[WorkingOrder]:
        """Limit orders in the book, best price first, then first come."""
        resting = [order for order in self.working(symbol) if order.state is VenueOrderState.OPEN]
        if len(resting) > 1:
            resting.sort(key=lambda each: (-each.side.sign * each.limit_price, each.priority))
        return resting

    def _trigger(self, symbol: str, price: Decimal) -> None:
        for order in list(self.working(symbol)):
            if order.state is not VenueOrderState.UNTRIGGERED or not checks.touched(order, price):
                continue
            instrument, book = self.instruments[symbol], self.book(symbol)
            if order.reduce_only:
                order.quantity = min(order.quantity, self.account.reducible(instrument, order.side))
            refused = self._unaffordable(order, instrument, book)
            if refused is not None:
                self._finish(order, VenueOrderState.CANCELED, *refused)
                continue
            self._take(order, book)
            self._conclude(order)
            self._release(symbol)

    # --- fills -------------------------------------------------------------------------------------------------------

    def _take(self, order: WorkingOrder, book: Book) -> None:
        limit_price = order.limit_price if order.type is OrderType.LIMIT else None
        levels = book.walk(order.side, self._fillable(order), limit_price)
        book.take(order.side, levels)
        for level in levels:
            self._fill(order, level, maker=False)

    def _fill_resting(self, order: WorkingOrder, quantity: Decimal) -> None:
        if not quantity:
            return
        self._fill(order, Level(order.limit_price, quantity), maker=True)
        if order.remaining_quantity:
            self._report(order)
        else:
            self._conclude(order)
        self._release(order.symbol)

    def _fill(self, order: WorkingOrder, level: Level, maker: bool) -> None:
        instrument = self.instruments[order.symbol]
        notional = level.price * level.quantity
        fee = instrument.fee(notional, maker)
        self.account.book_trade(instrument, order.side, level.quantity, level.price, fee)
        self._dirty_positions.add(order.symbol)
        order.filled_quantity += level.quantity
        order.filled_notional += notional
        state = self._state
        state.last_trade_sequence += 1
        trade = VenueTrade(
            sequence=state.last_trade_sequence,
            trade_id=f"paper-{state.last_trade_sequence}",
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=level.quantity,
            price=level.price,
            fee=fee,
            fee_currency=self.account.currency,
            maker=maker,
            market_time_ns=self.now_ns,
        )
        state.trades.append(trade)
        self._new_trades.append(trade)
        self.updates.append(trade)

    def _fillable(self, order: WorkingOrder) -> Decimal:
        """Return the rest of an order; for one that only reduces, at most the holding."""
        instrument = self.instruments[order.symbol]
        if order.reduce_only or (instrument.kind == "spot" and order.side is Side.SELL):
            return min(order.remaining_quantity, self.account.reducible(instrument, order.side))
        return order.remaining_quantity

    def _not_reducing(self, order: WorkingOrder, instrument: Instrument) -> Refusal | None:
        """Refuse a reduce-only order that has nothing to reduce; else shrink it, but for a trigger."""
        if not order.reduce_only:
            return None
        reducible = self.account.reducible(instrument, order.side)
        if not reducible:
            held = format_decimal(self.account.holding(instrument))
            return Reason.NOT_REDUCING, f"NOT_REDUCING: side={order.side.name}, quantity={order.quantity}, held={held}"
        if order.type not in checks.TRIGGERS and order.remaining_quantity > reducible:
            order.message = f"reduce-only: quantity {order.quantity} shrunk to the holding"
            order.quantity = order.filled_quantity + reducible
        return None

    def _unaffordable(self, order: WorkingOrder, instrument: Instrument, book: Book) -> Refusal | None:
        if order.reduce_only:
            return None
        quantity = order.remaining_quantity
        price = notional_price(order.side, order.limit_price, book.best_bid or ZERO)
        if order.type is not OrderType.LIMIT:
            # The whole quantity that it would get, at the dearest price: never too little.
            levels = book.walk(order.side, quantity, None)
            quantity = sum((level.quantity for level in levels), ZERO)
            price = max((level.price for level in levels), default=ZERO)
        others = [each for each in self.working(order.symbol) if each is not order]
        short = self.account.shortfall(instrument, order.side, quantity, price, others)
        if short is None:
            return None
        amounts = (format_decimal(amount.quantize(_SHOWN)) for amount in short)
        return Reason.INSUFFICIENT_MARGIN, "INSUFFICIENT_MARGIN: required={}, available={}".format(*amounts)

    # --- ends and changes --------------------------------------------------------------------------------------------

    def _conclude(self, order: WorkingOrder) -> None:
        """End an order that does not wait any longer."""
        if not order.remaining_quantity:
            self._finish(order, VenueOrderState.FILLED, Reason.OK, order.message)
        elif self._fillable(order) < order.remaining_quantity:
            self._finish_closed(order)
        else:
            got = f"NO_LIQUIDITY: quantity={order.quantity}, filled={order.filled_quantity}"
            self._finish(order, VenueOrderState.CANCELED, Reason.NO_LIQUIDITY, got)

    def _release(self, symbol: str) -> None:
        """Cancel the orders that waited for a holding that is gone."""
        for order in list(self.working(symbol)):
            if (order.reduce_only or order.state is VenueOrderState.OPEN) and not self._fillable(order):
                self._finish_closed(order)

    def _finish_closed(self, order: WorkingOrder) -> None:
        held = format_decimal(self.account.holding(self.instruments[order.symbol]))
        self._finish(order, VenueOrderState.CANCELED, Reason.POSITION_CLOSED, f"POSITION_CLOSED: held={held}")

    def _enlist(self, order: WorkingOrder) -> None:
        orders = self._working.setdefault(order.symbol, [])
        orders.append(order)
        orders.sort(key=lambda each: each.priority)

    def _finish(self, order: WorkingOrder, state: VenueOrderState, reason: Reason, message: str) -> None:
        order.state, order.reason, order.message = state, reason, message
        working = self._working.get(order.symbol, [])
        if order in working:
            working.remove(order)
        self._report(order)

    def _report(self, order: WorkingOrder) -> None:
        order.updated_ns = self.now_ns
        self._dirty_orders[order.client_order_id] = order
        self.updates.append(order.to_update())

    def collect(self, executed: tuple[int, ...]) -> VenueDelta | None:
        """Return all changes since the last call, or None; ``executed`` are the finished requests."""
        taken = {}
        for symbol, book in self.books.items():
            levels = book.take_changes()
            if levels is not None:
                taken[symbol] = self._state.taken[symbol] = levels
        if not (taken or executed or self._dirty_orders or self._new_trades):
            return None
        traded = bool(self._new_trades)
        delta = VenueDelta(
            last_sequence=self._state.last_sequence,
            market_time_ns=self._state.market_time_ns,
            executed=executed,
            orders=tuple(msgspec.structs.replace(order) for order in self._dirty_orders.values()),
            trades=tuple(self._new_trades),
            balances=dict(self._state.balances) if traded else None,
            positions={
                symbol: self._state.positions[symbol]
                for symbol in sorted(self._dirty_positions)
                if symbol in self._state.positions
            },
            taken=taken,
        )
        for symbol in self._dirty_positions:
            position = self._state.positions.get(symbol)
            if position is not None and not position.quantity:
                del self._state.positions[symbol]
        self._dirty_orders = {}
        self._dirty_positions = set()
        self._new_trades = []
        return delta
