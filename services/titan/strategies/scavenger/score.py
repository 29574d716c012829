"""The setup score: a weighted mean of measured pieces, each in [0, 1]. It is no probability of winning."""

from __future__ import annotations

import math

import msgspec

from titan.domain.enums import Side
from titan.strategies.bars import BarWindow
from titan.strategies.scavenger.flow import FlowMeasure
from titan.strategies.scavenger.parameters import ScavengerParameters


class Score(msgspec.Struct, frozen=True):
    """The total and its pieces."""

    total: float
    imbalance: float
    burst: float
    spread: float
    alignment: float
    burst_ratio: float


def score_setup(
    side: Side,
    before: FlowMeasure,
    after: FlowMeasure,
    window_ns: int,
    spot: BarWindow,
    spread_bps: float,
    rules: ScavengerParameters,
) -> Score:
    """Score a trip whose confirmation window has ended.

    ``before`` and ``after`` are spot flow on both sides of the trip; ``spread_bps`` is the perpetual's.
    """
    # The two windows weigh alike, however long each is: pressure must have been there and must go on.
    imbalance = _clip((before.imbalance + after.imbalance) / 2)
    usual = spot.mean_quantity() * window_ns / spot.bar_ns
    ratio = (before.quantity + after.quantity) / usual if usual > 0.0 else 0.0
    burst = _clip(math.log(ratio) / math.log(rules.full_burst_ratio)) if ratio > 1.0 else 0.0
    spread = _clip(1.0 - spread_bps / rules.max_spread_bps)
    alignment = _place_in_range(side, spot, rules.level_bars)
    weights = (rules.weight_imbalance, rules.weight_burst, rules.weight_spread, rules.weight_alignment)
    pieces = (imbalance, burst, spread, alignment)
    total = sum(weight * piece for weight, piece in zip(weights, pieces, strict=True)) / sum(weights)
    return Score(_clip(total), imbalance, burst, spread, alignment, ratio)


def _place_in_range(side: Side, spot: BarWindow, bars: int) -> float:
    """0 in the middle of spot's range of ``bars`` closed bars and behind it, 1/2 at its edge, 1 half a range beyond."""
    highs, lows = spot.recent(bars)
    if not highs:
        return 0.0
    top, bottom = max(highs), min(lows)
    beyond_middle = side.sign * (spot.last_price - (top + bottom) / 2)
    if top <= bottom:
        return 1.0 if beyond_middle > 0.0 else 0.0
    return _clip(beyond_middle / (top - bottom))


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
