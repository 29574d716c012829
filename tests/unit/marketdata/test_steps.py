"""Steps, the view after them, batches by filter, and the durable position."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from titan.domain.enums import Side
from titan.domain.market import BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.marketdata.playback_position import PlaybackError, PlaybackFile, PlaybackPosition, read_position
from titan.marketdata.steps import Step, cut_steps
from titan.marketdata.subscribers import StepBatches, SubscriptionFilter
from titan.marketdata.view import MarketView
from titan.recordings.source import SourceError
from titan.v1 import market_pb2 as pb

PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"


def quote(sequence: int, at: int, symbol: str = PERP, bid: str = "100") -> QuoteEvent:
    return QuoteEvent(sequence, symbol, 0, at, Decimal(bid), Decimal(1), Decimal(bid) + 1, Decimal(1))


def trade(sequence: int, at: int, symbol: str = PERP) -> TradeEvent:
    return TradeEvent(sequence, symbol, 0, at, str(sequence), Decimal(100), Decimal(1), Side.BUY)


def book(sequence: int, at: int, snapshot: bool, bids: dict[int, int], symbol: str = PERP) -> BookEvent:
    levels = tuple(Level(Decimal(price), Decimal(size)) for price, size in bids.items())
    return BookEvent(sequence, symbol, 0, at, snapshot, sequence, levels, ())


class Source:
    """Yields events, then breaks at the given place."""

    start_ns = 1_000

    def __init__(self, events: list[MarketEvent], problem: str = "") -> None:
        self._events, self._problem = events, problem

    def events(self) -> Iterator[MarketEvent]:
        yield from self._events
        if self._problem:
            raise SourceError(self._problem)


def cut(events: list[MarketEvent], duration_ns: int = 0, before: int = 0) -> list[tuple[int, int, list[int], bool]]:
    steps = cut_steps(Source(events), 10, duration_ns, before)  # type: ignore[arg-type]
    return [(step.number, step.end_ns, [event.sequence for event in step.events], step.last) for step in steps]


def test_events_fall_into_the_step_whose_end_they_do_not_pass_and_empty_steps_are_steps() -> None:
    assert cut([quote(1, 1_000), quote(2, 1_010), quote(3, 1_011), quote(4, 1_035)]) == [
        (1, 1_010, [1, 2], False),
        (2, 1_020, [3], False),
        (3, 1_030, [], False),
        (4, 1_040, [4], False),
        (5, 1_040, [], True),
    ]


def test_a_duration_ends_an_endless_source_and_numbers_go_on() -> None:
    events = [quote(number + 1, 1_000 + 5 * number) for number in range(1_000)]
    assert cut(events, duration_ns=20, before=7) == [
        (8, 1_010, [1, 2, 3], False),
        (9, 1_020, [4, 5], False),
        (10, 1_020, [], True),
    ]


def test_a_source_that_breaks_is_played_to_the_break() -> None:
    steps = cut_steps(Source([quote(1, 1_000), quote(2, 1_015)], "line 3"), 10)  # type: ignore[arg-type]
    assert [len(next(steps).events), len(next(steps).events)] == [1, 1]
    with pytest.raises(SourceError, match="line 3"):
        next(steps)


EVENTS = (quote(1, 1), trade(2, 2), quote(3, 3, SPOT), book(4, 4, True, {99: 1}), quote(5, 5), trade(6, 6, SPOT))
ALL = (pb.CHANNEL_QUOTES, pb.CHANNEL_TRADES, pb.CHANNEL_BOOK)


@pytest.mark.parametrize(
    ("description", "symbols", "channels", "conflate", "sequences"),
    [
        ("everything", (), ALL, False, [1, 2, 3, 4, 5, 6]),
        ("quotes conflated by symbol", (), ALL, True, [2, 3, 4, 5, 6]),
        ("one symbol", (SPOT,), ALL, False, [3, 6]),
        ("quotes only", (), (pb.CHANNEL_QUOTES,), False, [1, 3, 5]),
        ("book only", (), (pb.CHANNEL_BOOK,), True, [4]),
        ("nothing", (), (), False, []),
    ],
)
def test_a_filter_selects_events(
    description: str, symbols: tuple[str, ...], channels: tuple[int, ...], conflate: bool, sequences: list[int]
) -> None:
    event_filter = SubscriptionFilter(frozenset(symbols), frozenset(channels), conflate)
    batch = StepBatches(Step(3, 50, EVENTS), EVENTS).message(event_filter, 7).batch
    assert [event.sequence for event in batch.events] == sequences, description
    assert (batch.step, batch.market_time_ns, batch.step_complete, batch.queued_ns) == (3, 50, True, 7)


def test_equal_filters_share_a_batch() -> None:
    batches = StepBatches(Step(1, 50, EVENTS), EVENTS)
    one, other = (SubscriptionFilter(frozenset(), frozenset(ALL), False) for _ in range(2))
    assert batches.message(one, 0) is batches.message(other, 0)


def test_the_view_is_what_a_subscriber_that_saw_all_would_know() -> None:
    view = MarketView()
    view.apply(Step(1, 10, (book(1, 1, True, {99: 1, 98: 2}), quote(2, 2, SPOT), quote(3, 3))))
    view.apply(Step(2, 20, (book(4, 11, False, {99: 0, 97: 5}), quote(5, 12, bid="101"))))
    spot_quote, snapshot, last_quote = view.snapshot()
    assert (spot_quote.sequence, last_quote.sequence) == (2, 5)
    assert isinstance(snapshot, BookEvent)
    assert (snapshot.snapshot, snapshot.sequence, snapshot.update_id) == (True, 4, 4)
    assert [(int(level.price), int(level.quantity)) for level in snapshot.bids] == [(98, 2), (97, 5)]
    assert (view.step, view.market_time_ns, view.sequence) == (2, 20, 5)


def test_the_position_is_what_was_written_last(tmp_path: Path) -> None:
    path = tmp_path / "position.json"
    file = PlaybackFile(path)
    assert not path.exists()
    assert read_position(path) is None
    file.write(PlaybackPosition("a", 10_000_000, 1, 2, prices={"BTC": "61800.5"}))
    file.write(PlaybackPosition("a", 1, 1, 2, ended=True))
    file.close()
    assert read_position(path) == PlaybackPosition("a", 1, 1, 2, ended=True)
    again = PlaybackFile(path)
    again.write(PlaybackPosition("a", 2, 2, 3))
    again.close()
    assert read_position(path) == PlaybackPosition("a", 2, 2, 3)


@pytest.mark.parametrize(
    ("content", "problem"), [("", "is empty"), (" " * 1024, "is empty"), ("hello", "is damaged"), ("{}", "is damaged")]
)
def test_a_position_that_is_lost_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "position.json"
    path.write_text(content)
    with pytest.raises(PlaybackError) as raised:
        read_position(path)
    assert str(raised.value) == (
        f"{path}: {problem}, so the position of the market is lost; put a copy of the file back, "
        "or begin with another state directory"
    )


def test_an_unreachable_position_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlaybackError, match="cannot be opened"):
        PlaybackFile(tmp_path / "none" / "position.json")
