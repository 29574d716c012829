"""OHLCV bars from a CSV file as quotes, trades and a thin book, without look-ahead.

Columns: ``timestamp,open,high,low,close,volume``; the time is UTC and is the beginning of the bar. A bar becomes known
when it closes, so its four trades (open, then the extreme nearer to the open, the other extreme, close; a quarter of
the volume each) are shown at 0, 1/4, 1/2 and 3/4 of the interval *after* it: the bar is rebuilt exactly, one interval
late. Before each trade a quote and a book of one level a side stand one tick apart around its price. Their size is the
trade's: the file has no book, and a simulated fill should not be larger than the traded volume.

The interval is the most frequent distance between two bars. A distance that is a multiple of it is a hole. Any other
distance is refused: a bar would be shown before its end, or time would fall.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import islice, pairwise
from pathlib import Path

import msgspec

from titan.domain.enums import Side
from titan.domain.market import BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.numbers import ZERO, floor_to, format_decimal
from titan.domain.time import NS_PER_DAY, NS_PER_S
from titan.recordings import fields
from titan.recordings.source import SourceCounts, SourceError, instrument_of

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
_TRADES_PER_BAR = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Bar(msgspec.Struct, frozen=True):
    """Prices in quote units, volume in base units."""

    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def path(self) -> tuple[Decimal, ...]:
        """The four prices in the order in which they are shown."""
        down_first = self.open - self.low <= self.high - self.open
        middle = (self.low, self.high) if down_first else (self.high, self.low)
        return (self.open, *middle, self.close)


class OhlcvSource:
    """One OHLCV file of one symbol.

    Parameters
    ----------
    path
        The file.
    symbols
        Its unified symbol, which the file does not have.
    volume_in_quote
        Whether its volume is in quote instead of base units.

    Raises
    ------
    SourceError
        When the file cannot be read, its columns are others, its bars are not of one length, or not exactly one symbol
        is given.
    """

    name = "replay"
    label = "REPLAY"

    def __init__(self, path: Path, symbols: Sequence[str], volume_in_quote: bool) -> None:
        if len(symbols) != 1:
            raise SourceError(f"symbols: {', '.join(symbols) or 'none'} given; an OHLCV file is of exactly one")
        self._path = path
        self._volume_in_quote = volume_in_quote
        self.instruments = (instrument_of(symbols[0], "symbols"),)
        self.counts = SourceCounts()
        first_ns, self._interval_ns = self._find_interval()
        self.start_ns = first_ns + self._interval_ns

    @property
    def identity(self) -> str:
        """Digest of the played market: symbol, size and beginning of the file."""
        facts = f"{self.instruments[0].symbol},{self._path.stat().st_size},{self.start_ns},{self._volume_in_quote}"
        return f"ohlcv:{sha256(facts.encode()).hexdigest()[:16]}"

    def last_prices(self) -> Mapping[str, Decimal]:
        """Return nothing: a recording continues from its position."""
        return {}

    def events(self) -> Iterator[MarketEvent]:
        """All events; each bar's after its end.

        Raises
        ------
        SourceError
            At the line that cannot be read.
        """
        instrument = self.instruments[0]
        symbol, tick = instrument.symbol, instrument.tick_size
        sequence = trades = 0
        before = ZERO
        for bar in self._bars():
            quantity = max(floor_to(bar.volume / _TRADES_PER_BAR, instrument.quantity_step), instrument.min_quantity)
            closed_ns = bar.start_ns + self._interval_ns
            for part, price in enumerate(bar.path()):
                time_ns = closed_ns + part * self._interval_ns // _TRADES_PER_BAR
                side = Side.BUY if price >= before else Side.SELL
                bid = price - tick if side is Side.BUY else price
                ask = bid + tick
                trades += 1
                yield BookEvent(
                    sequence + 1,
                    symbol,
                    time_ns,
                    time_ns,
                    True,
                    trades,
                    (Level(bid, quantity),),
                    (Level(ask, quantity),),
                )
                yield QuoteEvent(sequence + 2, symbol, time_ns, time_ns, bid, quantity, ask, quantity)
                if bar.volume:
                    yield TradeEvent(sequence + 3, symbol, time_ns, time_ns, str(trades), price, quantity, side)
                sequence += 3 if bar.volume else 2
                before = price

    def _find_interval(self) -> tuple[int, int]:
        """Return the begin of the first bar and the length of a bar, in nanoseconds."""
        for _ in islice(self._bars(), 2):
            # Their numbers are read as well: most unusable files are refused before anything is started.
            pass
        times = [(number, self._time_ns(number, row["timestamp"])) for number, row in self._rows()]
        if len(times) < 2:
            raise SourceError(f"{self._path}: fewer than two bars; their distance is the length of a bar")
        distances = [(number, after - before) for (_, before), (number, after) in pairwise(times)]
        for number, distance in distances:
            if distance <= 0:
                raise self._error(
                    number, f"timestamp: {_seconds(distance)} s after the bar above it; allowed are later times"
                )
        counts = Counter(distance for _, distance in distances)
        # Of two that are equally frequent the longer one is a hole.
        interval = min(counts, key=lambda distance: (-counts[distance], distance))
        for number, distance in distances:
            if distance % interval:
                raise self._error(
                    number,
                    f"timestamp: {_seconds(distance)} s after the bar above it; allowed are multiples of the interval, "
                    f"{_seconds(interval)} s",
                )
        return times[0][1], interval

    def _bars(self) -> Iterator[_Bar]:
        tick = self.instruments[0].tick_size
        for number, row in self._rows():
            try:
                first, high, low, last, volume = [
                    fields.bar_number(row[column], column, positive=column != "volume") for column in COLUMNS[1:]
                ]
            except ValueError as error:
                raise self._error(number, str(error)) from error
            start_ns = self._time_ns(number, row["timestamp"])
            if not low <= min(first, last) <= max(first, last) <= high:
                raise self._error(
                    number, f"open, close: {first}, {last} are not allowed; allowed is from low {low} to high {high}"
                )
            if low <= tick:
                raise self._error(number, f"low: {low} is not allowed; allowed is above the tick size, {tick}")
            if self._volume_in_quote:
                volume /= last
                if volume >= fields.NUMBER_END:
                    raise self._error(
                        number,
                        f"volume: {row['volume']} at {last} is not allowed; allowed is below 10^18 base units",
                    )
            yield _Bar(start_ns, first, high, low, last, volume)

    def _time_ns(self, number: int, text: str) -> int:
        try:
            time = datetime.fromisoformat(text)
            time_ns = _nanoseconds(time)
        except (ValueError, OverflowError):
            time_ns = 0
        if not fields.FIRST_NS <= time_ns < fields.END_NS:
            raise self._error(
                number,
                f"timestamp: {text!r} is not allowed; allowed are times like 2024-08-08 23:54:17, of 2000 to 2199",
            )
        return time_ns

    def _rows(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file, restval="", restkey="extra")
                names = tuple(reader.fieldnames or ())
                if names != COLUMNS:
                    raise SourceError(
                        f"{self._path}: columns are {','.join(names)!r}; expected are {','.join(COLUMNS)}"
                    )
                for row in reader:
                    yield reader.line_num, row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{self._path}: cannot be read: {error}") from error

    def _error(self, number: int, problem: str) -> SourceError:
        return SourceError(f"{self._path}: line {number}: {problem}")


def _seconds(duration_ns: int) -> str:
    return format_decimal(Decimal(duration_ns) / NS_PER_S)


def _nanoseconds(time: datetime) -> int:
    difference = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return difference.days * NS_PER_DAY + difference.seconds * NS_PER_S + difference.microseconds * 1_000
