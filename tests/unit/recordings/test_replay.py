"""Recordings: the events and their times, order over files, and every way in which a file can be broken."""

from __future__ import annotations

import copy
import gzip
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from support.market.recorded import FUTURES, RECORDED, SPOT
from support.market.recordings import START_MS, START_NS, spot_lines, write
from titan.domain.enums import Side
from titan.domain.market import BookEvent, Level, MarketEvent, QuoteEvent, TradeEvent
from titan.recordings.replay import ReplaySource
from titan.recordings.source import SourceError


def test_a_small_recording_event_by_event(tmp_path: Path) -> None:
    source = ReplaySource([write(tmp_path / "a.gz", spot_lines())])
    snapshot, diff, quote, trade, last_diff, last_quote = source.events()
    assert source.instruments[0].symbol == "BTC/USDT"
    assert source.start_ns == START_NS
    at = START_NS + 20_000_000
    assert isinstance(snapshot, BookEvent)
    assert (snapshot.snapshot, snapshot.update_id, snapshot.market_time_ns) == (True, 10, at)
    assert isinstance(diff, BookEvent)
    assert (diff.snapshot, diff.update_id, diff.market_time_ns) == (False, 12, at)
    assert diff.bids == (Level(Decimal(100), Decimal(1)),)
    assert isinstance(quote, QuoteEvent)
    assert (quote.bid_price, quote.ask_quantity, quote.event_time_ns) == (Decimal(100), Decimal(2), 0)
    assert trade == TradeEvent(
        4, "BTC/USDT", START_NS + 4_000_000, START_NS + 40_000_000, "77", Decimal("100.1"), Decimal("0.5"), Side.SELL
    )
    assert isinstance(last_diff, BookEvent)
    assert isinstance(last_quote, QuoteEvent)
    counts = source.counts
    assert (counts.checks.checked, counts.checks.mismatches, counts.gaps) == (2, 0, 0)


def test_a_corrupted_difference_is_caught(tmp_path: Path) -> None:
    lines = spot_lines()
    lines[5][1]["data"]["b"] = [["100.00", "0.7"]]
    source = ReplaySource([write(tmp_path / "a.gz", lines)])
    list(source.events())
    assert source.counts.checks.mismatches == 1
    assert "rebuilt 0.7 @ 100" in source.counts.examples[0]


def test_a_gap_empties_the_book_and_is_counted(tmp_path: Path) -> None:
    lines = spot_lines()
    lines[5][1]["data"]["U"] = 14
    source = ReplaySource([write(tmp_path / "a.gz", lines)])
    books = [event for event in source.events() if isinstance(event, BookEvent)]
    assert [(one.snapshot, len(one.bids)) for one in books] == [(True, 1), (False, 1), (True, 0)]
    assert source.counts.gaps == 1


@pytest.mark.parametrize("name", [FUTURES, SPOT])
def test_a_doubled_line_changes_nothing(tmp_path: Path, name: str) -> None:
    lines = gzip.decompress((RECORDED.folder / name).read_bytes()).splitlines(keepends=True)[:1_500]
    once, twice = tmp_path / "once.gz", tmp_path / "twice.gz"
    once.write_bytes(gzip.compress(b"".join(lines)))
    # Quotes are left as they are: they replace one another.
    twice.write_bytes(gzip.compress(b"".join(line if b"bookTicker" in line else line * 2 for line in lines)))
    source, doubled = ReplaySource([once]), ReplaySource([twice])
    assert list(doubled.events()) == list(source.events())
    assert doubled.counts.checks == source.counts.checks
    assert doubled.counts.gaps == 0
    assert (source.counts.repeated_trades, doubled.counts.repeated_trades) == (
        0,
        sum(b'"e":"trade"' in x for x in lines),
    )


