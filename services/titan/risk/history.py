"""A phase's finished trades, from which win rates, loss streaks and the day's result are computed."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from titan.domain.numbers import ZERO
from titan.domain.positions import RoundTrip
from titan.domain.time import NS_PER_DAY

# The longest streak of any policy and the trades of a busy day fit.
_KEPT = 1_000


class PhaseHistory:
    """Finished round trips of one phase, newest last; a repeated trip is not counted twice."""

    __slots__ = ("by_setup", "seen", "trips")

    def __init__(self) -> None:
        self.trips: deque[RoundTrip] = deque(maxlen=_KEPT)
        self.seen: set[tuple[str, int]] = set()
        # (wins, trades) by setup.
        self.by_setup: dict[str, tuple[int, int]] = {}

    def add(self, trip: RoundTrip) -> bool:
        """Count a finished trip; False when it was counted before."""
        key = (trip.intent_id, trip.closed_ns)
        if key in self.seen:
            return False
        self.seen.add(key)
        self.trips.append(trip)
        wins, trades = self.by_setup.get(trip.setup, (0, 0))
        self.by_setup[trip.setup] = (wins + (result(trip) > ZERO), trades + 1)
        return True

    def streak_pause_until(self, count: int, window_ns: int, pause_ns: int) -> int:
        """Compute the end (market time) of the pause that the last ``count`` trips cause; 0 where they cause none.

        They cause one when all of them lost within ``window_ns``.
        """
        if len(self.trips) < count:
            return 0
        last = [self.trips[-index] for index in range(1, count + 1)]
        if any(result(trip) >= ZERO for trip in last) or last[0].closed_ns - last[-1].closed_ns > window_ns:
            return 0
        return last[0].closed_ns + pause_ns

    def day_result(self, now_ns: int) -> Decimal:
        """Sum the net results, in quote units, of the trips closed since 00:00 UTC of ``now_ns``."""
        start = now_ns - now_ns % NS_PER_DAY
        return sum((result(trip) for trip in self.trips if trip.closed_ns >= start), ZERO)


def result(trip: RoundTrip) -> Decimal:
    """Compute a trip's result after fees, in quote units."""
    return trip.realized_pnl - trip.fees
