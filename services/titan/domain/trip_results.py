"""Totals over finished round trips, kept as they finish: a bounded list of trips would forget the older ones."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO
from titan.domain.positions import RoundTrip
from titan.domain.time import utc_day

# The weight of a trade in its setup's record halves with each hundred that follow it.
_DECAY = 0.5 ** (1 / 100)
# Days with a trip that are kept of each phase: the present one and those that its daily returns come from.
KEPT_DAYS = 61


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
    """Result after fees, quote units, and count of a phase's trips that closed on the UTC day ``day`` (since 1970)."""

    day: int = 0
    result: Decimal = ZERO
    trades: int = 0


class DayResults(msgspec.Struct, frozen=True):
    """The results of a phase's last days with a trip, oldest first; a day without one has the result 0."""

    days: tuple[DayResult, ...] = ()

    def with_trip(self, trip: RoundTrip) -> DayResults:
        """Return the results with one more trip; one of a day before all that are kept is left out."""
        day = utc_day(trip.closed_ns)
        before = self.on(day)
        after = DayResult(day, before.result + net_result(trip), before.trades + 1)
        others = [one for one in self.days if one.day != day]
        return DayResults(tuple(sorted([*others, after], key=lambda one: one.day)[-KEPT_DAYS:]))

    def on(self, day: int) -> DayResult:
        """Return the result of a day, which is 0 before its first trip."""
        return next((one for one in reversed(self.days) if one.day == day), DayResult(day))


NO_DAYS = DayResults()


class TripResults:
    """Totals by phase and setup, and by phase and day."""

    def __init__(self) -> None:
        self.by_setup: dict[tuple[str, str], SetupRecord] = {}
        self.by_day: dict[str, DayResults] = {}

    def add(self, trip: RoundTrip) -> None:
        """Count a finished trip."""
        key = (trip.phase_id, trip.setup)
        self.by_setup[key] = self.by_setup.get(key, NO_RECORD).with_trip(trip)
        self.by_day[trip.phase_id] = self.by_day.get(trip.phase_id, NO_DAYS).with_trip(trip)
