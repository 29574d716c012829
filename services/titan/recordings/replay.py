"""Recordings of Binance's raw websocket, several at once, in receive order.

Nothing is shown before its receipt: a book appears when its snapshot line was received, and a book whose chain of
differences has a hole goes empty (a snapshot without levels) until the next snapshot. A trade that is recorded twice is
shown once: bars, taker flow and the paper venue add up what they see.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import structlog

from titan.domain.enums import Side
from titan.domain.market import BookEvent, MarketEvent, QuoteEvent, TradeEvent
from titan.domain.order_book import BookDiff, DiffResult, OrderBook
from titan.recordings.binance import Message, Print, Recording, Snapshot, Ticker
from titan.recordings.book_check import BestPrices, BookCheck
from titan.recordings.source import SourceCounts, SourceError, instrument_of
from titan.recordings.trade_ids import TradeIds

_log = structlog.get_logger(__name__)


class ReplaySource:
    """Events of Binance recordings, merged by time of receipt.

    Parameters
    ----------
    paths
        The files; each holds one symbol of one product.
    symbols
        Unified symbols to play; empty for all that the files hold.

    Raises
    ------
    SourceError
        When a file cannot be played, two hold the same symbol, or a symbol is in none.
    """

    name = "replay"
    label = "REPLAY"

    def __init__(self, paths: Sequence[Path], symbols: Sequence[str] = ()) -> None:
        if not paths:
            raise SourceError("files: empty; a replay needs at least one recording")
        recordings = [Recording(path) for path in paths]
        found = [recording.symbol for recording in recordings]
        for symbol in found:
            if found.count(symbol) > 1:
                files = ", ".join(str(one.path) for one in recordings if one.symbol == symbol)
                raise SourceError(f"files: {files} all hold {symbol}; allowed is one recording a symbol")
        for symbol in symbols:
            if symbol not in found:
                raise SourceError(f"symbols: {symbol!r} is in no file; the files hold {', '.join(found)}")
        self._recordings = [one for one in recordings if not symbols or one.symbol in symbols]
        self.instruments = tuple(instrument_of(one.symbol, str(one.path)) for one in self._recordings)
        self.start_ns = min(one.start_ns for one in self._recordings)
        self.counts = SourceCounts()

    @property
    def identity(self) -> str:
        """Digest of the played market: symbols, sizes and first times of the files."""
        facts = "|".join(f"{one.symbol},{one.path.stat().st_size},{one.start_ns}" for one in self._recordings)
        return f"replay:{sha256(facts.encode()).hexdigest()[:16]}"

    def last_prices(self) -> Mapping[str, Decimal]:
        """Return nothing: a recording continues from its position."""
        return {}

    def events(self) -> Iterator[MarketEvent]:
        """All events, in receive order.

        Raises
        ------
        SourceError
            At the line that cannot be read.
        """
        players = [_Player(recording.symbol, self.counts) for recording in self._recordings]
        streams = [
            _tagged(recording, player, index)
            for index, (recording, player) in enumerate(zip(self._recordings, players, strict=True))
        ]
        sequence = 0
        for receive_ns, _, player, message in heapq.merge(*streams, key=lambda item: item[:2]):
            for event in player.play(receive_ns, message, sequence):
                sequence = event.sequence
                yield event
        for player in players:
            player.check.finish()


def _tagged(recording: Recording, player: _Player, index: int) -> Iterator[tuple[int, int, _Player, Message]]:
    for receive_ns, message in recording.messages():
        yield receive_ns, index, player, message


class _Player:
    """Turns the messages of one symbol into events."""

    def __init__(self, symbol: str, counts: SourceCounts) -> None:
        self.check = BookCheck(counts.checks, counts.examples)
        self._symbol = symbol
        self._counts = counts
        self._book = OrderBook()
        self._trade_ids = TradeIds()

    def play(self, receive_ns: int, message: Message, sequence: int) -> list[MarketEvent]:
        """Return the events of one message; their sequence follows ``sequence``."""
        if isinstance(message, Ticker):
            bid, ask = message.bid, message.ask
            self.check.on_ticker(BestPrices(message.update_id, bid, ask))
            return [
                QuoteEvent(
                    sequence + 1,
                    self._symbol,
                    message.event_time_ns,
                    receive_ns,
                    bid.price,
                    bid.quantity,
                    ask.price,
                    ask.quantity,
                )
            ]
        if isinstance(message, Print):
            if not self._trade_ids.add(message.trade_id):
                self._counts.repeated_trades += 1
                return []
            if not message.price or not message.quantity:
                return []
            side = Side.SELL if message.buyer_is_maker else Side.BUY
            return [
                TradeEvent(
                    sequence + 1,
                    self._symbol,
                    message.event_time_ns,
                    receive_ns,
                    str(message.trade_id),
                    message.price,
                    message.quantity,
                    side,
                )
            ]
        if isinstance(message, Snapshot):
            return self._on_snapshot(receive_ns, message, sequence)
        return self._on_diff(receive_ns, message, sequence)

    def _on_diff(self, receive_ns: int, diff: BookDiff, sequence: int) -> list[MarketEvent]:
        result = self._book.on_diff(diff)
        if result is DiffResult.APPLIED:
            self._check_best()
            return [self._diff_event(receive_ns, diff, sequence + 1)]
        if result is DiffResult.GAP:
            self._counts.gaps += 1
            _log.warning("book_gap", symbol=self._symbol, after_id=self._book.last_id, next_id=diff.first_id)
            return [self._unknown_event(receive_ns, diff.event_time_ns, sequence + 1)]
        return []

    def _on_snapshot(self, receive_ns: int, snapshot: Snapshot, sequence: int) -> list[MarketEvent]:
        book = self._book
        gaps = book.gaps
        applied = book.on_snapshot(snapshot.last_id, snapshot.bids, snapshot.asks, self._check_best)
        if applied is None:
            self._counts.unused_snapshots += 1
            _log.warning(
                "book_snapshot_unused", symbol=self._symbol, update_id=snapshot.last_id, state=book.state.value
            )
            return []
        events: list[MarketEvent] = [
            BookEvent(
                sequence + 1,
                self._symbol,
                snapshot.event_time_ns,
                receive_ns,
                True,
                snapshot.last_id,
                snapshot.bids,
                snapshot.asks,
            )
        ]
        events += [self._diff_event(receive_ns, diff, sequence + 2 + index) for index, diff in enumerate(applied)]
        if book.gaps > gaps:
            self._counts.gaps += 1
            _log.warning("book_gap", symbol=self._symbol, after_id=book.last_id)
            events.append(self._unknown_event(receive_ns, snapshot.event_time_ns, sequence + 1 + len(events)))
        return events

    def _check_best(self) -> None:
        book = self._book
        self.check.on_applied(BestPrices(book.last_id, book.bids.best(), book.asks.best()))

    def _diff_event(self, receive_ns: int, diff: BookDiff, sequence: int) -> BookEvent:
        return BookEvent(
            sequence, self._symbol, diff.event_time_ns, receive_ns, False, diff.last_id, diff.bids, diff.asks
        )

    def _unknown_event(self, receive_ns: int, event_time_ns: int, sequence: int) -> BookEvent:
        """Make an empty snapshot: a book with a hole must not be traded on."""
        return BookEvent(sequence, self._symbol, event_time_ns, receive_ns, True, self._book.last_id, (), ())