def test_a_trade_is_shown_once_by_its_id_and_symbol(tmp_path: Path) -> None:
    lines, trade = spot_lines(), spot_lines()[4][1]
    newer = copy.deepcopy(trade)
    newer["data"] |= {"t": 79}
    # Told again much later, and behind a newer one; the id between them was late.
    late = copy.deepcopy(trade)
    late["data"] |= {"t": 78}
    lines += [(70, newer), (80, trade), (90, late), (100, newer)]
    # Another symbol has ids of its own.
    eth = write(tmp_path / "b.gz", spot_lines("ETHUSDT"))
    source = ReplaySource([write(tmp_path / "a.gz", lines), eth])
    events = list(source.events())
    assert [(one.symbol, one.trade_id) for one in events if isinstance(one, TradeEvent)] == [
        ("BTC/USDT", "77"),
        ("ETH/USDT", "77"),
        ("BTC/USDT", "79"),
        ("BTC/USDT", "78"),
    ]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert source.counts.repeated_trades == 2


def test_files_are_merged_by_receive_time_whatever_their_order(tmp_path: Path) -> None:
    eth = write(tmp_path / "b.gz", spot_lines("ETHUSDT"), START_NS + 5_000_000)
    btc = write(tmp_path / "a.gz", spot_lines())
    events = list(ReplaySource([eth, btc]).events())
    times = [event.market_time_ns for event in events]
    assert times == sorted(times)
    assert [event.sequence for event in events] == list(range(1, 13))
    assert {event.symbol for event in events} == {"BTC/USDT", "ETH/USDT"}
    assert events[0].symbol == "BTC/USDT"


def test_symbols_choose_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.gz", spot_lines()), write(tmp_path / "b.gz", spot_lines("ETHUSDT"))]
    source = ReplaySource(paths, ["ETH/USDT"])
    assert {event.symbol for event in source.events()} == {"ETH/USDT"}
    with pytest.raises(SourceError, match=r"symbols: 'SOL/USDT' is in no file; the files hold BTC/USDT, ETH/USDT"):
        ReplaySource(paths, ["SOL/USDT"])


def play_to_the_break(source: ReplaySource) -> tuple[list[MarketEvent], str]:
    events: list[MarketEvent] = []
    try:
        for event in source.events():
            events.append(event)  # noqa: PERF402 — the events before the error are the point
    except SourceError as error:
        return events, str(error)
    raise AssertionError("the source was read to its end")


def without_snapshot(lines):
    return [line for line in lines if "lastUpdateId" not in line[1]]


def changed(index: int, **fields: object):
    def change(lines):
        lines = copy.deepcopy(lines)
        lines[index][1]["data"].update(fields)
        return lines

    return change


def without(index: int, field: str):
    def change(lines):
        lines = copy.deepcopy(lines)
        del lines[index][1]["data"][field]
        return lines

    return change


def replaced(index: int, old: str, new: str):
    def change(lines):
        offset_ms, message = lines[index]
        text = json.dumps(message)
        assert old in text
        return [*lines[:index], (offset_ms, text.replace(old, new)), *lines[index + 1 :]]

    return change


def received(index: int, time: object):
    """A line with another time of receipt: it is written as the rest of the line above."""

    def change(lines):
        offset_ms, message = lines[index - 1]
        return [
            *lines[: index - 1],
            (offset_ms, f"{json.dumps(message)}\n{time} {json.dumps(lines[index][1])}"),
            *lines[index + 1 :],
        ]

    return change


NOT_FROM_0 = "is not allowed; allowed are decimals from 0 on"
NOT_ABOVE_0 = "is not allowed; allowed are decimals above 0"
NO_TIME = "is not allowed; allowed are nanoseconds from 946684800000000000 to 7258118399999999999"


