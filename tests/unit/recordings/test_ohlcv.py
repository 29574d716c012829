"""OHLCV bars as events: rebuilt exactly, one interval late, and bad files named in one sentence."""

from __future__ import annotations

import csv
import itertools
from decimal import Decimal
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("description", "text", "message"),
    [
        ("other columns", "time,open\n1,2\n", r"columns are 'time,open'; expected are timestamp,open"),
        ("one bar", HEADER + BARS.splitlines()[0] + "\n", "fewer than two bars"),
        ("no number", HEADER + "2022-01-01 00:00:00,1,x,1,1,1\n", r"bars\.csv: line 2: .* is no bar"),
        ("NaN", HEADER + "2022-01-01 00:00:00,1,NaN,1,1,1\n", r"line 2: .* is no bar"),
        ("a column short", HEADER + "2022-01-01 00:00:00,1,1,1,1\n", r"line 2: .* is no bar"),
        ("high below open", HEADER + "2022-01-01 00:00:00,3,2,1,2,1\n", "line 2: open and close must lie between"),
        ("time stands still", HEADER + BARS.splitlines()[0] + "\n" + BARS, r"line 3: 2022-01-01 00:00:00 is not after"),
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
