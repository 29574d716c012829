"""State of a subscriber that has received every event: books, last quotes, closed bars."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.market import BookEvent, Level, MarketEvent, QuoteEvent
from titan.marketdata.bars import BarHistory
from titan.marketdata.steps import Step


class MarketView:
    """The state after the last applied step: the first batch of a new subscriber."""

    def __init__(self) -> None:
        self.step = 0
        self.market_time_ns = 0
        self.sequence = 0
        self.bars = BarHistory()
        self._quotes: dict[str, QuoteEvent] = {}
        self._books: dict[str, _Book] = {}

    def resume(self, step: int, market_time_ns: int, sequence: int) -> None:
        """Continue after a step whose events are not read again: books, quotes and bars are unknown."""
        self.step, self.market_time_ns, self.sequence = step, market_time_ns, sequence

    def apply(self, step: Step) -> None:
        """Apply a whole step."""
        for event in step.events:
            if isinstance(event, BookEvent):
                self._books.setdefault(event.symbol, _Book()).apply(event)
            elif isinstance(event, QuoteEvent):
                self._quotes[event.symbol] = event
        if step.events:
            self.sequence = step.events[-1].sequence
        self.bars.on_events(step.events, step.end_ns)
        self.step, self.market_time_ns = step.number, step.end_ns

    def snapshot(self) -> list[MarketEvent]:
        """Book snapshots and last quotes of all symbols, each with the sequence and times of the event it is due to."""
        events: list[MarketEvent] = [book.event() for book in self._books.values()]
        events += self._quotes.values()
        return sorted(events, key=lambda event: event.sequence)


class _Book:
    """Levels after the applied events."""

    __slots__ = ("_asks", "_bids", "_last")

    def __init__(self) -> None:
        self._bids: dict[Decimal, Decimal] = {}
        self._asks: dict[Decimal, Decimal] = {}
        self._last: BookEvent | None = None

    def apply(self, event: BookEvent) -> None:
        if event.snapshot:
            self._bids.clear()
            self._asks.clear()
        for side, levels in ((self._bids, event.bids), (self._asks, event.asks)):
            for level in levels:
                if level.quantity:
                    side[level.price] = level.quantity
                else:
                    side.pop(level.price, None)
        self._last = event

    def event(self) -> BookEvent:
        last = self._last
        assert last is not None
        return BookEvent(
            last.sequence,
            last.symbol,
            last.event_time_ns,
            last.market_time_ns,
            True,
            last.update_id,
            tuple(Level(price, self._bids[price]) for price in sorted(self._bids, reverse=True)),
            tuple(Level(price, self._asks[price]) for price in sorted(self._asks)),
        )
