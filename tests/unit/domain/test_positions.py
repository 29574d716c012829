"""Holdings, lots and round trips: averages, reversal, partial close."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.enums import Side
from titan.domain.lots import Lot, enter_lot, leave_lots
from titan.domain.positions import Holding, TripProgress, trade

D = Decimal


@pytest.mark.parametrize(
    ("description", "before", "trade_of", "after", "realized"),
    [
        ("open long", (0, 0), (2, 100), (2, 100), 0),
        ("open short", (0, 0), (-2, 100), (-2, 100), 0),
        ("grow a long: weighted average", (2, 100), (2, 110), (4, 105), 0),
        ("grow a short: weighted average", (-1, 100), (-3, 104), (-4, 103), 0),
        ("close part of a long with a gain", (4, 105), (-1, 115), (3, 105), 10),
        ("close part of a short with a loss", (-4, 100), (1, 110), (-3, 100), -10),
        ("close a long", (3, 105), (-3, 100), (0, 0), -15),
        ("close a short", (-3, 100), (3, 90), (0, 0), 30),
        ("reverse long to short", (2, 100), (-5, 110), (-3, 110), 20),
        ("reverse short to long", (-2, 100), (3, 90), (1, 90), 20),
    ],
)
def test_trades(
    description: str, before: tuple[int, int], trade_of: tuple[int, int], after: tuple[int, int], realized: int
) -> None:
    holding, profit = trade(Holding(D(before[0]), D(before[1]), 5), D(trade_of[0]), D(trade_of[1]), 9)
    assert (holding.quantity, holding.average_entry_price, profit) == (D(after[0]), D(after[1]), D(realized)), (
        description
    )
    reversed_or_new = before[0] == 0 or after[0] * before[0] < 0
    assert holding.opened_ns == (0 if after[0] == 0 else 9 if reversed_or_new else 5)


trades = st.lists(
    st.tuples(st.integers(-50, 50).filter(bool), st.integers(90, 110)).map(lambda t: (D(t[0]) / 1000, D(t[1]))),
    min_size=1,
    max_size=30,
)


@given(trades)
def test_profit_realised_and_open_is_the_cash_that_moved(history: list[tuple[Decimal, Decimal]]) -> None:
    holding, realized, cash = Holding(), D(0), D(0)
    for quantity, price in history:
        holding, profit = trade(holding, quantity, price, 1)
        realized += profit
        cash -= quantity * price
    mark = D(100)
    assert abs(realized + holding.unrealized_pnl(mark) - (cash + holding.quantity * mark)) < D("1e-9")


def a_lot(intent: str, quantity: int) -> Lot:
    return Lot(intent_id=intent, phase_id="p", symbol="s", quantity=D(quantity), stop_price=D(90), opened_ns=1)


def sizes(lots: tuple[Lot, ...]) -> dict[str, Decimal]:
    return {lot.intent_id: lot.quantity for lot in lots}


@pytest.mark.parametrize(
    ("description", "exit_of", "first", "left", "rest"),
    [
        ("an exit takes from the oldest", -3, "", {"b": 1, "c": 3}, 0),
        ("a stop takes from its own entry first", -3, "c", {"a": 2, "b": 2}, 0),
        ("a stop that is larger than its entry goes on with the oldest", -4, "c", {"a": 1, "b": 2}, 0),
        ("more than there is leaves a rest", -9, "", {}, -2),
        ("a trade of the same side takes nothing", 2, "", {"a": 2, "b": 2, "c": 3}, 2),
    ],
)
def test_exits_take_from_lots(description: str, exit_of: int, first: str, left: dict[str, int], rest: int) -> None:
    lots = (a_lot("a", 2), a_lot("b", 2), a_lot("c", 3))
    after, over = leave_lots(lots, D(exit_of), first, 7)
    assert (sizes(after), over) == ({key: D(value) for key, value in left.items()}, D(rest)), description


def test_fills_of_one_entry_make_one_lot() -> None:
    lots = enter_lot(enter_lot((), a_lot("a", 2)), a_lot("a", 3))
    assert sizes(lots) == {"a": D(5)}


def test_a_round_trip_averages_both_ways() -> None:
    progress = TripProgress(intent_id="i", setup="trap", side=Side.SELL, opened_ns=1)
    progress = progress.with_trade(Side.SELL, D(1), D(100), D("0.05"))
    progress = progress.with_trade(Side.SELL, D(1), D(104), D("0.05"))
    progress = progress.with_trade(Side.BUY, D(2), D(101), D("0.1"))
    trip = progress.finished("scavenger", "s", 9)
    assert (trip.entry_price, trip.exit_price, trip.quantity) == (D(102), D(101), D(2))
    assert (trip.realized_pnl, trip.fees) == (D(2), D("0.2"))
