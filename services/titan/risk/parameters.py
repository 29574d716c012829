"""Brain's parameters: numbers of the domain that the policy does not name, so they are not part of its hash."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import msgspec

from titan.domain.numbers import ONE, ZERO
from titan.domain.time import NS_PER_S
from titan.domain.trip_results import KEPT_DAYS

_END = Decimal(10) ** 18


def _check_decimal(field: str, value: Decimal) -> None:
    if not value.is_finite() or not ZERO <= value < _END:
        raise ValueError(f"{field}: {value} is not allowed; allowed are decimals from 0 on and below 10^18")


def _check_range(parameters: msgspec.Struct) -> None:
    """Refuse a Decimal that is no finite amount: NaN would raise where it is compared, not where it is read."""
    for field in parameters.__struct_fields__:
        value = getattr(parameters, field)
        if isinstance(value, Decimal):
            _check_decimal(field, value)


def _check_sharpe(parameters: RiskParameters) -> None:
    days, low, high = parameters.sharpe_days, parameters.sharpe_low, parameters.sharpe_high
    if not 2 <= days < KEPT_DAYS:
        raise ValueError(f"sharpe_days: {days} is not allowed; allowed are 2 to {KEPT_DAYS - 1}")
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(f"sharpe_low: {low} is not allowed; allowed are 0 to sharpe_high={high}, which is at most 1")
    if not ZERO < parameters.sharpe_low_scale <= ONE:
        raise ValueError(
            f"sharpe_low_scale: {parameters.sharpe_low_scale} is not allowed; allowed are decimals above 0, up to 1"
        )
    if parameters.sharpe_high_scale < ONE:
        raise ValueError(
            f"sharpe_high_scale: {parameters.sharpe_high_scale} is not allowed; allowed are decimals from 1 on"
        )


class PhaseParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one phase. Source: domain.md section 1.

    ``starts_at_equity`` and ``allocation_cap`` in USDT (cap None: none); ``margin_leverage`` is the venue's margin
    setting, a multiple; ``margin_use_max`` and the daily drawdowns are fractions of the phase's allocation.
    """

    rank: int
    starts_at_equity: Decimal
    allocation_cap: Decimal | None
    margin_leverage: Decimal
    margin_use_max: Decimal
    daily_drawdown_reduce: Decimal
    daily_drawdown_halt: Decimal

    def __post_init__(self) -> None:
        """Check the range of each number.

        Raises
        ------
        ValueError
            One sentence: field, value, what is allowed.
        """
        _check_range(self)
        if self.margin_leverage < ONE:
            raise ValueError(f"margin_leverage: {self.margin_leverage} is not allowed; allowed are multiples from 1 on")


class TailPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At tail exponent ``alpha`` the Kelly fraction is multiplied by ``kelly``; linear between points."""

    alpha: float
    kelly: float


def _phases() -> dict[str, PhaseParameters]:
    half, three, five = Decimal("0.5"), Decimal("0.03"), Decimal("0.05")
    return {
        "scavenger": PhaseParameters(
            rank=1,
            starts_at_equity=Decimal(200),
            allocation_cap=Decimal(5_000),
            margin_leverage=Decimal(20),
            margin_use_max=half,
            daily_drawdown_reduce=three,
            daily_drawdown_halt=five,
        ),
        "hunter": PhaseParameters(
            rank=2,
            starts_at_equity=Decimal(2_500),
            allocation_cap=Decimal(50_000),
            margin_leverage=Decimal(5),
            margin_use_max=Decimal("0.25"),
            daily_drawdown_reduce=three,
            daily_drawdown_halt=five,
        ),
        "sentinel": PhaseParameters(
            rank=3,
            starts_at_equity=Decimal(50_000),
            allocation_cap=None,
            margin_leverage=Decimal(3),
            margin_use_max=Decimal(1),
            daily_drawdown_reduce=Decimal("0.02"),
            daily_drawdown_halt=Decimal("0.04"),
        ),
    }


class RiskParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All other parameters. Source: domain.md sections 2 to 4.

    Durations in nanoseconds of the market clock; ``budget_drawdown``, ``hysteresis`` and the daily loss thresholds
    (of the day's limit) are fractions; ``prior_trades`` is the weight of p0 in finished trades; ``tail_alpha`` is
    assumed for every symbol while there is no estimate.
    """

    phases: dict[str, PhaseParameters] = msgspec.field(default_factory=_phases)
    hysteresis: Decimal = Decimal("0.9")
    # (entered at this equity, account leverage at most), ascending.
    leverage_tiers: tuple[tuple[Decimal, Decimal], ...] = (
        (ZERO, Decimal(20)),
        (Decimal(1_500), Decimal(10)),
        (Decimal(5_000), Decimal(5)),
        (Decimal(25_000), Decimal(3)),
        (Decimal(50_000), Decimal(2)),
    )
    budget_period_ns: int = 5 * NS_PER_S
    budget_lifetime_ns: int = 10 * NS_PER_S
    budget_drawdown: Decimal = Decimal("0.02")
    orders_per_minute: int = 30
    orders_per_minute_throttled: int = 5
    prior_trades: int = 50
    probability_max: float = 0.95
    kelly_by_tail: tuple[TailPoint, ...] = (
        TailPoint(1.5, 0.1),
        TailPoint(2.0, 0.2),
        TailPoint(3.0, 0.5),
        TailPoint(4.5, 0.8),
    )
    tail_alpha: float = 1.5
    liquidation_stop_distances: int = 3
    cautious_scale: Decimal = Decimal("0.5")
    # Phases of this rank wait while the risk level is CAUTIOUS.
    cautious_waits_rank: int = 2
    daily_loss_cautious: Decimal = Decimal("0.5")
    daily_loss_defensive: Decimal = Decimal("0.75")
    risk_level_dwell_ns: int = 600 * NS_PER_S
    # A streak counts losses of so many R, within the greater of the window and so many horizons of the setup.
    loss_streak_window_ns: int = 3_600 * NS_PER_S
    loss_streak_least_r: Decimal = Decimal("0.25")
    loss_streak_horizons: int = 3
    latency_window_ns: int = 300 * NS_PER_S
    latency_scale: Decimal = Decimal("0.75")
    quality_min_orders: int = 20
    tail_throttle_min: Decimal = Decimal("0.1")
    explorations_per_day: int = 3
    # The Sharpe modifier: its days and fewest trades, and the scale at a probabilistic Sharpe ratio up to the low and
    # from the high bound.
    sharpe_days: int = 30
    sharpe_min_trades: int = 30
    sharpe_low: float = 0.1
    sharpe_low_scale: Decimal = Decimal("0.5")
    sharpe_high: float = 0.95
    sharpe_high_scale: Decimal = Decimal("1.2")

    def __post_init__(self) -> None:
        """Check the range of each number.

        Raises
        ------
        ValueError
            One sentence: field, value, what is allowed.
        """
        _check_range(self)
        for bounds in self.leverage_tiers:
            for value in bounds:
                _check_decimal("leverage_tiers", value)
        _check_sharpe(self)

    def kelly_scale(self, alpha: float) -> float:
        """Interpolate the factor on the Kelly fraction at tail exponent ``alpha``."""
        points = self.kelly_by_tail
        if alpha <= points[0].alpha:
            return points[0].kelly
        for lower, upper in pairwise(points):
            if alpha <= upper.alpha:
                share = (alpha - lower.alpha) / (upper.alpha - lower.alpha)
                return lower.kelly + share * (upper.kelly - lower.kelly)
        return points[-1].kelly
