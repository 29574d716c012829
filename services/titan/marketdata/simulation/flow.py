"""Quotes, trades and book differences of one simulated symbol along a price path."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from titan.domain.enums import Side
from titan.domain.instruments import Instrument
from titan.domain.market import BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.time import NS_PER_MS, NS_PER_S
from titan.marketdata.simulation.book import SimulatedSide
from titan.marketdata.simulation.parameters import FlowParameters
from titan.marketdata.simulation.price import GRID_MS, GRID_PER_S, Floats

Ints = NDArray[np.int64]

_GRID_NS = GRID_MS * NS_PER_MS
# How strongly takers follow the last half second, in deviations of its return: flow follows price, never leads it.
_CHASE = 1.2
_CHASE_POINTS = GRID_PER_S // 2
# Deviation of the logarithm of a level's size.
_LEVEL_SPREAD = 0.8
_MOST_ACTIVE, _LEAST_ACTIVE = 6.0, 0.3
_WIDE_STOP = 0.35


class Kind(IntEnum):
    """Kinds of events; at one instant they happen in this order."""

    QUOTE = 0
    TRADE = 1
    BOOK = 2


class _Quotes(msgspec.Struct):
    """Best prices in ticks, sizes in quantity steps, one entry a quote."""

    bids: list[int]
    asks: list[int]
    bid_steps: list[int]
    ask_steps: list[int]


class _Trades(msgspec.Struct):
    buys: list[bool]
    steps: list[int]


class _Books(msgspec.Struct):
    chances: Floats
    sizes: Floats


class SymbolFlow:
    """One symbol: draws a block of events at once, then builds them one by one in time order.

    A book difference carries the best prices of the quote before it, as a venue's does, with a greater update id.
    """

    def __init__(self, rng: np.random.Generator, instrument: Instrument, flow: FlowParameters, price: float) -> None:
        self.instrument = instrument
        self._rng = rng
        self._flow = flow
        self._price = price
        self._bids = SimulatedSide(instrument, flow, price, 1)
        self._asks = SimulatedSide(instrument, flow, price, -1)
        self._update_id = 0
        self._trade_id = 0
        self._fresh = True
        self._best = (0, 0, 0, 0)
        self._recent: Floats = np.full(_CHASE_POINTS, price)
        self._quotes = _Quotes([], [], [], [])
        self._trades = _Trades([], [])
        self._books = _Books(np.empty(0), np.empty(0))

    def schedule(self, start_ns: int, prices: Floats, volatility: Floats) -> list[tuple[int, int, int]]:
        """Draw a block that begins at ``start_ns``.

        Parameters
        ----------
        start_ns
            Market time of the first grid point.
        prices
            This symbol's price on the grid, in quote units.
        volatility
            One value a second, relative to the median; activity follows it.

        Returns
        -------
        list of (time_ns, kind, index)
            In time order; :meth:`event` builds each.
        """
        activity = np.clip(volatility, _LEAST_ACTIVE, _MOST_ACTIVE)
        flow, length_ns = self._flow, prices.size * _GRID_NS
        quote_ns = self._times(activity * flow.quotes_per_s)
        if self._fresh:
            quote_ns = np.concatenate((np.zeros(1, np.int64), quote_ns))
        burst_ns = self._times(activity * flow.trade_bursts_per_s)
        trade_ns = np.repeat(burst_ns, self._rng.geometric(1 / flow.trades_per_burst, burst_ns.size))
        count = round(length_ns / (flow.book_interval_ms * NS_PER_MS))
        jitter = self._rng.uniform(0.2, 1.0, count)
        book_ns = ((np.arange(count) + jitter) * (length_ns / count)).astype(np.int64) - 1
        if self._fresh:
            book_ns = np.concatenate((np.zeros(1, np.int64), book_ns))
        self._draw_quotes(quote_ns, prices)
        self._draw_trades(trade_ns, prices, volatility)
        slots = (book_ns.size, 2, flow.slots)
        # Factors with mean 1: the depth of the parameters is the mean.
        sizes = np.exp(self._rng.standard_normal(slots) * _LEVEL_SPREAD - _LEVEL_SPREAD**2 / 2)
        self._books = _Books(self._rng.random(slots), sizes)
        self._recent = prices[-_CHASE_POINTS:]
        events = [
            (start_ns + time_ns, kind.value, index)
            for kind, times in ((Kind.QUOTE, quote_ns), (Kind.TRADE, trade_ns), (Kind.BOOK, book_ns))
            for index, time_ns in enumerate(times.tolist())
        ]
        events.sort()
        return events

    def event(self, time_ns: int, kind: int, index: int, sequence: int) -> MarketEvent:
        """Build one scheduled event; each is built once, in order."""
        if kind == Kind.QUOTE:
            return self._quote(time_ns, index, sequence)
        if kind == Kind.TRADE:
            return self._trade(time_ns, index, sequence)
        return self._book(time_ns, index, sequence)

    @property
    def update_id(self) -> int:
        """Id of the last quote or book event."""
        return self._update_id

    def _times(self, rates: Floats) -> Ints:
        """Irregular times in a block, nanoseconds from its beginning; ``rates`` is one a second."""
        counts = self._rng.poisson(rates)
        times = (np.repeat(np.arange(rates.size), counts) + self._rng.random(int(counts.sum()))) * NS_PER_S
        return np.sort(times.astype(np.int64))

    def _draw_quotes(self, times: Ints, prices: Floats) -> None:
        rng, flow, count = self._rng, self._flow, times.size
        moves = rng.random(count) < flow.moves
        if count:
            # A block's first quote may bring the price up to date: the one before it is of another block.
            moves[0] = True
        last_move = np.maximum.accumulate(np.where(moves, np.arange(count), 0))
        center = prices[times // _GRID_NS] / float(self.instrument.tick_size)
        wide = rng.random(count) >= flow.one_tick_share
        spreads = 1 + wide * rng.geometric(_WIDE_STOP, count)
        bids = np.floor(center - spreads / 2 + 0.5).astype(np.int64)
        top_steps = flow.top_median / (self._price * float(self.instrument.quantity_step))
        sizes = np.exp(rng.standard_normal((2, count)) * flow.top_spread) * top_steps
        bid_steps, ask_steps = np.maximum(1, sizes).astype(np.int64).tolist()
        self._quotes = _Quotes(bids[last_move].tolist(), (bids + spreads)[last_move].tolist(), bid_steps, ask_steps)

    def _draw_trades(self, times: Ints, prices: Floats, volatility: Floats) -> None:
        rng, flow = self._rng, self._flow
        points = times // _GRID_NS
        known = np.concatenate((self._recent, prices))
        returns = np.log(known[points + _CHASE_POINTS] / known[points])
        scale = np.std(np.diff(np.log(prices))) * np.sqrt(_CHASE_POINTS)
        lean = np.clip(returns / scale, -3, 3) * _CHASE
        # Trades of one burst have one aggressor: the same lean, and the same draw.
        _, first = np.unique(times, return_inverse=True)
        noise = rng.standard_normal(times.size)[first] if times.size else np.empty(0)
        step = self._price * float(self.instrument.quantity_step)
        sizes = np.exp(rng.standard_normal(times.size) * flow.trade_spread) * (flow.trade_median / step)
        smallest = float(self.instrument.min_quantity / self.instrument.quantity_step)
        self._trades = _Trades((lean + noise > 0).tolist(), np.maximum(smallest, sizes).astype(np.int64).tolist())

    def _quote(self, time_ns: int, index: int, sequence: int) -> QuoteEvent:
        quotes, instrument = self._quotes, self.instrument
        self._best = best = (quotes.bids[index], quotes.bid_steps[index], quotes.asks[index], quotes.ask_steps[index])
        self._update_id += 1
        tick, step = instrument.tick_size, instrument.quantity_step
        return QuoteEvent(
            sequence,
            instrument.symbol,
            time_ns,
            time_ns,
            Decimal(best[0]) * tick,
            Decimal(best[1]) * step,
            Decimal(best[2]) * tick,
            Decimal(best[3]) * step,
        )

    def _trade(self, time_ns: int, index: int, sequence: int) -> TradeEvent:
        self._trade_id += 1
        buy, instrument = self._trades.buys[index], self.instrument
        return TradeEvent(
            sequence,
            instrument.symbol,
            time_ns,
            time_ns,
            str(self._trade_id),
            Decimal(self._best[2] if buy else self._best[0]) * instrument.tick_size,
            Decimal(self._trades.steps[index]) * instrument.quantity_step,
            Side.BUY if buy else Side.SELL,
        )

    def _book(self, time_ns: int, index: int, sequence: int) -> BookEvent:
        bid, bid_steps, ask, ask_steps = self._best
        chances, sizes = self._books.chances[index], self._books.sizes[index]
        bids: list[Level] = self._bids.update(bid, bid_steps, chances[0], sizes[0])
        asks: list[Level] = self._asks.update(ask, ask_steps, chances[1], sizes[1])
        self._update_id += 1
        snapshot, self._fresh = self._fresh, False
        return BookEvent(
            sequence, self.instrument.symbol, time_ns, time_ns, snapshot, self._update_id, tuple(bids), tuple(asks)
        )
