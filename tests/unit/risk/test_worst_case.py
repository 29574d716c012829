"""Exposure and worst case are sums over lots and stops: no one stop stands for a symbol."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.scene import PERP, hold, risk_state, stop_order
from titan.domain.lots import Lot
from titan.domain.numbers import ZERO
from titan.risk.state import RiskState
from titan.risk.worst_case import position_worst_case

D = Decimal
FEE = D("0.0005")


def lot(quantity: str, stop: str = "0", number: int = 0) -> Lot:
    return Lot(intent_id=f"i{number}", phase_id="scavenger", symbol=PERP, quantity=D(quantity), stop_price=D(stop))


@pytest.mark.parametrize(
    ("description", "lots", "stops", "distance_part", "notional"),
    [
        ("one stop for all of it", [lot("0.1")], {"i0": [(D("0.1"), D(58_000))]}, D(300), D(6_100)),
        (
            "each lot at its own stop: the near one does not stand for the far one",
            [lot("0.1"), lot("0.001", number=1)],
            {"i0": [(D("0.1"), D(58_000))], "i1": [(D("0.001"), D(60_940))]},
            D("300.06"),
            D(6_161),
        ),
        (
            "what no stop covers is lost whole",
            [lot("0.101")],
            {"i0": [(D("0.001"), D(60_940))]},
            D("0.06") + D("0.1") * 61_000,
            D(6_161),
        ),
        ("a stop covers its own lot only", [lot("0.1")], {"i1": [(D("0.1"), D(60_940))]}, D(6_100), D(6_100)),
        (
            "two stops of one lot",
            [lot("0.1")],
            {"i0": [(D("0.04"), D(60_000)), (D("0.06"), D(59_000))]},
            D(160),
            D(6_100),
        ),
        ("a stop that the price has passed", [lot("0.1")], {"i0": [(D("0.1"), D(61_500))]}, ZERO, D(6_100)),
        ("a short loses upwards", [lot("-0.1")], {"i0": [(D("0.1"), D(61_500))]}, D(50), D(6_100)),
    ],
)
def test_the_worst_case_of_a_position(
    description: str,
    lots: list[Lot],
    stops: dict[str, list[tuple[Decimal, Decimal]]],
    distance_part: Decimal,
    notional: Decimal,
) -> None:
    net = sum((one.quantity for one in lots), ZERO)
    worst = position_worst_case(net, D(61_000), lots, stops, FEE)
    assert worst == distance_part + notional * FEE, description


def test_what_no_lot_explains_is_lost_whole() -> None:
    worst = position_worst_case(D("0.1"), D(61_000), [lot("0.04")], {"i0": [(D("0.04"), D(60_000))]}, FEE)
    assert worst == 40 + D("0.06") * 61_000 + 6_100 * FEE


def two_lots() -> RiskState:
    made = risk_state()
    mid = made.symbols[PERP].mid
    hold(made, "0.1", stop=str(mid - 3_000))
    return hold(made, "0.001", stop=str(mid - 60))


def test_the_state_counts_each_lot_at_its_own_stop() -> None:
    made = two_lots()
    mid = made.symbols[PERP].mid
    assert made.worst_case == D("300.06") + D("0.101") * mid * FEE == pytest.approx(D("303.15"), abs=D("0.01"))
    assert made.gross_notional == D("0.101") * mid


def test_a_smaller_stop_leaves_the_rest_of_its_lot_open() -> None:
    made = two_lots()
    large, _ = made.mirror.lots_of(PERP)
    made.on_order(stop_order(large, quantity=D("0.04")))
    made.refresh()
    mid = made.symbols[PERP].mid
    assert made.worst_case == D("0.04") * 3_000 + D("0.06") * mid + D("0.06") + D("0.101") * mid * FEE


def test_shares_that_oppose_each_other_count_both() -> None:
    made = hold(hold(risk_state(), "0.01"), "-0.01", phase_id="hunter")
    assert made.gross_notional == D("0.02") * made.symbols[PERP].mid


@given(
    quantities=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    distances=st.lists(st.integers(0, 5_000), min_size=5, max_size=5),
    covered=st.lists(st.integers(0, 100), min_size=5, max_size=5),
    sign=st.sampled_from([1, -1]),
)
def test_the_worst_case_is_the_sum_of_what_each_lot_alone_loses(
    quantities: list[int], distances: list[int], covered: list[int], sign: int
) -> None:
    mid = D(60_000)
    lots = [lot(str(D(sign * one) / 1_000), number=number) for number, one in enumerate(quantities)]
    stops = {
        f"i{number}": [(D(covered[number]) / 1_000, mid - sign * distances[number])] for number in range(len(lots))
    }
    net = sum((one.quantity for one in lots), ZERO)
    alone = sum((position_worst_case(one.quantity, mid, [one], stops, FEE) for one in lots), ZERO)
    together = position_worst_case(net, mid, lots, stops, FEE)
    assert together == alone
    assert together <= abs(net) * mid * (1 + FEE)
    none = position_worst_case(net, mid, lots, {}, FEE)
    assert none == abs(net) * mid * (1 + FEE) >= together
