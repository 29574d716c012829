"""Limits on how often instead of how much: thinning, and exploring. Source: domain.md sections 2 and 3."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO
from titan.domain.time import utc_day


class FrequencyState(msgspec.Struct, frozen=True):
    """Accumulators and counts that must survive a restart.

    ``thinned`` by phase and symbol: the sum of factors since the last setup that was taken, below 1. ``explored`` by
    phase and setup: UTC day since the epoch, and the lots taken on it. ``horizons`` by phase and setup: nanoseconds of
    the timeframe that its signals give.
    """

    thinned: dict[str, Decimal] = {}
    explored: dict[str, tuple[int, int]] = {}
    horizons: dict[str, int] = {}


class Frequency:
    """The state with its keys. Reading changes nothing."""

    __slots__ = ("_explored", "_horizons", "_thinned")

    def __init__(self) -> None:
        self._thinned: dict[str, Decimal] = {}
        self._explored: dict[str, tuple[int, int]] = {}
        self._horizons: dict[str, int] = {}

    @property
    def state(self) -> FrequencyState:
        """The state to store."""
        return FrequencyState(dict(self._thinned), dict(self._explored), dict(self._horizons))

    def restore(self, stored: FrequencyState) -> None:
        """Take over stored counts, unless newer ones are at hand."""
        self._thinned = {**stored.thinned, **self._thinned}
        self._explored = {**stored.explored, **self._explored}
        self._horizons = {**stored.horizons, **self._horizons}

    def horizon_ns(self, phase_id: str, setup: str) -> int:
        """Return the horizon of a setup; 0 while none was given."""
        return self._horizons.get(f"{phase_id} {setup}", 0)

    def set_horizon(self, phase_id: str, setup: str, horizon_ns: int) -> bool:
        """Set the horizon of a setup; return whether that changed it."""
        key = f"{phase_id} {setup}"
        if self._horizons.get(key) == horizon_ns:
            return False
        self._horizons[key] = horizon_ns
        return True

    def thinned(self, phase_id: str, symbol: str) -> Decimal:
        """Return the accumulator of a phase in a symbol."""
        return self._thinned.get(f"{phase_id} {symbol}", ZERO)

    def set_thinned(self, phase_id: str, symbol: str, count: Decimal) -> None:
        """Set the accumulator after a setup that was taken or refused."""
        self._thinned[f"{phase_id} {symbol}"] = count

    def explored(self, phase_id: str, setup: str, now_ns: int) -> int:
        """Count the lots that a phase has taken today to explore a setup."""
        day, count = self._explored.get(f"{phase_id} {setup}", (0, 0))
        return count if day == utc_day(now_ns) else 0

    def add_explored(self, phase_id: str, setup: str, now_ns: int) -> None:
        """Count a lot that was taken to explore a setup."""
        count = self.explored(phase_id, setup, now_ns) + 1
        self._explored[f"{phase_id} {setup}"] = (utc_day(now_ns), count)
