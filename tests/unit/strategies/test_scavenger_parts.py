from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.market.tape import MS, S
from titan.domain.enums import Side
from titan.domain.numbers import is_multiple
from titan.strategies.bars import BarWindow
from titan.strategies.scavenger.entries import entry_prices
from titan.strategies.scavenger.flow import FlowMeasure, TakerFlow
from titan.strategies.scavenger.parameters import ScavengerParameters
from titan.strategies.scavenger.score import score_setup
from titan.strategies.scavenger.structure import Level, find_level
from titan.strategies.scavenger.trap import Trap

RULES = ScavengerParameters(
    level_bars=6, min_level_bars=4, swing_bars=2, min_touches=2, touch_tolerance_bps=1.0, min_range_bps=5.0
)
LOWS = (99.0, 99.5, 99.5, 99.5, 99.5, 99.5)


@pytest.mark.parametrize(
    ("description", "highs", "lows", "level"),
    [
        ("two touches, the extreme two bars ago", (101, 102, 102, 101, 101.5, 101), LOWS, Level(Side.BUY, 102, 2, 4)),
        ("the extreme is the last bar", (101, 101, 101, 101, 101, 102), LOWS, None),
        ("a single touch", (101, 102, 101, 101, 101, 101), LOWS, None),
        ("a touch within the tolerance", (101, 102, 101.99, 101, 101, 101), LOWS, Level(Side.BUY, 102, 2, 4)),
        ("too few bars", (102, 102, 101), LOWS[:3], None),
        ("too narrow a range", (99.51,) * 6, (99.5,) * 6, None),
    ],
)
def test_levels_above(description: str, highs: tuple[float, ...], lows: tuple[float, ...], level: Level | None) -> None:
    assert find_level(Side.BUY, highs, lows, RULES) == level, description


def test_levels_below_are_the_mirror() -> None:
    assert find_level(Side.SELL, (101.0,) * 6, (100, 99, 99, 100, 100, 100), RULES) == Level(Side.SELL, 99, 2, 4)


def a_trap(side: Side, last_price: float, wire_bps: float = 10.0) -> Trap:
    trap = Trap(side)
    trap.set_level(Level(side, 100.0, 2, 3), last_price, wire_bps)
    return trap


@pytest.mark.parametrize(
    ("description", "side", "last_price", "prices", "trips"),
    [
        ("crossing from inside", Side.BUY, 99.0, (99.5, 100.2), (1,)),
        ("short of the wire", Side.BUY, 99.0, (100.05, 100.09), ()),
        ("between level and wire, then across", Side.BUY, 99.0, (100.05, 100.2), (1,)),
        ("from outside", Side.BUY, 101.0, (100.5, 100.05, 100.2), ()),
        ("from outside, back inside, then across", Side.BUY, 101.0, (99.9, 100.2), (1,)),
        ("once", Side.BUY, 99.0, (100.2, 100.3, 100.4), (0,)),
        ("again after a return", Side.BUY, 99.0, (100.2, 99.9, 100.2), (0, 2)),
        ("no price was ever seen", Side.BUY, 0.0, (100.2, 100.3), ()),
        ("below, from inside", Side.SELL, 101.0, (100.5, 99.8), (1,)),
        ("below, from outside", Side.SELL, 99.0, (99.95, 99.8), ()),
    ],
)
def test_only_a_crossing_from_inside_trips(
    description: str, side: Side, last_price: float, prices: tuple[float, ...], trips: tuple[int, ...]
) -> None:
    trap = a_trap(side, last_price)
    assert tuple(index for index, price in enumerate(prices) if trap.crossed(price)) == trips, description


def test_a_wire_at_the_level_is_exceeded_not_touched() -> None:
    trap = a_trap(Side.BUY, 99.0, wire_bps=0.0)
    assert [trap.crossed(price) for price in (100.0, 100.0, 100.1)] == [False, False, True]


