"""OHLCV bars as events: rebuilt exactly, one interval late, and bad files named in one sentence."""

from __future__ import annotations

import csv
import itertools
import re
import tempfile
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.market.recorded import RECORDED
from titan.domain.market import BookEvent, QuoteEvent, TradeEvent
from titan.recordings.ohlcv import OhlcvSource
from titan.recordings.source import SourceError

HEADER = "timestamp,open,high,low,close,volume\n"
BARS = "2022-01-01 00:00:00,100,110,99,105,8\n2022-01-01 00:01:00,105,106,90,91,0\n"
MINUTE_NS = 60_000_000_000
START_NS = 1_640_995_200_000_000_000


def source(tmp_path: Path, text: str, quote: bool = False) -> OhlcvSource:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    return OhlcvSource(path, ["BTC/USDT:USDT"], quote)


def test_a_bar_is_shown_after_it_closed(tmp_path: Path) -> None:
    events = list(source(tmp_path, HEADER + BARS).events())
    trades = [event for event in events if isinstance(event, TradeEvent)]
    closed_ns = START_NS + MINUTE_NS
    assert [(one.market_time_ns - closed_ns, one.price, one.quantity) for one in trades] == [
        (0, Decimal(100), Decimal(2)),
        (MINUTE_NS // 4, Decimal(99), Decimal(2)),
        (MINUTE_NS // 2, Decimal(110), Decimal(2)),
        (MINUTE_NS * 3 // 4, Decimal(105), Decimal(2)),
    ]
    assert [event.sequence for event in events] == list(range(1, 21))
    quotes = [one.market_time_ns for one in events if isinstance(one, QuoteEvent)]
    assert quotes[4:] == [closed_ns + MINUTE_NS + part * MINUTE_NS // 4 for part in range(4)]


def test_quotes_and_books_stand_one_tick_apart_around_the_price(tmp_path: Path) -> None:
    for event in source(tmp_path, HEADER + BARS).events():
        if isinstance(event, QuoteEvent):
            assert event.ask_price - event.bid_price == Decimal("0.1")
        elif isinstance(event, BookEvent):
            assert event.snapshot
            assert event.asks[0].price - event.bids[0].price == Decimal("0.1")


def test_volume_in_quote_units_is_divided_by_the_close(tmp_path: Path) -> None:
    bars = "2022-01-01 00:00:00,100,100,100,100,800\n2022-01-01 00:01:00,100,100,100,100,800\n"
    trades = [one for one in source(tmp_path, HEADER + bars, True).events() if isinstance(one, TradeEvent)]
    assert {one.quantity for one in trades} == {Decimal(2)}


def at(minute: float) -> str:
    """A bar of that minute."""
    time = datetime.fromisoformat("2022-01-01") + timedelta(minutes=minute)
    return f"{time.isoformat(sep=' ')},100,110,99,105,8\n"


def bar(*numbers: object) -> str:
    return ",".join(map(str, ("2022-01-01 00:00:00", *numbers))) + "\n"


@pytest.mark.parametrize("minutes", [(0, 3, 4, 5, 6, 7), (0, 1, 4, 5, 9, 10), (0, 3, 4)])
def test_a_hole_is_no_interval(tmp_path: Path, minutes: tuple[int, ...]) -> None:
    played = source(tmp_path, HEADER + "".join(map(at, minutes)))
    assert played.start_ns == START_NS + MINUTE_NS
    times = [event.market_time_ns for event in played.events()]
    assert times == sorted(times)
    assert times[::3] == [
        START_NS + (minute + 1) * MINUTE_NS + part * MINUTE_NS // 4 for minute in minutes for part in range(4)
    ]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.sampled_from([0.25, 1.0, 7.0, 60.0]))
def test_time_never_falls_and_no_bar_is_shown_before_its_end(distances: list[int], length: float) -> None:
    minutes = [length * minute for minute in itertools.accumulate(distances, initial=0)]
    problem = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            played = source(Path(folder), HEADER + "".join(map(at, minutes)))
            times = [event.market_time_ns for event in played.events()]
        except SourceError as error:
            problem = str(error)
    if problem:
        assert re.search(r"line \d+: timestamp: [0-9.]+ s after the bar above it; allowed are multiples", problem)
        return
    assert times == sorted(times)
    interval_ns = played.start_ns - START_NS
    assert all(distance * length * MINUTE_NS >= interval_ns for distance in distances)
    assert times[::12] == [START_NS + int(minute * MINUTE_NS) + interval_ns for minute in minutes]


NOT_ABOVE_0 = r"is not allowed; allowed are decimals above 0 and below 10\^18"


def test_a_volume_too_large_for_the_wire_is_refused_where_it_stands(tmp_path: Path) -> None:
    bars = HEADER + at(0) + at(1).replace("100,110,99,105,8", "1,1,1,.2,9e17").replace("1,.2", ".2,.2")
    with pytest.raises(SourceError, match=r"line 3: volume: 9e17 at 0.2 is not allowed; allowed is below 10\^18 base"):
        source(tmp_path, bars, quote=True)


@pytest.mark.parametrize(
    ("description", "text", "message"),
    [
        ("other columns", "time,open\n1,2\n", r"columns are 'time,open'; expected are timestamp,open"),
        ("one bar", HEADER + BARS.splitlines()[0] + "\n", "fewer than two bars"),
        ("no number", HEADER + bar(1, "x", 1, 1, 1), rf"bars\.csv: line 2: high: 'x' {NOT_ABOVE_0}"),
        ("NaN", HEADER + bar(1, "NaN", 1, 1, 1), rf"line 2: high: 'NaN' {NOT_ABOVE_0}"),
        ("infinite", HEADER + bar("Infinity", "Infinity", 1, 1, 1), rf"line 2: open: 'Infinity' {NOT_ABOVE_0}"),
        ("beyond the wire", HEADER + bar(1, "1e400", 1, 1, 1), rf"line 2: high: '1e400' {NOT_ABOVE_0}"),
        ("price 0", HEADER + bar(1, 1, 0, 1, 1), rf"line 2: low: '0' {NOT_ABOVE_0}"),
        (
            "volume below 0",
            HEADER + bar(1, 1, 1, 1, -1),
            r"line 2: volume: '-1' is not allowed; allowed .* from 0 on and",
        ),
        ("a column short", HEADER + "2022-01-01 00:00:00,1,1,1,1\n", r"line 2: volume: '' is not allowed"),
        (
            "high below open",
            HEADER + bar(3, 2, 1, 2, 1),
            "line 2: open, close: 3, 2 are not allowed; .* low 1 to high 2",
        ),
        ("no time", HEADER + BARS.replace("2022-01-01 00:01:00", "noon"), r"line 3: timestamp: 'noon' is not allowed"),
        (
            "before 2000",
            HEADER + BARS.replace("2022-01-01 00:00", "1999-12-31 23:59"),
            r"line 2: timestamp: '1999-12-31",
        ),
        (
            "the year 9999",
            HEADER + BARS.replace("2022-01-01 00:01", "9999-01-01 00:01"),
            r"line 3: timestamp: '9999-01",
        ),
        (
            "overflowing zone",
            HEADER + BARS.replace("2022-01-01 00:01:00", "0001-01-01T00:00+23:59"),
            r"line 3: timestamp",
        ),
        (
            "time stands still",
            HEADER + BARS.splitlines()[0] + "\n" + BARS,
            r"line 3: timestamp: 0 s after the bar above it; allowed are later times",
        ),
        (
            "time falls",
            HEADER + "".join(map(at, (5, 6, 3))),
            r"line 4: timestamp: -180 s after the bar above it; allowed",
        ),
        (
            "half a bar",
            HEADER + "".join(map(at, (0, 1, 1.5, 2.5))),
            r"line 4: timestamp: 30 s after .* multiples of .*60 s",
        ),
        (
            "a bar and a half",
            HEADER + "".join(map(at, (0, 1, 2, 3.5))),
            r"line 5: timestamp: 90 s after the bar above it",
        ),
    ],
)
def test_bad_files(tmp_path: Path, description: str, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        source(tmp_path, text)


def test_exactly_one_symbol(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="symbols: none given; an OHLCV file is of exactly one"):
        OhlcvSource(tmp_path / "bars.csv", [], False)


def test_the_recorded_bars_are_rebuilt_exactly() -> None:
    path = RECORDED.folder / RECORDED.bars
    with path.open(newline="") as file:
        rows = list(itertools.islice(csv.DictReader(file), 500))
    assert len(rows) >= 15
    events = OhlcvSource(path, ["BTC/USDT:USDT"], True).events()
    trades = (event for event in events if isinstance(event, TradeEvent))
    for row in rows:
        prices = [one.price for one in itertools.islice(trades, 4)]
        assert (prices[0], max(prices), min(prices), prices[3]) == tuple(
            Decimal(row[name]) for name in ("open", "high", "low", "close")
        )
