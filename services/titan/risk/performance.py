"""The Sharpe modifier: a factor on a phase's sizes by its daily returns. Source: domain.md section 2.

The probabilistic Sharpe ratio is that of Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of
Risk 15(2), 2012.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from math import fsum, sqrt
from statistics import NormalDist

import msgspec

from titan.domain.numbers import ONE, ZERO
from titan.domain.trip_results import KEPT_DAYS, DayResults
from titan.risk.parameters import RiskParameters

_NORMAL = NormalDist()
# Below it, relative to the largest return, a spread is the rounding of floats.
_LEAST_SPREAD = 1e-12
# The variance term is a square in the limit, and must not become 0 by rounding.
_LEAST_VARIANCE = 1e-12


class CapitalState(msgspec.Struct, frozen=True):
    """Allocations that must survive a restart: by phase, (UTC day since 1970, quote units), oldest first."""

    by_phase: dict[str, tuple[tuple[int, Decimal], ...]] = {}


class DailyCapital:
    """The allocation of each phase's first budget with weight of a UTC day, for its last days with one."""

    __slots__ = ("_by_phase",)

    def __init__(self) -> None:
        self._by_phase: dict[str, dict[int, Decimal]] = {}

    @property
    def state(self) -> CapitalState:
        """The state to store."""
        return CapitalState({phase: tuple(days.items()) for phase, days in self._by_phase.items()})

    def restore(self, stored: CapitalState) -> bool:
        """Take over stored days, of which each is older than one at hand; return whether more than they is known."""
        for phase in {*stored.by_phase, *self._by_phase}:
            days = {**self._by_phase.get(phase, {}), **dict(stored.by_phase.get(phase, ()))}
            self._by_phase[phase] = _last(days.items())
        return self.state != stored

    def observe(self, phase_id: str, day: int, allocation: Decimal) -> bool:
        """Keep the allocation of a budget with weight; return whether it is the first one of its day."""
        days = self._by_phase.get(phase_id, {})
        if day in days:
            return False
        kept = _last([*days.items(), (day, allocation)])
        if day not in kept:
            return False
        self._by_phase[phase_id] = kept
        return True

    def of(self, phase_id: str) -> Mapping[int, Decimal]:
        """Return a phase's allocations in quote units by UTC day, oldest first."""
        return self._by_phase.get(phase_id, {})


class Modifier(msgspec.Struct, frozen=True):
    """A factor on a phase's sizes, and the numbers that it comes from."""

    factor: Decimal
    reason: str


def daily_returns(
    results: DayResults, capital: Mapping[int, Decimal], today: int, count: int
) -> tuple[list[float], int]:
    """Return the last ``count`` complete days' returns, oldest first, and the number of trips on these days.

    A day counts where the phase had an allocation or finished a trip. Without a trip its return is 0; a trip of a day
    without an allocation counts on the last one before it.

    Parameters
    ----------
    capital
        Quote units by UTC day, oldest first.
    today
        The UTC day that is not complete.
    """
    by_day = {one.day: one for one in results.days}
    returns: list[float] = []
    trades: list[int] = []
    allocated = ZERO
    for day in sorted({*by_day, *capital}):
        if day >= today:
            break
        allocated = capital.get(day, allocated)
        if allocated <= ZERO:
            continue
        result = by_day.get(day)
        returns.append(float(result.result / allocated) if result is not None else 0.0)
        trades.append(result.trades if result is not None else 0)
    return returns[-count:], sum(trades[-count:])


def probabilistic_sharpe(returns: Sequence[float]) -> float | None:
    """Estimate the probability that the true Sharpe ratio is above 0; None where the returns do not vary.

    Φ(s · √(n − 1) / √(1 − g · s + (k − 1) / 4 · s²)), with the Sharpe ratio s, skewness g and kurtosis k of n returns.
    """
    count = len(returns)
    scale = max(map(abs, returns), default=0.0)
    if count < 2 or scale == 0.0:
        return None
    # The ratio has no unit, and powers of small returns would vanish.
    scaled = [one / scale for one in returns]
    if max(scaled) - min(scaled) < _LEAST_SPREAD:
        return None
    mean = fsum(scaled) / count
    second, third, fourth = (fsum((one - mean) ** power for one in scaled) / count for power in (2, 3, 4))
    sharpe = mean / sqrt(second * count / (count - 1))
    variance = 1.0 - third / second**1.5 * sharpe + (fourth / second**2 - 1.0) / 4.0 * sharpe**2
    return _NORMAL.cdf(sharpe * sqrt(count - 1) / sqrt(max(variance, _LEAST_VARIANCE)))


def modifier(results: DayResults, capital: Mapping[int, Decimal], today: int, parameters: RiskParameters) -> Modifier:
    """Compute the factor on a phase's sizes; 1 where its days or trades are too few to judge."""
    returns, trades = daily_returns(results, capital, today, parameters.sharpe_days)
    if len(returns) < parameters.sharpe_days:
        return Modifier(ONE, f"{len(returns)} of {parameters.sharpe_days} days")
    numbers = f"{len(returns)} days, {trades} trades"
    if trades < parameters.sharpe_min_trades:
        return Modifier(ONE, f"{numbers} of {parameters.sharpe_min_trades}")
    ratio = probabilistic_sharpe(returns)
    if ratio is None:
        return Modifier(ONE, f"{numbers}: the returns do not vary")
    reason = f"psr={ratio:.3f} of {numbers}"
    if ratio <= parameters.sharpe_low:
        return Modifier(parameters.sharpe_low_scale, reason)
    return Modifier(parameters.sharpe_high_scale if ratio >= parameters.sharpe_high else ONE, reason)


def _last(days: Iterable[tuple[int, Decimal]]) -> dict[int, Decimal]:
    return dict(sorted(days)[-KEPT_DAYS:])
