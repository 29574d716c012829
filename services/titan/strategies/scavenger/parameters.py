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


class ScavengerParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The structural breakout trap with a tripwire on a perpetual, confirmed by spot trades.

    Structure
        ``bar_ms`` length of a bar; ``level_bars`` closed bars in which a level is looked for, ``min_level_bars`` of
        them at least; ``swing_bars`` bars that must have closed since the extreme without exceeding it;
        ``min_touches`` bars that reached it within ``touch_tolerance_bps``; ``min_range_bps`` from low to high;
        ``memory_bars`` over which volatility and usual volume are measured.
    Tripwire
        ``tripwire_bps`` beyond the level: where a crossing trade of the perpetual trips it.
    Confirmation
        by spot trades from ``before_ms`` before the trip on: after it at least ``min_spot_takers`` orders, with an
        imbalance of taker volume in the breakout's direction of at least ``min_imbalance``. From ``settle_ms`` after
        the trip a score of ``early_score`` is enough; what is there ``confirm_ms`` after it is judged as it is. Back
        inside the level by ``wick_tolerance_bps`` aborts (the basis alone moves the perpetual by about half a basis
        point), as does a judgement more than ``max_lag_ms`` late.
    Score
        weighted mean, by the ``weight_…`` fields, of imbalance, burst (spot volume over its usual rate,
        ``full_burst_ratio`` counting 1), spread (0 at ``max_spread_bps``, beyond it the trap aborts) and alignment
        (where spot stands in its own range of ``level_bars``).
    Trade
        ``order_type`` ``limit`` is an aggressive one, ``limit_markup_bps`` through the touch; ``stop_bps`` and
        ``target_bps`` of the reference price; ``hold_ms`` after which what is held is closed; ``exit_retry_ms``
        between attempts to close; ``ttl_ms`` of orders; ``entry_grace_ms`` after its life before an entry without
        news is forgotten; ``cooldown_ms`` per direction after a draft; ``max_trades_per_day`` (UTC).
    """

    perp_symbol: str = "BTC/USDT:USDT"
    spot_symbol: str = "BTC/USDT"
    bar_ms: Annotated[int, Meta(ge=100, le=86_400_000)] = 1_000
    level_bars: Annotated[int, Meta(ge=4, le=2_000)] = 5
    min_level_bars: Annotated[int, Meta(ge=3, le=2_000)] = 4
    memory_bars: Annotated[int, Meta(ge=4, le=10_000)] = 60
    swing_bars: Annotated[int, Meta(ge=1, le=500)] = 1
    min_touches: Annotated[int, Meta(ge=1, le=100)] = 1
    touch_tolerance_bps: Annotated[float, Meta(ge=0.0, le=50.0)] = 0.3
    min_range_bps: Annotated[float, Meta(ge=0.0, le=1_000.0)] = 0.3
    tripwire_bps: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.05
    before_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    settle_ms: Annotated[int, Meta(ge=0, le=60_000)] = 200
    early_score: _Fraction = 0.64
    confirm_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_500
    max_lag_ms: Annotated[int, Meta(ge=50, le=10_000)] = 250
    wick_tolerance_bps: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.0
    min_spot_takers: Annotated[int, Meta(ge=1, le=10_000)] = 1
    min_imbalance: _Fraction = 0.1
    full_burst_ratio: Annotated[float, Meta(gt=1.0, le=1_000.0)] = 4.0
    max_spread_bps: Annotated[float, Meta(gt=0.0, le=100.0)] = 2.0
    weight_imbalance: _Fraction = 0.4
    weight_burst: _Fraction = 0.05
    weight_spread: _Fraction = 0.1
    weight_alignment: _Fraction = 0.3
    order_type: Literal["market", "limit"] = "market"
    limit_markup_bps: Annotated[float, Meta(ge=0.0, le=50.0)] = 2.0
    stop_bps: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 60.0
    target_bps: Annotated[float, Meta(ge=1.0, le=5_000.0)] = 90.0
    hold_ms: Annotated[int, Meta(ge=1_000, le=604_800_000)] = 30_000
    exit_retry_ms: Annotated[int, Meta(ge=200, le=600_000)] = 2_000
    ttl_ms: Annotated[int, Meta(ge=200, le=600_000)] = 5_000
    entry_grace_ms: Annotated[int, Meta(ge=0, le=600_000)] = 10_000
    cooldown_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 5_000
    max_trades_per_day: Annotated[int, Meta(ge=1, le=10_000)] = 20

    def __post_init__(self) -> None:
        """Check what concerns more than one field.

        Raises
        ------
        ValueError
            With one sentence that names the fields and their values.
        """
        if self.min_level_bars > self.level_bars:
            raise ValueError(
                f"min_level_bars: {self.min_level_bars} is not allowed; at most level_bars = {self.level_bars}"
            )
        if self.memory_bars < self.level_bars:
            raise ValueError(f"memory_bars: {self.memory_bars} is not allowed; at least level_bars = {self.level_bars}")
        if self.settle_ms > self.confirm_ms:
            raise ValueError(f"settle_ms: {self.settle_ms} is not allowed; at most confirm_ms = {self.confirm_ms}")
        if self.swing_bars >= self.min_level_bars:
            raise ValueError(
                f"swing_bars: {self.swing_bars} is not allowed; less than min_level_bars = {self.min_level_bars}"
            )
        if self.spot_symbol == self.perp_symbol:
            raise ValueError(f"spot_symbol: {self.spot_symbol!r} is not allowed; another symbol than perp_symbol")
        if self.weight_imbalance + self.weight_burst + self.weight_spread + self.weight_alignment <= 0.0:
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
