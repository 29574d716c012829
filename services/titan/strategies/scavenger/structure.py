"""Levels: extremes of closed bars that stood for a while and were touched more than once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from titan.domain.enums import Side
from titan.strategies.scavenger.parameters import ScavengerParameters


class Level(msgspec.Struct, frozen=True):
    """A price that held; ``side`` is the direction in which it would break. Price in quote units."""

    side: Side
    price: float
    touches: int
    age_bars: int


def find_level(side: Side, highs: Sequence[float], lows: Sequence[float], rules: ScavengerParameters) -> Level | None:
    """The level above (BUY) or below (SELL), or None where the bars hold no structure.

    Parameters
    ----------
    highs, lows
        Of the last ``level_bars`` closed bars, oldest first, in quote units.
    """
    if len(highs) < rules.min_level_bars:
        return None
    top, bottom = max(highs), min(lows)
    if bottom <= 0.0 or (top / bottom - 1.0) * 10_000 < rules.min_range_bps:
        return None
    if side is Side.BUY:
        price = top
        first = next(index for index, high in enumerate(highs) if high == top)
        reach = top * (1.0 - rules.touch_tolerance_bps / 10_000)
        touches = sum(high >= reach for high in highs)
    else:
        price = bottom
        first = next(index for index, low in enumerate(lows) if low == bottom)
        reach = bottom * (1.0 + rules.touch_tolerance_bps / 10_000)
        touches = sum(low <= reach for low in lows)
    age = len(highs) - 1 - first
    # A fresh extreme is the market moving, not a level: others must have failed at it since.
    if age < rules.swing_bars or touches < rules.min_touches:
        return None
    return Level(side, price, touches, age)
