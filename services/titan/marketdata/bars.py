"""Closed one-second bars of every symbol, from its trades: the history that warms up a restarted subscriber."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from titan.domain.market import Bar, MarketEvent, TradeEvent
from titan.domain.numbers import ZERO
from titan.domain.time import NS_PER_S

BAR_NS = NS_PER_S
HISTORY_BARS = 300


class BarHistory:
    """The last closed bars by symbol, on the market clock's whole seconds.

    A bar is closed when the market clock has passed its end. The second in which a symbol's first trade falls was not
    seen from its beginning and makes no bar. A later second without a trade is flat at the last close with quantity 0.
    """

    def __init__(self, length: int = HISTORY_BARS) -> None:
        self._length = length
        self._bars: dict[str, deque[Bar]] = {}
        self._open: dict[str, _OpenBar] = {}

    def on_trade(self, trade: TradeEvent) -> None:
        """Apply a trade; trades come in order of market time."""
        start_ns = trade.market_time_ns // BAR_NS * BAR_NS
        open_bar = self._open.get(trade.symbol)
        if open_bar is None:
            # Earlier trades of this second are unknown: the first whole bar is the next one.
            self._open[trade.symbol] = _OpenBar(start_ns, trade.price, partial=True)
            self._bars[trade.symbol] = deque(maxlen=self._length)
            return
        if start_ns > open_bar.start_ns:
            self._close_until(trade.symbol, start_ns)
        self._open[trade.symbol].add(trade.price, trade.quantity)

    def on_events(self, events: Iterable[MarketEvent], market_time_ns: int) -> None:
        """Apply a step's events; market time is ``market_time_ns`` after them."""
        for event in events:
            if isinstance(event, TradeEvent):
                self.on_trade(event)
        for symbol in self._open:
            self._close_until(symbol, market_time_ns // BAR_NS * BAR_NS)

    def closed(self) -> list[Bar]:
        """All closed bars, oldest first."""
        return sorted((bar for bars in self._bars.values() for bar in bars), key=lambda bar: (bar.end_ns, bar.symbol))

    def _close_until(self, symbol: str, start_ns: int) -> None:
        open_bar, bars = self._open[symbol], self._bars[symbol]
        while open_bar.start_ns < start_ns:
            if not open_bar.partial:
                bars.append(open_bar.bar(symbol))
            open_bar = _OpenBar(open_bar.start_ns + BAR_NS, open_bar.close, partial=False)
        self._open[symbol] = open_bar


class _OpenBar:
    """The bar in the making; without a trade it is flat at the close before it."""

    __slots__ = ("close", "high", "low", "open", "partial", "quantity", "start_ns")

    def __init__(self, start_ns: int, last_price: Decimal, partial: bool) -> None:
        self.start_ns = start_ns
        self.partial = partial
        self.open = self.high = self.low = self.close = last_price
        self.quantity = ZERO

    def add(self, price: Decimal, quantity: Decimal) -> None:
        if not self.quantity:
            self.open = self.high = self.low = price
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.quantity += quantity

    def bar(self, symbol: str) -> Bar:
        return Bar(
            symbol,
            self.start_ns,
            self.start_ns + BAR_NS,
            self.open,
            self.high,
            self.low,
            self.close,
            self.quantity,
        )
