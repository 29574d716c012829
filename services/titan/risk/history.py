"""A phase's finished trades, from which probabilities, loss streaks and the day's result are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO
from titan.domain.positions import RoundTrip
from titan.domain.time import NS_PER_DAY

# The longest streak of any policy and the trades of a busy day fit.
_KEPT = 1_000
# The weight of a trade in its setup's record halves with each hundred that follow it.
_DECAY = 0.5 ** (1 / 100)


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

    @property
    def mean_r(self) -> float:
        """Weighted mean R-multiple; 0 without trades."""
        return self.weighted_r / self.weight if self.weight else 0.0


NO_RECORD = SetupRecord()


class PhaseHistory:
    """Finished round trips of one phase, newest last; a repeated trip is not counted twice."""

    __slots__ = ("by_setup", "seen", "trips")

    def __init__(self) -> None:
        self.trips: deque[RoundTrip] = deque(maxlen=_KEPT)
        self.seen: set[tuple[str, int]] = set()
        self.by_setup: dict[str, SetupRecord] = {}

    def add(self, trip: RoundTrip) -> bool:
        """Count a finished trip; False when it was counted before."""
        key = (trip.intent_id, trip.closed_ns)
        if key in self.seen:
            return False
        self.seen.add(key)
        self.trips.append(trip)
        if trip.risk > ZERO:
            record = self.by_setup.get(trip.setup, NO_RECORD)
            self.by_setup[trip.setup] = record.after(float(trip.realized_pnl / trip.risk))
        return True

    def streak_pause_until(self, count: int, least_r: Decimal, window_ns: Callable[[str], int], pause_ns: int) -> int:
        """Compute the end (market time) of the pause that the last ``count`` trips cause; 0 where they cause none.

        They cause one when each lost at least ``least_r`` of its planned risk, net of fees, within the window of the
        last trip's setup. A trip whose planned risk is unknown counts with any loss.
        """
        if len(self.trips) < count:
            return 0
        last = [self.trips[-index] for index in range(1, count + 1)]
        if any(result(trip) >= ZERO or -result(trip) < least_r * trip.risk for trip in last):
            return 0
        if last[0].closed_ns - last[-1].closed_ns > window_ns(last[0].setup):
            return 0
        return last[0].closed_ns + pause_ns

    def day_result(self, now_ns: int) -> Decimal:
        """Sum the net results, in quote units, of the trips closed since 00:00 UTC of ``now_ns``."""
        start = now_ns - now_ns % NS_PER_DAY
        return sum((result(trip) for trip in self.trips if trip.closed_ns >= start), ZERO)


def result(trip: RoundTrip) -> Decimal:
    """Compute a trip's result after fees, in quote units."""
    return trip.realized_pnl - trip.fees
