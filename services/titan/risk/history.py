"""A phase's finished trades: records of setups and results of days as totals, the last trades for loss streaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from titan.domain.numbers import ZERO
from titan.domain.positions import RoundTrip
from titan.domain.time import utc_day
from titan.domain.trip_results import NO_DAYS, NO_RECORD, SetupRecord, TripResults, net_result

# The longest streak of any policy fits.
_KEPT = 1_000


class PhaseHistory:
    """Finished round trips of one phase, newest last; the sequence of its last fill keeps one from coming twice."""

    __slots__ = ("by_setup", "days", "trips")

    def __init__(self) -> None:
        self.trips: deque[RoundTrip] = deque(maxlen=_KEPT)
        self.by_setup: dict[str, SetupRecord] = {}
        self.days = NO_DAYS

    def add(self, trip: RoundTrip) -> None:
        """Count a finished trip."""
        self.trips.append(trip)
        self.by_setup[trip.setup] = self.by_setup.get(trip.setup, NO_RECORD).with_trip(trip)
        self.days = self.days.with_trip(trip)

    def set_totals(self, phase_id: str, results: TripResults) -> None:
        """Replace the totals by Execution's, which count every trip and not only the last ones."""
        self.by_setup = {setup: total for (owner, setup), total in results.by_setup.items() if owner == phase_id}
        self.days = results.by_day.get(phase_id, NO_DAYS)

    def streak_pause_until(self, count: int, least_r: Decimal, window_ns: Callable[[str], int], pause_ns: int) -> int:
        """Compute the end (market time) of the pause that the last ``count`` trips cause; 0 where they cause none.

        They cause one when each lost at least ``least_r`` of its planned risk, net of fees, within the window of the
        last trip's setup. A trip whose planned risk is unknown counts with any loss.
        """
        if len(self.trips) < count:
            return 0
        last = [self.trips[-index] for index in range(1, count + 1)]
        if any(net_result(trip) >= ZERO or -net_result(trip) < least_r * trip.risk for trip in last):
            return 0
        if last[0].closed_ns - last[-1].closed_ns > window_ns(last[0].setup):
            return 0
        return last[0].closed_ns + pause_ns

    def day_result(self, now_ns: int) -> Decimal:
        """Sum the net results, in quote units, of the trips closed since 00:00 UTC of ``now_ns``."""
        return self.days.on(utc_day(now_ns)).result
