"""The Sharpe modifier: its ratio, its days, what is too little to judge, and what a restart keeps."""

from __future__ import annotations

from decimal import Decimal
from math import sqrt
from statistics import NormalDist, fmean, stdev

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.scene import NOW, risk_state
from titan.domain.enums import Side
from titan.domain.positions import RoundTrip
from titan.domain.time import NS_PER_DAY, utc_day
from titan.domain.trip_results import KEPT_DAYS, NO_DAYS, DayResult, DayResults
from titan.risk.parameters import RiskParameters
from titan.risk.performance import CapitalState, DailyCapital, daily_returns, modifier, probabilistic_sharpe

D = Decimal
TODAY = utc_day(NOW)
DEFAULTS = RiskParameters()
CENTS = st.lists(st.integers(-5_000, 5_000), min_size=30, max_size=30)


def results(cents: list[int], trades: int = 1, today: int = TODAY) -> DayResults:
    """One result a day, the last one yesterday's."""
    first = today - len(cents)
    return DayResults(tuple(DayResult(first + day, D(amount) / 100, trades) for day, amount in enumerate(cents)))


def capital(days: int = 30, amount: str = "200", today: int = TODAY) -> dict[int, Decimal]:
    return {today - days + day: D(amount) for day in range(days)}


def trip(closed_ns: int, pnl: str = "1") -> RoundTrip:
    return RoundTrip(
        intent_id="i",
        phase_id="scavenger",
        setup="breakout",
        symbol="BTC/USDT:USDT",
        side=Side.BUY,
        quantity=D(1),
        entry_price=D(1),
        exit_price=D(1),
        realized_pnl=D(pnl),
        fees=D("0.25"),
        opened_ns=closed_ns,
        closed_ns=closed_ns,
        risk=D(1),
    )


def test_the_ratio_of_a_symmetric_sample() -> None:
    """Skewness 0 and kurtosis 1: the variance term is 1."""
    returns = [0.03, -0.01] * 12
    expected = fmean(returns) / stdev(returns) * sqrt(23)
    assert probabilistic_sharpe(returns) == pytest.approx(NormalDist().cdf(expected))


@pytest.mark.parametrize("wins", [1, 3, 10, 15, 27, 29])
def test_the_ratio_of_a_sample_with_known_moments(wins: int) -> None:
    """Skewness and kurtosis of a Bernoulli variable are known in closed form."""
    p, n = wins / 30, 30
    spread = p * (1 - p)
    sharpe = p / sqrt(spread * n / (n - 1))
    skewness, kurtosis = (1 - 2 * p) / sqrt(spread), 3 + (1 - 6 * spread) / spread
    error = sqrt((1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (n - 1))
    expected = NormalDist().cdf(sharpe / error)
    assert probabilistic_sharpe([0.02] * wins + [0.0] * (n - wins)) == pytest.approx(expected)


def test_skewness_and_kurtosis_change_it() -> None:
    """Of equal mean and deviation, the returns with the long tail of losses prove less."""
    gains = [-0.01] * 29 + [0.6]
    losses = [2 * fmean(gains) - one for one in gains]
    better, worse = probabilistic_sharpe(gains), probabilistic_sharpe(losses)
    assert fmean(gains) / stdev(gains) == pytest.approx(fmean(losses) / stdev(losses))
    assert better is not None
    assert worse is not None
    assert better > worse


@pytest.mark.parametrize("returns", [[], [0.1], [0.0] * 30, [0.1] * 30, [1 / 3 - 1e-17, 1 / 3]])
def test_returns_without_variance_have_no_ratio(returns: list[float]) -> None:
    assert probabilistic_sharpe(returns) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_it_is_a_probability(returns: list[float]) -> None:
    ratio = probabilistic_sharpe(returns)
    assert ratio is None or 0.0 <= ratio <= 1.0


@given(CENTS, st.integers(1, 5_000))
def test_the_factor_rises_with_the_mean(cents: list[int], more: int) -> None:
    """The ratio itself does not, far in a tail; the factor that it decides does."""
    low = modifier(results(cents), capital(), TODAY, DEFAULTS)
    high = modifier(results([one + more for one in cents]), capital(), TODAY, DEFAULTS)
    assert low.factor <= high.factor
    assert {low.factor, high.factor} <= {D("0.5"), D(1), D("1.2")}


@pytest.mark.parametrize(
    ("description", "cents", "factor", "reason"),
    [
        ("losses", [-100, -300] * 15, "0.5", "psr=0.000 of 30 days, 30 trades"),
        ("at chance", [100, -100] * 15, "1", "psr=0.500 of 30 days, 30 trades"),
        ("gains", [300, 100] * 15, "1.2", "psr=1.000 of 30 days, 30 trades"),
        ("no variance", [100] * 30, "1", "30 days, 30 trades: the returns do not vary"),
    ],
)
def test_the_factor_by_the_ratio(description: str, cents: list[int], factor: str, reason: str) -> None:
    made = modifier(results(cents), capital(), TODAY, DEFAULTS)
    assert (made.factor, made.reason) == (D(factor), reason), description


def test_too_few_days_or_trades_change_nothing() -> None:
    losses = [-100, -300] * 15
    few_days = modifier(results(losses[1:]), capital(29), TODAY, DEFAULTS)
    assert (few_days.factor, few_days.reason) == (1, "29 of 30 days")
    one_without_a_trip = DayResults(results(losses).days[1:])
    few_trades = modifier(one_without_a_trip, capital(), TODAY, DEFAULTS)
    assert (few_trades.factor, few_trades.reason) == (1, "30 days, 29 trades of 30")
    unknown = modifier(results(losses), {}, TODAY, DEFAULTS)
    assert (unknown.factor, unknown.reason) == (1, "0 of 30 days")


def test_days_with_weight_count_without_a_trip_and_others_do_not() -> None:
    held = {TODAY - 9: D(100), TODAY - 8: D(200), TODAY - 3: D(400), TODAY: D(400)}
    traded = DayResults(
        (
            DayResult(TODAY - 20, D(7), 5),
            DayResult(TODAY - 9, D(5), 2),
            DayResult(TODAY - 5, D(-10), 1),
            DayResult(TODAY, D(99), 9),
        )
    )
    # Day 20: no allocation is known. Day 5: without one of its own, on that of day 8. Today is not complete.
    assert daily_returns(traded, held, TODAY, 30) == ([0.05, 0.0, -0.05, 0.0], 3)
    assert daily_returns(traded, held, TODAY, 2) == ([-0.05, 0.0], 1)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(-300, 300)), max_size=200))
