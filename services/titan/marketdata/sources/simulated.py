"""The simulated market as a source: endless, the same for the same seed whatever the speed, unaware of strategies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from zlib import crc32

import numpy as np

from titan.domain.market import BookEvent, Level, MarketEvent, QuoteEvent
from titan.domain.order_book import BookDiff, OrderBook
from titan.domain.time import NS_PER_S
from titan.marketdata.simulation.flow import SymbolFlow
from titan.marketdata.simulation.parameters import FIRST_PRICES, PERP_FLOW, SPOT_FLOW, PriceParameters
from titan.marketdata.simulation.price import PricePath
from titan.recordings.book_check import BestPrices, BookCheck
from titan.recordings.source import SourceCounts, SourceError, instrument_of

BLOCK_S = 5
_BLOCK_NS = BLOCK_S * NS_PER_S
# Beginning of market time when it is not the machine's: 2024-08-08 00:00 UTC.
FIXED_START_NS = 1_723_075_200_000_000_000


class SimulatedSource:
    """Spot and perpetual of some bases, simulated.

    Every base has random streams of its own, so a base's path does not depend on which others are simulated. Its books
    are rebuilt and compared with its quotes like those of a recording.

    Parameters
    ----------
    symbols
        Unified symbols.
    seed
        Equal seeds give equal markets.
    start_ns
        Returns the market time at which the market begins; called once, at the beginning.
    first_prices
        First prices by base, quote units; other bases begin at their usual price.
    sequence
        Sequence of the event before the first.

    Raises
    ------
    SourceError
        When a symbol is not known here.
    """

    name = "simulated"
    label = "SIMULATED MARKET"

    def __init__(
        self,
        symbols: Sequence[str],
        seed: int,
        start_ns: Callable[[], int],
        first_prices: Mapping[str, Decimal] | None = None,
        sequence: int = 0,
    ) -> None:
        self.instruments = tuple(instrument_of(symbol, "symbols") for symbol in dict.fromkeys(symbols))
        if not self.instruments:
            raise SourceError("symbols: empty; the simulation needs at least one")
        self._start = start_ns
        self.counts = SourceCounts()
        self._seed = seed
        self._sequence = sequence
        known_prices = {base: float(price) for base, price in (first_prices or {}).items()}
        self._prices = {one.base: known_prices.get(one.base, FIRST_PRICES[one.base]) for one in self.instruments}

    @cached_property
    def start_ns(self) -> int:
        """Market time at which it begins; the first to ask fixes it."""
        return self._start()

    @property
    def identity(self) -> str:
        """Seed and symbols: equal ones make equal simulations."""
        symbols = ",".join(one.symbol for one in self.instruments)
        return f"simulated:{self._seed}:{symbols}"

    def last_prices(self) -> Mapping[str, Decimal]:
        """Last price of each base, for the continuation after a restart."""
        return {base: Decimal(repr(round(price, 4))) for base, price in self._prices.items()}

    def events(self) -> Iterator[MarketEvent]:
        """Events without end."""
        paths = {base: PricePath(self._rng(base), PriceParameters(), price) for base, price in self._prices.items()}
        flows = [
            SymbolFlow(
                self._rng(one.symbol), one, PERP_FLOW if one.kind == "perp" else SPOT_FLOW, self._prices[one.base]
            )
            for one in self.instruments
        ]
        watches = [_BookWatch(self.counts) for _ in flows]
        sequence, start_ns = self._sequence, self.start_ns
        while True:
            blocks = {base: path.block(BLOCK_S) for base, path in paths.items()}
            scheduled: list[tuple[int, int, int, int]] = []
            for number, flow in enumerate(flows):
                block = blocks[flow.instrument.base]
                prices = np.exp(block.log_price)
                if flow.instrument.kind == "perp":
                    prices = prices * (1 + block.basis)
                scheduled += [
                    (time_ns, number, kind, index)
                    for time_ns, kind, index in flow.schedule(start_ns, prices, block.volatility)
                ]
            scheduled.sort()
            for time_ns, number, kind, index in scheduled:
                sequence += 1
                event = flows[number].event(time_ns, kind, index, sequence)
                watches[number].observe(event, flows[number].update_id)
                yield event
            self._prices = {base: path.price for base, path in paths.items()}
            start_ns += _BLOCK_NS

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng((self._seed, crc32(name.encode())))


class _BookWatch:
    """Rebuilds a simulated book from its own differences and compares it with the quotes."""

    def __init__(self, counts: SourceCounts) -> None:
        self._check = BookCheck(counts.checks, counts.examples)
        self._book = OrderBook()

    def observe(self, event: MarketEvent, update_id: int) -> None:
        if isinstance(event, QuoteEvent):
            bid, ask = Level(event.bid_price, event.bid_quantity), Level(event.ask_price, event.ask_quantity)
            self._check.on_ticker(BestPrices(update_id, bid, ask))
        elif isinstance(event, BookEvent):
            if event.snapshot:
                self._book.on_snapshot(update_id, event.bids, event.asks, lambda: None)
                return
            book = self._book
            diff = BookDiff(update_id, update_id, book.last_id, event.event_time_ns, event.bids, event.asks)
            if book.on_diff(diff):
                self._check.on_applied(BestPrices(update_id, book.bids.best(), book.asks.best()))
