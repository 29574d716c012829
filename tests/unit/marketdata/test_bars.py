"""Closed one-second bars: no partial ones, flat ones where nothing traded."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import Side
from titan.domain.market import Bar, TradeEvent
from titan.marketdata.bars import BarHistory

MS = 1_000_000
S = 1_000 * MS


def trade(at_ms: int, price: str, quantity: str = "1", symbol: str = "BTC/USDT") -> TradeEvent:
    return TradeEvent(1, symbol, 0, at_ms * MS, "1", Decimal(price), Decimal(quantity), Side.BUY)


def bar(second: int, prices: str, quantity: str, symbol: str = "BTC/USDT") -> Bar:
    return Bar(symbol, second * S, (second + 1) * S, *map(Decimal, prices.split()), Decimal(quantity))


def test_bars_close_when_the_clock_has_passed_their_end_and_never_before() -> None:
    history = BarHistory()
    history.on_events(
        [trade(500, "100"), trade(1_000, "101"), trade(1_500, "99", "2"), trade(1_999, "100")], 1_999 * MS
    )
    assert history.closed() == []
    history.on_events([], 2_000 * MS)
    assert history.closed() == [bar(1, "101 101 99 100", "4")]


def test_the_first_second_was_not_seen_whole_and_gives_no_bar() -> None:
    history = BarHistory()
    history.on_events([trade(10, "100")], 3_000 * MS)
    assert [one.start_ns for one in history.closed()] == [1 * S, 2 * S]


def test_a_second_without_trade_is_flat() -> None:
    history = BarHistory()
    history.on_events([trade(500, "100"), trade(1_100, "102"), trade(3_100, "103")], 4_000 * MS)
    assert history.closed() == [
        bar(1, "102 102 102 102", "1"),
        bar(2, "102 102 102 102", "0"),
        bar(3, "103 103 103 103", "1"),
    ]


def test_only_the_last_are_kept_and_symbols_are_apart() -> None:
    history = BarHistory(length=3)
    history.on_events([trade(0, "1", symbol="ETH/USDT"), trade(0, "100")], 10 * S)
    closed = history.closed()
    assert [(one.symbol, one.start_ns // S) for one in closed] == [
        (symbol, second) for second in (7, 8, 9) for symbol in ("BTC/USDT", "ETH/USDT")
    ]