def test_a_trap_without_a_level_is_no_trap() -> None:
    trap = a_trap(Side.BUY, 99.0)
    trap.set_level(None, 99.0, 10.0)
    assert not trap.crossed(100.2)
    assert (trap.armed, trap.wire_price) == (False, 0.0)


def test_flow_counts_each_trade_once_and_a_walk_through_the_book_as_one_taker() -> None:
    flow = TakerFlow(keep_ns=S)
    for index, (side, quantity) in enumerate([(Side.BUY, 1.0), (Side.BUY, 2.0), (Side.SELL, 1.0)]):
        # The first two are prints of one order: same venue time, same side.
        flow.add(100 * MS + index, 7 if side is Side.BUY else 8, side, quantity)
    assert flow.measure(0, S, Side.BUY) == FlowMeasure(imbalance=0.5, takers=2, quantity=4.0)
    assert flow.measure(0, S, Side.SELL).imbalance == -0.5
    assert flow.measure(0, 100 * MS, Side.BUY) == FlowMeasure(0.0, 0, 0.0)
    flow.add(2 * S, 9, Side.BUY, 1.0)
    assert flow.measure(0, 3 * S, Side.BUY).takers == 1  # the rest is forgotten


def spot_range(last: float) -> BarWindow:
    bars = BarWindow(S, 60)
    bars.advance(0)
    for second in range(1, 8):
        bars.advance(second * S)
        bars.add(100.0 if second % 2 else 102.0, 1.0)
    bars.advance(8 * S)
    bars.last_price = last
    return bars


@pytest.mark.parametrize(
    ("description", "last", "before", "after", "spread_bps", "total"),
    [
        ("everything speaks for it", 103.0, FlowMeasure(1, 9, 8.0), FlowMeasure(1, 9, 8.0), 0.0, 1.0),
        ("everything speaks against it", 99.0, FlowMeasure(-1, 9, 0.1), FlowMeasure(-1, 9, 0.1), 2.0, 0.0),
        # .4·.5 + .05·0 + .1·.5 + .3·.5, over .85
        ("half of each", 102.0, FlowMeasure(0, 2, 1.0), FlowMeasure(1, 2, 1.0), 1.0, 0.4 / 0.85),
        # Twice the usual volume is half of four times, on a logarithmic scale: .05·.5
        ("burst only", 101.0, FlowMeasure(0, 2, 2.0), FlowMeasure(0, 2, 2.0), 2.0, 0.025 / 0.85),
    ],
)
def test_score(
    description: str, last: float, before: FlowMeasure, after: FlowMeasure, spread_bps: float, total: float
) -> None:
    score = score_setup(Side.BUY, before, after, 2 * S, spot_range(last), spread_bps, ScavengerParameters())
    assert score.total == pytest.approx(total), description


@given(
    side=st.sampled_from(list(Side)),
    ticks=st.integers(1, 10**7),
    tick=st.sampled_from([Decimal("0.001"), Decimal("0.1"), Decimal(1), Decimal(25)]),
    stop_bps=st.floats(1, 1_000),
    target_bps=st.floats(1, 5_000),
    order_type=st.sampled_from(["market", "limit"]),
)
def test_stop_and_target_are_ticks_on_the_right_sides(
    side: Side, ticks: int, tick: Decimal, stop_bps: float, target_bps: float, order_type: str
) -> None:
    rules = ScavengerParameters(stop_bps=stop_bps, target_bps=target_bps, order_type=order_type)  # type: ignore[arg-type]
    reference = ticks * tick
    prices = entry_prices(side, reference, tick, rules)
    if prices is None:
        # Only where a price would be nothing or less.
        assert ticks <= 2 or target_bps >= 4_000 or stop_bps > 900
        return
    stop, target = (prices.stop, prices.target) if side is Side.BUY else (-prices.stop, -prices.target)
    assert stop < reference * side.sign < target
    assert all(is_multiple(price, tick) and price >= 0 for price in (prices.stop, prices.target, prices.limit))
    assert (prices.limit > 0) == (order_type == "limit")
