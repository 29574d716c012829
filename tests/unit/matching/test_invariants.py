"""Under any requests and any market: money is conserved, and the stored changes are the state."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.venues.matching import MS, PERP, SPOT, Bench, D, levels, send, state_of
from titan.domain.enums import Side
from titan.domain.market import BookEvent, TradeEvent
from titan.domain.venue import AmendOrder, CancelOrder, VenueOrder, VenueReject, VenueTrade
from titan.matching.state import VenueDelta, VenueState

START = D(20_000)
_symbols = st.sampled_from([PERP, SPOT])
_sides = st.sampled_from(["buy", "sell"])
_quantities = st.sampled_from(["0.001", "0.01", "0.1", "0.25", "1"])
_offsets = st.integers(-6, 6)
# Counted from the newest order back; 0 is a new one.
_recent = st.integers(1, 5)
_SHAPES: list[dict[str, Any]] = [
    {},
    {"limit": None},
    {"limit": None, "tif": "IOC"},
    {"limit": None, "tif": "POST_ONLY"},
    {"stop": None},
    {"target": None},
]


class Venue(RuleBasedStateMachine):
    """One engine; beside it a state that is rebuilt from the stored changes only, through their bytes."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench(state=state_of(str(START)))
        self.middle = 60_000
        self.written = state_of(str(START))
        self.decoder = msgspec.msgpack.Decoder(VenueDelta)
        self.sent: list[str] = []
        for symbol in (PERP, SPOT):
            self.move(symbol, 0, 1, 1)

    def keep(self, delta: VenueDelta | None) -> None:
        if delta is not None:
            self.written.apply(self.decoder.decode(msgspec.msgpack.encode(delta)))

    def on_updates(self, symbol: str, held_before: D, updates: list[Any]) -> None:
        """Reduce-only trades only bring the holding nearer to zero."""
        held = held_before
        for update in updates:
            if not isinstance(update, VenueTrade) or update.symbol != symbol:
                continue
            signed = update.quantity * update.side.sign
            order = self.bench.state.orders[update.client_order_id]
            if order.reduce_only:
                assert held * signed < 0, "a reduce-only trade opens"
                assert abs(signed) <= abs(held), "a reduce-only trade flips"
            held += signed
        assert held == self.held(symbol)

    def held(self, symbol: str) -> D:
        return self.bench.position() if symbol == PERP else self.bench.state.balances.get("BTC", D(0))

    def observed(self, act: Any) -> None:
        before = {symbol: self.held(symbol) for symbol in (PERP, SPOT)}
        updates = act()
        for symbol, held in before.items():
            self.on_updates(symbol, held, updates)
        self.keep(self.bench.engine.collect())

    def move(self, symbol: str, offset: int, bid_size: int, ask_size: int) -> None:
        self.middle += offset
        bids = " ".join(f"{self.middle - 1 - step}x{bid_size * 0.1:.1f}" for step in range(3))
        asks = " ".join(f"{self.middle + 1 + step}x{ask_size * 0.1:.1f}" for step in range(3))
        self.observed(lambda: self.bench.book(bids, asks, symbol))

    @rule(symbol=_symbols, offset=_offsets, bid_size=st.integers(1, 5), ask_size=st.integers(1, 5))
    def the_book_moves(self, symbol: str, offset: int, bid_size: int, ask_size: int) -> None:
        self.move(symbol, offset, bid_size, ask_size)

    @rule(symbol=_symbols, taker=_sides, offset=_offsets, quantity=_quantities)
    def a_public_trade(self, symbol: str, taker: str, offset: int, quantity: str) -> None:
        def act() -> list[Any]:
            updates = self.bench.trade(taker, quantity, str(self.middle + offset), symbol)
            made = [update for update in updates if isinstance(update, VenueTrade) and update.maker]
            assert sum((trade.quantity for trade in made), D(0)) <= D(quantity)
            return updates

        self.observed(act)

    @rule(
        symbol=_symbols,
        side=_sides,
        quantity=_quantities,
        shape=st.sampled_from(_SHAPES),
        offset=_offsets,
        reduce_only=st.booleans(),
        arrives=st.booleans(),
    )
    def somebody_sends(
        self,
        symbol: str,
        side: str,
        quantity: str,
        shape: dict[str, Any],
        offset: int,
        reduce_only: bool,
        arrives: bool,
    ) -> None:
        if reduce_only and self.held(symbol):
            side = "sell" if self.held(symbol) > 0 else "buy"
        fields = {name: value or str(self.middle + offset) for name, value in shape.items()}
        client_order_id = f"o{len(self.sent)}"
        self.sent.append(client_order_id)
        self.admit(send(client_order_id, side, quantity, symbol, self.bench.now_ms, reduce_only=reduce_only, **fields))
        if arrives:
            self.time_passes(60)

    @rule(symbol=_symbols)
    def somebody_closes(self, symbol: str) -> None:
        held = self.held(symbol)
        if held:
            self.somebody_sends(symbol, "sell" if held > 0 else "buy", str(abs(held)), {}, 0, True, True)

    @precondition(lambda self: self.sent)
    @rule(recent=_recent)
    def somebody_sends_twice(self, recent: int) -> None:
        request = send(self.sent[-recent:][0], "buy", "0.1", PERP, self.bench.now_ms)
        assert isinstance(self.bench.engine.admit(request), VenueReject)

    @precondition(lambda self: self.sent)
    @rule(recent=_recent)
    def somebody_cancels(self, recent: int) -> None:
        self.admit(CancelOrder(client_order_id=self.sent[-recent:][0], **self.signed()))

    @precondition(lambda self: self.sent)
    @rule(recent=_recent, quantity=_quantities, offset=_offsets, price=st.booleans())
    def somebody_amends(self, recent: int, quantity: str, offset: int, price: bool) -> None:
        changes = {"limit_price": D(self.middle + offset)} if price else {"quantity": D(quantity)}
        self.admit(AmendOrder(client_order_id=self.sent[-recent:][0], **changes, **self.signed()))

    def signed(self) -> dict[str, int]:
        return {"market_time_ns": self.bench.now_ms * MS, "signed_at_ns": 0, "receive_window_ms": 1000}

    def admit(self, request: Any) -> None:
        admitted = self.bench.engine.admit(request)
        if isinstance(admitted, VenueReject):
            return
        self.keep(self.bench.engine.admission(admitted))
        self.bench.engine.enqueue(admitted)

    @rule(ms=st.sampled_from([1, 30, 60]))
    def time_passes(self, ms: int) -> None:
        self.observed(lambda: self.bench.wait(ms))

    @rule()
    def the_process_dies_and_starts_again(self) -> None:
        """From the written state alone; the market source brings the book, then the last event again."""
        books = self.bench.engine._matcher.books
        again = Bench(state=msgspec.msgpack.decode(msgspec.msgpack.encode(self.written), type=VenueState))
        again.now_ms, again.sequence = self.bench.now_ms, self.bench.sequence
        for symbol, book in books.items():
            sides = [
                " ".join(f"{price}x{quantity}" for price, quantity in ladder.quantities.items())
                for ladder in (book._bids, book._asks)
            ]
            event = BookEvent(0, symbol, 0, 0, True, 0, levels(sides[0]), levels(sides[1]))
            again.engine.on_snapshot(event)
        for side, price in ((Side.SELL, D(1)), (Side.BUY, D(10**6))):
            last = TradeEvent(again.state.last_sequence, PERP, 0, 0, "again", price, D(1000), side)
            assert again.engine.on_event(last) == [], "an event is matched once"
        # A mid price stands in for the last public trade, which is not kept.
        self.bench = again

    @invariant()
    def cash_and_positions_are_what_the_trades_say(self) -> None:
        state = self.bench.state
        cash, held = START, {PERP: D(0), SPOT: D(0)}
        for trade in state.trades:
            signed = trade.quantity * trade.side.sign
            held[trade.symbol] += signed
            cash -= signed * trade.price + trade.fee
        for symbol in (PERP, SPOT):
            assert held[symbol] == self.held(symbol)
        position = state.positions.get(PERP)
        assert state.balances["USDT"] - cash == (position.cost if position else 0), "realized and open add up"

    @invariant()
    def nobody_is_filled_beyond_the_order_and_spot_is_never_sold_short(self) -> None:
        filled: dict[str, D] = {}
        for trade in self.bench.state.trades:
            filled[trade.client_order_id] = filled.get(trade.client_order_id, D(0)) + trade.quantity
        for client_order_id, order in self.bench.state.orders.items():
            assert order.filled_quantity == filled.get(client_order_id, D(0)) <= order.quantity
        assert self.bench.state.balances.get("BTC", D(0)) >= 0

    @invariant()
    def every_order_sent_is_known_once(self) -> None:
        state = self.bench.state
        on_the_way = [
            pending.request.client_order_id
            for pending in state.pending.values()
            if pending.request.__class__.__name__ == "SendOrder"
        ]
        assert sorted([*state.orders, *on_the_way]) == sorted(self.sent)
        updates = [update for update in self.bench.updates if isinstance(update, VenueOrder)]
        assert all(update.filled_quantity <= update.quantity for update in updates)

    @invariant()
    def nothing_reduce_only_outlives_its_position(self) -> None:
        for order in self.bench.engine.open_orders():
            if order.reduce_only and order.state.name != "PENDING":
                assert self.held(order.symbol) * order.side.sign < 0

    @invariant()
    def what_is_written_is_the_state(self) -> None:
        written, state = self.written, self.bench.state
        for field in ("orders", "pending", "trades", "balances", "positions", "last_trade_sequence", "deposits"):
            assert getattr(written, field) == getattr(state, field), field
        taken = {symbol: levels for symbol, levels in state.taken.items() if levels}
        assert {symbol: levels for symbol, levels in written.taken.items() if levels} == taken


TestVenue = Venue.TestCase
TestVenue.settings = settings(stateful_step_count=50)


def test_two_runs_have_the_same_updates() -> None:
    def run() -> list[Any]:
        bench = Bench()
        for step in range(40):
            bench.book(f"{60000 + step % 7}x1", f"{60002 + step % 7}x1")
            bench.send(f"a{step}", "buy" if step % 3 else "sell", "0.01", **({"limit": "60004"} if step % 2 else {}))
            bench.trade("sell" if step % 2 else "buy", "0.5", str(60001 + step % 5))
        return bench.updates

    first = run()
    assert first == run()
    assert sum(isinstance(update, VenueTrade) for update in first) > 20
