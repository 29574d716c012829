"""A matching engine with a small market for tests: prices and quantities as text, time in milliseconds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import BookEvent, Level, QuoteEvent, TradeEvent
from titan.domain.time import NS_PER_MS
from titan.domain.venue import (
    AmendOrder,
    CancelOrder,
    OrderRequest,
    SendOrder,
    VenueOrder,
    VenueReject,
    VenueTrade,
)
from titan.matching.engine import MatchingEngine
from titan.matching.order_matcher import OrderUpdate
from titan.matching.state import VenueState

PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
LATENCY_MS = 50
MS = NS_PER_MS
D = Decimal


def levels(text: str) -> tuple[Level, ...]:
    """``"100x2 99.9x1"`` as levels."""
    return tuple(Level(D(price), D(quantity)) for price, quantity in (one.split("x") for one in text.split()))


def state_of(balance: str = "10000") -> VenueState:
    """A new account."""
    return VenueState(deposits=D(balance), balances={"USDT": D(balance)})


def send(
    client_order_id: str, side: str, quantity: str, symbol: str = PERP, at_ms: int = 0, **fields: Any
) -> SendOrder:
    """A send: a market order, unless ``limit`` or ``stop`` or ``target`` gives a price."""
    kind, prices = OrderType.MARKET, {}
    for name, type_, field in (
        ("limit", OrderType.LIMIT, "limit_price"),
        ("stop", OrderType.STOP_MARKET, "trigger_price"),
        ("target", OrderType.TAKE_PROFIT_MARKET, "trigger_price"),
    ):
        if name in fields:
            kind, prices = type_, {field: D(fields.pop(name))}
    return SendOrder(
        client_order_id=client_order_id,
        symbol=symbol,
        side=Side[side.upper()],
        type=fields.pop("type", kind),
        time_in_force=TimeInForce[fields.pop("tif", "GTC")],
        quantity=D(quantity),
        market_time_ns=at_ms * MS,
        signed_at_ns=0,
        receive_window_ms=1000,
        **{**prices, **fields},
    )


class Bench:
    """One engine, its market and all of its updates."""

    def __init__(self, balance: str = "10000", leverage: str = "20", state: VenueState | None = None) -> None:
        self.state = state if state is not None else state_of(balance)
        self.engine = MatchingEngine(PAPER_INSTRUMENTS, LATENCY_MS * MS, self.state, leverage=D(leverage))
        self.now_ms = self.state.market_time_ns // MS
        self.sequence = self.state.last_sequence
        self.updates: list[OrderUpdate] = []

    # the market

    def book(self, bids: str = "", asks: str = "", symbol: str = PERP, snapshot: bool = True) -> list[OrderUpdate]:
        """A snapshot of the book, or with ``snapshot=False`` a difference."""
        self.sequence += 1
        event = BookEvent(self.sequence, symbol, 0, self.now_ms * MS, snapshot, 0, levels(bids), levels(asks))
        return self._record(self.engine.on_event(event))

    def diff(self, bids: str = "", asks: str = "", symbol: str = PERP) -> list[OrderUpdate]:
        """A difference of the book."""
        return self.book(bids, asks, symbol, snapshot=False)

    def trade(self, taker: str, quantity: str, price: str, symbol: str = PERP) -> list[OrderUpdate]:
        """A public trade."""
        self.sequence += 1
        event = TradeEvent(
            self.sequence, symbol, 0, self.now_ms * MS, str(self.sequence), D(price), D(quantity), Side[taker.upper()]
        )
        return self._record(self.engine.on_event(event))

    def quote(self, bid: str, ask: str, symbol: str = PERP) -> list[OrderUpdate]:
        """Best bid and ask as ``price x quantity``."""
        self.sequence += 1
        (b,), (a,) = levels(bid), levels(ask)
        event = QuoteEvent(self.sequence, symbol, 0, self.now_ms * MS, b.price, b.quantity, a.price, a.quantity)
        return self._record(self.engine.on_event(event))

    def wait(self, ms: int = LATENCY_MS) -> list[OrderUpdate]:
        """Let market time pass."""
        self.now_ms += ms
        return self._record(self.engine.advance(self.now_ms * MS))

    # requests

    def post(self, request: OrderRequest) -> list[OrderUpdate]:
        """Admit a request; return the updates at once."""
        admitted = self.engine.admit(request)
        if isinstance(admitted, VenueReject):
            return self._record([admitted])
        self.engine.enqueue(admitted)
        return []

    def send(
        self, client_order_id: str, side: str, quantity: str, symbol: str = PERP, **fields: Any
    ) -> list[OrderUpdate]:
        """Send an order and wait until it has arrived; return the updates."""
        updates = self.post(send(client_order_id, side, quantity, symbol, self.now_ms, **fields))
        return updates + self.wait()

    def cancel(self, client_order_id: str) -> list[OrderUpdate]:
        """Cancel an order and wait until the cancel has arrived."""
        updates = self.post(
            CancelOrder(
                client_order_id=client_order_id,
                market_time_ns=self.now_ms * MS,
                signed_at_ns=0,
                receive_window_ms=1000,
            )
        )
        return updates + self.wait()

    def amend(self, client_order_id: str, **changes: str) -> list[OrderUpdate]:
        """Amend an order and wait until the amend has arrived."""
        updates = self.post(
            AmendOrder(
                client_order_id=client_order_id,
                market_time_ns=self.now_ms * MS,
                signed_at_ns=0,
                receive_window_ms=1000,
                **{field: D(value) for field, value in changes.items()},
            )
        )
        return updates + self.wait()

    # what came of it

    def order(self, client_order_id: str) -> VenueOrder:
        """The order as it is."""
        order = self.engine.order(client_order_id)
        assert order is not None, f"no order {client_order_id}"
        return order

    def position(self, symbol: str = PERP) -> Decimal:
        """Signed base units."""
        return next((each.quantity for each in self.engine.positions() if each.symbol == symbol), D(0))

    @property
    def cash(self) -> Decimal:
        """USDT."""
        return self.state.balances["USDT"]

    def _record(self, updates: list[OrderUpdate]) -> list[OrderUpdate]:
        self.updates += updates
        return updates


def trades_of(updates: list[OrderUpdate]) -> list[tuple[str, str, str, bool]]:
    """Trades as (order, quantity, price, maker)."""
    return [
        (each.client_order_id, str(each.quantity), str(each.price), each.maker)
        for each in updates
        if isinstance(each, VenueTrade)
    ]


def orders_of(updates: list[OrderUpdate]) -> list[tuple[str, str]]:
    """Orders as (order, state)."""
    return [(each.client_order_id, each.state.name) for each in updates if isinstance(each, VenueOrder)]
