"""When a process that ended is started again: pure, so that every case is a row of a table."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60.0
# Who ran so long was well, whatever ended it.
WELL_AFTER_S = 10.0


@dataclass
class Restarts:
    """The ends of one process, in seconds of the machine's monotonic clock."""

    total: int = 0
    failures_in_a_row: int = 0
    _ends: deque[float] = field(default_factory=deque)

    def ended(self, now_s: float, ran_s: float, was_ready: bool, killed: bool) -> float:
        """Count an end and return after how many seconds to start again.

        A process that was ready and was killed from outside, or had run for a while, starts again almost at once. One
        that failed by itself is given twice the time after each attempt.

        Parameters
        ----------
        ran_s
            How long it ran.
        was_ready
            Whether it ever became ready in that time.
        killed
            Whether a signal ended it.
        """
        self.total += 1
        self._ends.append(now_s)
        well = was_ready and (killed or ran_s >= WELL_AFTER_S)
        self.failures_in_a_row = 0 if well else self.failures_in_a_row + 1
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self.failures_in_a_row, 10)))

    def crash_loop(self, now_s: float) -> bool:
        """Whether it ended at least five times within the last minute."""
        while self._ends and now_s - self._ends[0] > CRASH_LOOP_WINDOW_S:
            self._ends.popleft()
        return len(self._ends) >= CRASH_LOOP_EXITS

    @property
    def hopeless(self) -> bool:
        """Whether it failed by itself five times in a row: it will not heal by being started again."""
        return self.failures_in_a_row >= CRASH_LOOP_EXITS
