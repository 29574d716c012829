"""Equity: known only with fresh, confirmed marks; transfers are no profit and leave the drawdown as it was."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.equity import Equity, Peak, Valuation, value_account
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.marks import Marks
from titan.domain.positions import Holding
from titan.domain.time import NS_PER_DAY

D = Decimal
PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
NOW = 100 * NS_PER_DAY + 5_000_000_000


def value(
    assets: dict[str, str], holdings: dict[str, tuple[str, str]], marks: Marks, peak: Peak | None = None
) -> Equity:
    valuation = Valuation(
        assets={key: D(amount) for key, amount in assets.items()},
        net_deposits={"USDT": D(150)},
        holdings={key: Holding(D(quantity), D(price)) for key, (quantity, price) in holdings.items()},
        realized_pnl=D(3),
        fees=D(1),
        peak=peak or Peak(),
    )
    return value_account(valuation, marks, PAPER_INSTRUMENTS, NOW, 2_000_000_000, D(20))


def marks(**prices: tuple[int, int]) -> Marks:
    """Marks of perp and spot as (price, age in milliseconds), each printed twice."""
    made = Marks()
    for name, (price, age_ms) in prices.items():
        for sequence in (1, 2):
            at_ns = NOW - age_ms * 1_000_000
            made.update({"perp": PERP, "spot": SPOT}[name], D(price), D(price), at_ns, "run", sequence)
    return made


@pytest.mark.parametrize(
    ("description", "assets", "holdings", "prices", "equity", "unrealized", "margin"),
    [
        ("cash alone needs no mark", {"USDT": "200"}, {}, {}, "200", "0", "0"),
        ("a long with a gain", {"USDT": "200"}, {PERP: ("0.01", "60000")}, {"perp": (61000, 0)}, "210", "10", "30.5"),
        (
            "a short with a loss",
            {"USDT": "200"},
            {PERP: ("-0.01", "60000")},
            {"perp": (61000, 0)},
            "190",
            "-10",
            "30.5",
        ),
        (
            "spot inventory counts at its mark",
            {"USDT": "100", "BTC": "0.01"},
            {SPOT: ("0.01", "50000")},
            {"spot": (60000, 0)},
            "700",
            "0",
            "0",
        ),
        ("a closed position needs no mark", {"USDT": "200"}, {PERP: ("0", "0")}, {}, "200", "0", "0"),
    ],
)
def test_worth(
    description: str,
    assets: dict[str, str],
    holdings: dict[str, tuple[str, str]],
    prices: dict[str, tuple[int, int]],
    equity: str,
    unrealized: str,
    margin: str,
) -> None:
    worth = value(assets, holdings, marks(**prices))
    assert worth.known, description
    assert (worth.equity, worth.unrealized_pnl, worth.margin_used) == (D(equity), D(unrealized), D(margin))
    assert worth.confirmed_equity == worth.equity, description
    assert worth.net_deposits == D(150)


@pytest.mark.parametrize(
    ("description", "assets", "holdings", "prices", "reason"),
    [
        ("no mark yet", {"USDT": "200"}, {PERP: ("0.01", "60000")}, {}, f"no price of {PERP} yet"),
        (
            "a stale mark",
            {"USDT": "200"},
            {PERP: ("0.01", "1")},
            {"perp": (61000, 2001)},
            "is 2001 ms old, allowed are 2000",
        ),
        ("inventory without a mark", {"BTC": "0.01"}, {}, {"perp": (61000, 0)}, f"no price of {SPOT} yet"),
        ("a symbol we know nothing of", {}, {"X/USDT:USDT": ("1", "1")}, {}, "no price of X/USDT:USDT yet"),
    ],
)
def test_unknown_is_not_zero(
    description: str,
    assets: dict[str, str],
    holdings: dict[str, tuple[str, str]],
    prices: dict[str, tuple[int, int]],
    reason: str,
) -> None:
    worth = value(assets, holdings, marks(**prices))
    assert not worth.known, description
    assert reason in worth.reason


def test_the_day_starts_with_its_first_known_equity_and_the_peak_stays() -> None:
    peak = Peak().observed(D(200), 3 * NS_PER_DAY).observed(D(220), 3 * NS_PER_DAY + 1).observed(D(210), 4 * NS_PER_DAY)
    assert (peak.day_start_equity, peak.high_water_mark) == (D(210), D(220))
    assert peak.drawdown(D(198)) == D("0.1")
    assert peak.drawdown(D(230)) == D(0)


def test_one_print_is_not_enough_to_value_a_position() -> None:
    book = Marks()
    book.update(PERP, D(60000), D(60000), NOW, "run", 1)
    worth = value({"USDT": "200"}, {PERP: ("0.01", "60000")}, book)
    assert worth.reason == f"price of {PERP} is not confirmed: it needs a second print"
    book.update(PERP, D(60000), D(60000), NOW, "run", 1)
    assert not value({"USDT": "200"}, {PERP: ("0.01", "60000")}, book).known, "the same print again is one print"
    book.update(PERP, D(60000), D(60000), NOW, "run", 2)
    assert value({"USDT": "200"}, {PERP: ("0.01", "60000")}, book).known


def test_equity_follows_a_print_that_peak_and_drawdown_wait_for() -> None:
    book, held = marks(perp=(60000, 10)), {PERP: ("0.01", "60000")}
    book.update(PERP, D(60100), D(60100), NOW - 5_000_000, "run", 3)
    worth = value({"USDT": "200"}, held, book, Peak(high_water_mark=D(200), day_start_equity=D(200), day=100))
    assert (worth.equity, worth.confirmed_equity, worth.high_water_mark) == (D(201), D(200), D(200))
    assert worth.oldest_mark_ns == NOW - 5_000_000
    book.update(PERP, D(60100), D(60100), NOW, "run", 4)
    assert value({"USDT": "200"}, held, book).high_water_mark == D(201)


def test_a_withdrawal_leaves_the_drawdown_and_moves_the_day_by_its_amount() -> None:
    peak = Peak(high_water_mark=D(1000), day_start_equity=D(980), day=1)
    after = peak.transferred(D(-700)).observed(D(260), NS_PER_DAY)
    assert peak.drawdown(D(960)) == after.drawdown(D(260)) == D("0.04")
    assert after.day_start_equity == D(280)


@given(
    st.decimals(1, 10**6, places=2),
    st.decimals(0, "0.9", places=4),
    st.lists(st.decimals("-0.9", 5, places=3), min_size=1, max_size=4),
)
def test_no_transfer_changes_the_drawdown(equity: Decimal, drawdown: Decimal, fractions: list[Decimal]) -> None:
    """Each transfer is a fraction of the equity then; all of them come while equity is unknown, or one by one."""
    peak = Peak(high_water_mark=equity / (1 - drawdown), day_start_equity=equity, day=1)
    single, together, now = peak, peak, equity
    for fraction in fractions:
        amount = now * fraction
        now += amount
        single = single.transferred(amount).observed(now, NS_PER_DAY)
        together = together.transferred(amount)
    together = together.observed(now, NS_PER_DAY)
    for after in (single, together):
        assert abs(after.drawdown(now) - peak.drawdown(equity)) < D("1e-6")
        assert abs(now - after.day_start_equity) < D("1e-6"), "no profit, no loss"


@pytest.mark.parametrize(
    ("description", "peak", "amount", "equity", "high_water_mark"),
    [
        ("before the first equity there is nothing to move", Peak(), 100, 100, 100),
        ("into an empty account", Peak(high_water_mark=D(0), day=1), 100, 100, 100),
        ("everything is taken out", Peak(high_water_mark=D(250), day_start_equity=D(200), day=1), -200, 0, 0),
        ("into an account with debts", Peak(high_water_mark=D(250), day=1), 100, 50, 50),
    ],
)
def test_transfers_at_the_edges(description: str, peak: Peak, amount: int, equity: int, high_water_mark: int) -> None:
    after = peak.transferred(D(amount)).observed(D(equity), NS_PER_DAY)
    assert after.high_water_mark == D(high_water_mark), description
    assert after.drawdown(D(equity)) == 0