def test_results_by_day_are_sums_in_any_order(trips: list[tuple[int, int]]) -> None:
    made, kept = NO_DAYS, sorted({day for day, _ in trips})[-KEPT_DAYS:]
    for day, pnl in sorted(trips):
        made = made.with_trip(trip(day * NS_PER_DAY, str(pnl)))
    assert [one.day for one in made.days] == kept
    for day in kept:
        own = [D(pnl) - D("0.25") for other, pnl in trips if other == day]
        assert made.on(day) == DayResult(day, sum(own, D(0)), len(own))
    if len({day for day, _ in trips}) <= KEPT_DAYS:
        backwards = NO_DAYS
        for day, pnl in sorted(trips, reverse=True):
            backwards = backwards.with_trip(trip(day * NS_PER_DAY, str(pnl)))
        assert backwards == made


def test_the_first_allocation_of_a_day_stays() -> None:
    made = DailyCapital()
    assert made.observe("scavenger", TODAY, D(200))
    assert not made.observe("scavenger", TODAY, D(250))
    assert made.of("scavenger") == {TODAY: D(200)}
    assert made.of("hunter") == {}
    for day in range(1, KEPT_DAYS + 1):
        assert made.observe("scavenger", TODAY + day, D(1))
    assert min(made.of("scavenger")) == TODAY + 1
    assert not made.observe("scavenger", TODAY, D(1)), "older than all that are kept"


def test_a_restart_keeps_the_days() -> None:
    before = DailyCapital()
    before.observe("scavenger", TODAY - 1, D(180))
    before.observe("scavenger", TODAY, D(200))
    stored = msgspec.json.decode(msgspec.json.encode(before.state), type=CapitalState)
    after = DailyCapital()
    assert not after.restore(stored), "what is stored needs no storing"
    assert after.state == before.state
    # The database answered late: this life has granted budgets meanwhile.
    late = DailyCapital()
    late.observe("scavenger", TODAY, D(150))
    late.observe("scavenger", TODAY + 1, D(170))
    assert late.restore(stored)
    assert late.of("scavenger") == {TODAY - 1: D(180), TODAY: D(200), TODAY + 1: D(170)}


def test_reading_changes_nothing() -> None:
    made = risk_state()
    before = made.capital.state
    modifier(made.phases["scavenger"].history.days, made.capital.of("scavenger"), TODAY, DEFAULTS)
    assert made.capital.state == before


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"sharpe_days": 61}, "sharpe_days: 61 is not allowed; allowed are 2 to 60"),
        (
            {"sharpe_low": 0.95},
            "sharpe_low: 0.95 is not allowed; allowed are 0 to sharpe_high=0.95, which is at most 1",
        ),
        ({"sharpe_low_scale": D(2)}, "sharpe_low_scale: 2 is not allowed; allowed are decimals above 0, up to 1"),
        ({"sharpe_high_scale": D("0.9")}, "sharpe_high_scale: 0.9 is not allowed; allowed are decimals from 1 on"),
    ],
)
def test_parameters_out_of_range(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^sharpe_") as raised:
        RiskParameters(**changed)  # type: ignore[arg-type]
    assert str(raised.value) == sentence
