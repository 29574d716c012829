"""Scavenger's parameters: meaning, unit, bounds, and second-scale demo values.

The defaults are *demo* values: levels of seconds and exits after half a minute, chosen so that a recording of six
minutes and a few minutes of the simulated market show the whole way of an order. They are no claim of an edge.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]

# A field, the one that it may not exceed, and whether it may not equal it either.
ASCENDING = (
    ("min_level_bars", "level_bars", False),
    ("level_bars", "memory_bars", False),
    ("swing_bars", "min_level_bars", True),
    ("settle_ms", "confirm_ms", False),
)
# One of them at least is above 0.
WEIGHTS = ("weight_imbalance", "weight_burst", "weight_spread", "weight_alignment")


class ScavengerParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The structural breakout trap with a tripwire on a perpetual, confirmed by spot trades.

    A structure (a level that held) is armed, a crossing trade of the perpetual trips it, and spot trades after the trip
    confirm it or not. What confirms is scored; what scores well is traded.
    """

    perp_symbol: str = "BTC/USDT:USDT"
    """The perpetual that is traded."""
    spot_symbol: str = "BTC/USDT"
    """The spot market that confirms."""
    bar_ms: Annotated[int, Meta(ge=100, le=86_400_000)] = 1_000
    """Length of a bar."""
    level_bars: Annotated[int, Meta(ge=4, le=2_000)] = 5
    """Closed bars in which a level is looked for."""
    min_level_bars: Annotated[int, Meta(ge=3, le=2_000)] = 4
    """Their least number."""
    memory_bars: Annotated[int, Meta(ge=4, le=10_000)] = 60
    """Bars over which volatility and usual volume are measured."""
    swing_bars: Annotated[int, Meta(ge=1, le=500)] = 1
    """Bars that must have closed since the extreme without exceeding it."""
    min_touches: Annotated[int, Meta(ge=1, le=100)] = 1
    """Bars that must have reached the level."""
    touch_tolerance_bps: Annotated[float, Meta(ge=0.0, le=50.0)] = 0.3
    """The distance from the level that counts as having reached it."""
    min_range_bps: Annotated[float, Meta(ge=0.0, le=1_000.0)] = 0.3
    """Least range from low to high."""
    tripwire_bps: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.05
    """The distance beyond the level at which a trade of the perpetual trips it."""
    before_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    """The time before the trip from which spot trades count."""
    settle_ms: Annotated[int, Meta(ge=0, le=60_000)] = 200
    """The time after the trip from which an early score is enough."""
    early_score: _Fraction = 0.64
    """The score that is enough before confirm_ms."""
    confirm_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_500
    """The time after the trip at which the evidence is judged as it stands."""
    max_lag_ms: Annotated[int, Meta(ge=50, le=10_000)] = 250
    """A judgment that is later than this aborts."""
    wick_tolerance_bps: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.0
    """The distance back inside that aborts; the basis alone moves the perpetual by about half a basis point."""
    min_spot_takers: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Least number of spot orders after the trip."""
    min_imbalance: _Fraction = 0.1
    """Least imbalance of spot taker volume in the breakout's direction."""
    full_burst_ratio: Annotated[float, Meta(gt=1.0, le=1_000.0)] = 4.0
    """Spot volume over its usual rate that counts as a full burst."""
    max_spread_bps: Annotated[float, Meta(gt=0.0, le=100.0)] = 2.0
    """Spread that scores nothing; beyond it the trap aborts."""
    weight_imbalance: _Fraction = 0.4
    """Weight of the imbalance in the score."""
    weight_burst: _Fraction = 0.05
    """Weight of the burst in the score."""
    weight_spread: _Fraction = 0.1
    """Weight of the spread in the score."""
    weight_alignment: _Fraction = 0.3
    """Weight of the place of spot in its own range of level_bars."""
    order_type: Literal["market", "limit"] = "market"
    """market, or an aggressive limit."""
    limit_markup_bps: Annotated[float, Meta(ge=0.0, le=50.0)] = 2.0
    """The distance through the touch of a limit price."""
    stop_bps: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 60.0
    """Distance of the stop from the reference price."""
    target_bps: Annotated[float, Meta(ge=1.0, le=5_000.0)] = 90.0
    """Distance of the target from the reference price."""
    hold_ms: Annotated[int, Meta(ge=1_000, le=604_800_000)] = 30_000
    """The longest time that a position is held before it is closed."""
    exit_retry_ms: Annotated[int, Meta(ge=200, le=600_000)] = 2_000
    """Time between attempts to close."""
    ttl_ms: Annotated[int, Meta(ge=200, le=600_000)] = 5_000
    """Life of an order."""
    entry_grace_ms: Annotated[int, Meta(ge=0, le=600_000)] = 10_000
    """The time after its life at which an entry without news is forgotten."""
    cooldown_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 5_000
    """Pause after a draft, per direction."""
    max_trades_per_day: Annotated[int, Meta(ge=1, le=10_000)] = 20
    """Most trades in a UTC day."""

    def __post_init__(self) -> None:
        """Check what concerns more than one field.

        Raises
        ------
        ValueError
            With one sentence that names the fields and their values.
        """
        for field, other, strict in ASCENDING:
            value, bound = getattr(self, field), getattr(self, other)
            if value > bound or (strict and value == bound):
                words = "less than" if strict else "at most"
                raise ValueError(f"{field}: {value} is not allowed; {words} {other} = {bound}")
        if self.spot_symbol == self.perp_symbol:
            raise ValueError(f"spot_symbol: {self.spot_symbol!r} is not allowed; another symbol than perp_symbol")
        if not any(getattr(self, field) for field in WEIGHTS):
            raise ValueError("weight_imbalance: 0.0 is not allowed; at least one weight above 0")


def parse_parameters(text: bytes) -> ScavengerParameters:
    """Read parameters from JSON; a field that is absent has its demo value.

    Raises
    ------
    ValueError
        One sentence: field, value, what is allowed.
    """
    try:
        return msgspec.json.decode(text or b"{}", type=ScavengerParameters)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = path.strip("`.")
        if not field:
            raise ValueError(f"scavenger parameters: {message}") from error
        value = json.loads(text).get(field)
        raise ValueError(f"scavenger parameters: {field}: {value!r} is not allowed: {message}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"scavenger parameters: not valid JSON: {error}") from error
