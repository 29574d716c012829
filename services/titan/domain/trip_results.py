"""Totals over finished round trips, kept as they finish: a bounded list of trips would forget the older ones."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO
from titan.domain.positions import RoundTrip
from titan.domain.time import utc_day

# The weight of a trade in its setup's record halves with each hundred that follow it.
_DECAY = 0.5 ** (1 / 100)


def net_result(trip: RoundTrip) -> Decimal:
    """Compute a trip's result after fees, in quote units."""
    return trip.realized_pnl - trip.fees


class SetupRecord(msgspec.Struct, frozen=True):
    """Finished trades of a setup: the sums of weights and of weighted R-multiples, and their count.

    An R-multiple is the result before fees by the loss that was planned at the stop. A trade whose stop is unknown has
    none and does not count.
    """

    weight: float = 0.0
    weighted_r: float = 0.0
    trades: int = 0

    def after(self, multiple: float) -> SetupRecord:
        """Return the record with one more trade."""
        return SetupRecord(self.weight * _DECAY + 1.0, self.weighted_r * _DECAY + multiple, self.trades + 1)

    def with_trip(self, trip: RoundTrip) -> SetupRecord:
        """Return the record with one more trip, which counts where its planned risk is known."""
        return self.after(float(trip.realized_pnl / trip.risk)) if trip.risk > ZERO else self

    @property
    def mean_r(self) -> float:
        """Weighted mean R-multiple; 0 without trades."""
        return self.weighted_r / self.weight if self.weight else 0.0


NO_RECORD = SetupRecord()


class DayResult(msgspec.Struct, frozen=True):
    """Result after fees, quote units, of a phase's trips that closed on the UTC day ``day`` (days since 1970)."""

    day: int = 0
    result: Decimal = ZERO

    def with_trip(self, trip: RoundTrip) -> DayResult:
        """Add one more trip; the first one of a later day begins anew, one of an earlier day is left out."""
        day = utc_day(trip.closed_ns)
        if day < self.day:
            return self
        return DayResult(day, (self.result if day == self.day else ZERO) + net_result(trip))

    def on_day_of(self, now_ns: int) -> Decimal:
        """Return the result on the day of ``now_ns``, which is 0 before its first trip."""
        return self.result if utc_day(now_ns) == self.day else ZERO


class TripResults:
    """Totals by phase and setup, and each phase's result of its last day."""

    def __init__(self) -> None:
        self.by_setup: dict[tuple[str, str], SetupRecord] = {}
        self.by_day: dict[str, DayResult] = {}

    def add(self, trip: RoundTrip) -> None:
        """Count a finished trip."""
        key = (trip.phase_id, trip.setup)
        self.by_setup[key] = self.by_setup.get(key, NO_RECORD).with_trip(trip)
        self.by_day[trip.phase_id] = self.by_day.get(trip.phase_id, DayResult()).with_trip(trip)
