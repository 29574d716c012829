"""A rolling 95th percentile of the pipeline's latency. Source: domain.md section 3, guard 10."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

# Beyond it the oldest sample leaves early: insertion stays cheap.
_MOST_SAMPLES = 256


class RollingLatency:
    """Durations of the last ``window_ns`` of market time, kept sorted."""

    __slots__ = ("_samples", "_sorted", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._samples: deque[tuple[int, int]] = deque()
        self._sorted: list[int] = []

    def add(self, now_ns: int, duration_ns: int) -> None:
        """Add a duration that was measured at ``now_ns`` of the market clock."""
        while self._samples and (
            self._samples[0][0] <= now_ns - self._window_ns or len(self._samples) >= _MOST_SAMPLES
        ):
            _, oldest = self._samples.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]
        self._samples.append((now_ns, duration_ns))
        insort(self._sorted, duration_ns)

    def p95_with(self, now_ns: int, duration_ns: int) -> tuple[int, int]:
        """Return the 95th percentile with one more duration, and the number of durations.

        By the nearest rank: of fewer than 20 durations it is the longest.
        """
        if not self._samples:
            return duration_ns, 1
        old = 0
        for time_ns, _ in self._samples:
            if time_ns > now_ns - self._window_ns:
                break
            old += 1
        kept = self._sorted
        if old:
            kept = sorted(duration for _, duration in list(self._samples)[old:])
        count = len(kept) + 1
        rank = (count * 95 + 99) // 100 - 1  # from 0
        place = bisect_left(kept, duration_ns)
        if rank < place:
            return kept[rank], count
        return (duration_ns if rank == place else kept[rank - 1]), count