@pytest.mark.parametrize(
    ("description", "change", "message"),
    [
        ("no snapshot", without_snapshot, r"a\.gz: no book snapshot"),
        ("no message", lambda lines: lines[2:3], r"a\.gz: no depthUpdate"),
        ("empty", lambda lines: [], r"a\.gz: holds no line"),
        ("unknown symbol", changed(0, s="XXUSDT"), r"a\.gz: symbol 'XX/USDT' is not traded here; allowed are BTC"),
        ("no such quote currency", changed(0, s="BTCXYZ"), r"a\.gz: symbol: 'BTCXYZ' is not known"),
    ],
)
def test_refused_before_anything_is_started(tmp_path: Path, description: str, change, message: str) -> None:
    path = write(tmp_path / "a.gz", change(spot_lines()))
    with pytest.raises(SourceError, match=message):
        ReplaySource([path])


@pytest.mark.parametrize(
    ("description", "change", "message", "played"),
    [
        ("bad JSON", lambda lines: [*lines[:6], (50, "{"), *lines[6:]], r"a\.gz: line 7: not 'receive_ns json'", 5),
        (
            "falling time",
            lambda lines: [*lines[:6], (49, lines[6][1])],
            r"line 7: received at .* before the line above",
            5,
        ),
        ("another symbol", changed(6, s="ETHUSDT"), r"line 7: symbol 'ETHUSDT' in a recording of 'BTCUSDT'", 5),
        ("negative quantity", changed(5, b=[["100", "-1"]]), rf"line 6: quantity of b\[0\]: '-1' {NOT_FROM_0}", 4),
        (
            "price of a level 0",
            changed(5, a=[["1", "1"], ["0", "1"]]),
            rf"line 6: price of a\[1\]: '0' {NOT_ABOVE_0}",
            4,
        ),
        ("no list of levels", changed(5, b="1"), r"line 6: b: '1' is not allowed; allowed is a list of levels", 4),
        ("ticker NaN", changed(6, b="NaN"), rf"line 7: b: 'NaN' {NOT_FROM_0}", 5),
        ("ticker infinite", changed(6, a="Infinity"), rf"line 7: a: 'Infinity' {NOT_FROM_0}", 5),
        ("ticker quantity infinite", changed(6, A="-Infinity"), rf"line 7: A: '-Infinity' {NOT_FROM_0}", 5),
        (
            "ticker with levels",
            changed(6, a=[["1", "1"]]),
            r"line 7: a, A: not two decimals; allowed are a price and a quantity",
            5,
        ),
        ("level infinite", changed(5, a=[["Infinity", "1"]]), rf"line 6: price of a\[0\]: 'Infinity' {NOT_ABOVE_0}", 4),
        ("level signaling NaN", changed(5, a=[["1", "sNaN"]]), rf"line 6: quantity of a\[0\]: 'sNaN' {NOT_FROM_0}", 4),
        ("an exponent", changed(5, a=[["1e400", "1"]]), rf"line 6: price of a\[0\]: '1E\+400' {NOT_ABOVE_0}", 4),
        ("a small exponent", changed(5, a=[["1", "1e-400"]]), rf"line 6: quantity of a\[0\]: '1E-400' {NOT_FROM_0}", 4),
        ("19 places", changed(5, a=[["1", "0." + "1" * 19]]), rf"line 6: quantity of a\[0\]: '0.1+' {NOT_FROM_0}", 4),
        ("a number beyond a float", replaced(5, '"u": 15', '"u": 1e400'), r"line 6: not 'receive_ns json': ", 4),
        ("digits apart", changed(5, a=[["123456789012", "0.123456789012"]]), r"line 6: a: a price and its quantity", 4),
        ("trade infinite", changed(4, p="Infinity"), rf"line 5: p: 'Infinity' {NOT_FROM_0}", 3),
        ("trade without price", without(4, "p"), r"line 5: p, q: None, 0.5 are not allowed; a trade has", 3),
        ("trade without id", without(4, "t"), r"line 5: t: none is not allowed; allowed are integers from 0 to", 3),
        (
            "trade id above 64 bits",
            changed(4, t=2**63),
            rf"line 5: t: {2**63} is not allowed; allowed .* to {2**63 - 1}",
            3,
        ),
        (
            "trade time × 1000",
            changed(4, T=START_MS * 1_000),
            rf"line 5: T: {START_MS}000 is not .* 946684800000 to",
            3,
        ),
        ("trade time in seconds", changed(4, T=START_MS // 1_000), rf"line 5: T: {START_MS // 1_000} is not", 3),
        ("update id below 0", changed(5, u=-3), r"line 6: u: -3 is not allowed; allowed are integers from 0 to", 4),
        ("first id above 64 bits", changed(5, U=2**64), r"line 6: .*U", 4),
        ("event time below 0", changed(5, E=-1), r"line 6: E: -1 is not allowed; allowed are milliseconds from", 4),
        ("a spot difference with pu", changed(5, pu=12), r"line 6: pu: 12 in a recording of BTC/USDT; only USD-M", 4),
        ("received in ms", received(6, START_MS), rf"line 7: receive_ns: '{START_MS}' {NO_TIME}", 5),
        ("received × 10", received(6, START_NS * 10), rf"line 7: receive_ns: '{START_NS}0' {NO_TIME}", 5),
        ("received 1e400", received(6, "1e400"), rf"line 7: receive_ns: '1e400' {NO_TIME}", 5),
        ("received with underscore", received(6, f"1_{START_NS}"), rf"line 7: receive_ns: '1_{START_NS}' {NO_TIME}", 5),
        (
            "received after 2199",
            received(6, 7_258_118_400 * 10**9),
            rf"line 7: receive_ns: '7258118400000000000' {NO_TIME}",
            5,
        ),
    ],
)
def test_played_up_to_the_bad_line(tmp_path: Path, description: str, change, message: str, played: int) -> None:
    events, problem = play_to_the_break(ReplaySource([write(tmp_path / "a.gz", change(spot_lines()))]))
    assert re.search(message, problem), problem
    assert len(events) == played, description


def test_a_truncated_recording_plays_to_the_truncation(tmp_path: Path) -> None:
    lines = spot_lines() + [(100 + i, spot_lines()[6][1]) for i in range(5_000)]
    for offset, line in enumerate(lines[7:]):
        line[1]["data"]["u"] = 15 + offset
    path = write(tmp_path / "a.gz", lines)
    path.write_bytes(path.read_bytes()[:-2_000])
    events, problem = play_to_the_break(ReplaySource([path]))
    assert re.search(r"a\.gz: line \d+: the file is truncated here", problem)
    assert len(events) > 100


def test_a_file_that_is_no_gzip_or_absent_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_text("1 {}\n")
    for name, message in (("plain.gz", r"plain\.gz: cannot be read: Not a gzipped"), ("none.gz", "No such file")):
        with pytest.raises(SourceError, match=message):
            ReplaySource([tmp_path / name])


def test_two_recordings_of_one_symbol_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, spot_lines()) for name in ("a.gz", "b.gz")]
    with pytest.raises(SourceError, match=r"a\.gz, .*b\.gz all hold BTC/USDT; allowed is one recording a symbol"):
        ReplaySource(paths)


@pytest.mark.parametrize(
    ("names", "symbols"),
    [
        ((FUTURES,), ["BTC/USDT:USDT"]),
        ((SPOT,), ["BTC/USDT"]),
        ((FUTURES, SPOT), ["BTC/USDT:USDT", "BTC/USDT"]),
    ],
)
def test_the_recorded_books_equal_the_venues_in_every_case(names: tuple[str, ...], symbols: list[str]) -> None:
    events, checked = RECORDED.counts[names]
    source = ReplaySource([RECORDED.folder / name for name in names])
    assert [one.symbol for one in source.instruments] == symbols
    assert sum(1 for _ in source.events()) == events
    counts = source.counts
    assert (counts.checks.checked, counts.checks.mismatches, counts.checks.incomparable) == (checked, 0, 0)
    assert (counts.gaps, counts.unused_snapshots) == (0, 0)
