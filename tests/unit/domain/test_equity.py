"""Equity: known only with fresh marks; deposits are no profit; wild prints wait for a second one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.equity import Equity, Marks, Peak, Valuation, value_account
from titan.domain.instruments import PAPER_INSTRUMENTS
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
        holdings={key: Holding(D(quantity), D(price)) for key, (quantity, price) in holdings.items()},
        realized_pnl=D(3),
        fees=D(1),
        peak=peak or Peak(),
    )
    return value_account(valuation, marks, PAPER_INSTRUMENTS, NOW, 2_000_000_000, D(20))


def marks(**prices: tuple[int, int]) -> Marks:
    """Marks of perp and spot as (price, age in milliseconds)."""
    made = Marks()
    for name, (price, age_ms) in prices.items():
        made.update({"perp": PERP, "spot": SPOT}[name], D(price), NOW - age_ms * 1_000_000)
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


def test_deposits_and_withdrawals_are_no_profit_and_no_drawdown() -> None:
    peak = Peak().observed(D(200), NS_PER_DAY).deposited(D(100))
    assert peak.drawdown(D(300)) == D(0)
    assert peak.deposited(D(-150)).drawdown(D(150)) == D(0)
    assert Peak().deposited(D(100)) == Peak(), "before the first equity there is nothing to move"


def test_one_wild_print_does_not_count_and_two_do() -> None:
    book = marks(perp=(60000, 0))
    book.update(PERP, D(30000), NOW + 1)
    mark = book.get(PERP)
    assert mark is not None
    assert (mark.price, mark.market_time_ns) == (D(60000), NOW), "the old mark stands, and ages"
    book.update(PERP, D(60010), NOW + 2)
    book.update(PERP, D(30000), NOW + 3)
    assert book.get(PERP).price == D(60010), "a normal print in between clears the suspicion"  # type: ignore[union-attr]
    book.update(PERP, D(30100), NOW + 4)
    assert book.get(PERP).price == D(30100)  # type: ignore[union-attr]


def test_what_is_no_price_is_no_mark() -> None:
    book = Marks()
    book.update(PERP, D(0), NOW)
    assert book.get(PERP) is None
