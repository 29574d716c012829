"""A trip: a crossing under confirmation, its measurements, and the reasons that abort it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from titan.domain.enums import Side
from titan.domain.market import QuoteEvent
from titan.strategies.scavenger.flow import FlowMeasure
from titan.strategies.scavenger.score import Score
from titan.strategies.scavenger.structure import Level


class Abort(StrEnum):
    """Reasons for which a crossing became no intent."""

    NOT_PERMITTED = "not_permitted"  # posture, budget or Brain does not allow opening
    POSITION_OPEN = "position_open"  # one position at a time
    ENTRY_IN_FLIGHT = "entry_in_flight"  # an entry may still become a position
    TRIP_PENDING = "trip_pending"  # another trip is being confirmed
    COOLDOWN = "cooldown"  # too soon after the last draft in this direction
    TRADES_SPENT = "trades_spent"  # the day's ceiling
    WICK_REVERSION = "wick_reversion"  # back inside the level
    WINDOW_OVERRUN = "window_overrun"  # no market event when the window ended
    FEW_SPOT_TAKERS = "few_spot_takers"  # spot did not trade
    SPOT_DISAGREES = "spot_disagrees"  # spot's takers are not on this side
    SPREAD_TOO_WIDE = "spread_too_wide"  # the perpetual's spread
    NO_QUOTE = "no_quote"  # no quote of the perpetual that has a middle
    UNPRICEABLE = "unpriceable"  # stop or target would not be above zero


class Trip(msgspec.Struct, frozen=True):
    """A crossing under confirmation; price in quote units, times on the market clock."""

    side: Side
    level: Level
    price: float
    tripped_ns: int
    ends_ns: int


class Measured(msgspec.Struct, frozen=True):
    """A trip with its measurements."""

    quote: QuoteEvent
    before: FlowMeasure
    after: FlowMeasure
    spread_bps: float
    score: Score
