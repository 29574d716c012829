from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.market.tape import MS, PERP, T0, S
from titan.domain.market import Bar
from titan.strategies.bars import BarWindow


def window(length: int = 5) -> BarWindow:
    bars = BarWindow(S, length)
    bars.advance(T0)
    return bars


def add(bars: BarWindow, at_ms: int, price: float, quantity: float = 1.0) -> None:
    bars.advance(T0 + at_ms * MS)
    bars.add(price, quantity)


def test_the_first_bar_was_not_seen_whole_and_does_not_count() -> None:
    bars = BarWindow(S, 5)
    add(bars, 400, 100.0)
    assert not bars.advance(T0 + 999 * MS)
    assert bars.advance(T0 + 1_000 * MS)
    assert len(bars) == 0
    add(bars, 1_500, 101.0)
    bars.advance(T0 + 2_000 * MS)
    assert list(bars.highs) == [101.0]


def test_a_bar_closes_by_time_alone_and_a_silent_one_is_flat() -> None:
    bars = window()
    add(bars, 1_100, 100.0)
    add(bars, 1_200, 103.0)
    add(bars, 1_300, 99.0)
    assert len(bars) == 0
    bars.advance(T0 + 4_000 * MS)
    assert list(bars.highs) == [103.0, 99.0, 99.0]
    assert list(bars.lows) == [99.0, 99.0, 99.0]
    assert list(bars.quantities) == [3.0, 0.0, 0.0]


def test_a_gap_longer_than_the_window_is_forgotten() -> None:
    bars = window(length=3)
    for second in range(1, 4):
        add(bars, second * 1_000, 100.0)
    assert len(bars) == 2
    assert bars.advance(T0 + 60_000 * MS)
    assert len(bars) == 0
    assert bars.last_price == 0.0


def bar(second: int, price: str, length_s: int = 1) -> Bar:
    value = Decimal(price)
    start_ns = T0 + second * S
    return Bar(PERP, start_ns, start_ns + length_s * S, value, value, value, value, Decimal(2))


def test_warm_up_takes_bars_of_its_own_length_in_order_and_once() -> None:
    bars = BarWindow(S, 5)
    assert bars.warm_up(bar(0, "100"))
    assert bars.warm_up(bar(1, "101"))
    assert not bars.warm_up(bar(1, "999"))
    assert not bars.warm_up(bar(2, "999", length_s=60))
    assert list(bars.closes) == [100.0, 101.0]
    # The second in which the process came up was not seen whole; the next one is.
    add(bars, 2_500, 102.0)
    add(bars, 3_500, 103.0)
    bars.advance(T0 + 4_000 * MS)
    assert list(bars.closes) == [100.0, 101.0, 103.0]


def test_volatility_is_scaled_to_the_horizon() -> None:
    bars = window(length=10)
    for second, price in enumerate((100.0, 101.0, 100.0, 101.0), start=1):
        add(bars, second * 1_000, price)
        # Three closed bars at least.
        assert (bars.volatility(S) == 0.0) == (second < 4)
    bars.advance(T0 + 5_000 * MS)
    step = math.log(1.01)
    deviation = math.sqrt(sum((value - step / 3) ** 2 for value in (step, -step, step)) / 2)
    assert bars.volatility(S) == pytest.approx(deviation)
    assert bars.volatility(4 * S) == pytest.approx(2 * deviation)


@given(st.lists(st.tuples(st.integers(0, 9_999), st.integers(90, 110)), min_size=1, max_size=60))
def test_bars_are_those_of_a_plain_grouping(trades: list[tuple[int, int]]) -> None:
    trades = sorted(trades)
    bars = window(length=20)
    for at_ms, price in trades:
        add(bars, 1_000 + at_ms, float(price))
    bars.advance(T0 + 11_000 * MS)
    expected: list[tuple[float, float, float]] = []
    last = 0.0
    for second in range(10):
        prices = [float(price) for at_ms, price in trades if at_ms // 1_000 == second]
        if prices:
            last = prices[-1]
            expected.append((max(prices), min(prices), last))
        elif last:
            expected.append((last, last, last))
    assert list(zip(bars.highs, bars.lows, bars.closes, strict=True)) == expected
