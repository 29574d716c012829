"""Delay before an ended process is started again. Pure, so that every case is a row of a table."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60.0
# A process that ran this long was well, whatever ended it.
WELL_AFTER_S = 10.0


@dataclass
class Restarts:
    """The exits of one process, in seconds of the machine's monotonic clock."""

    total: int = 0
    failures_in_a_row: int = 0
    _ends: deque[float] = field(default_factory=deque)

    def ended(self, now_s: float, ran_s: float, was_ready: bool, killed: bool) -> float:
        """Count an exit and return the delay in seconds before the next start.

        A process that was ready starts again almost at once, if a signal killed it or it had run for a while. Any other
        exit doubles the delay.

        Parameters
        ----------
        ran_s
            Seconds that it ran.
        was_ready
            Whether it became ready in that time.
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
        """Whether it failed by itself five times in a row, so that another start will not help."""
        return self.failures_in_a_row >= CRASH_LOOP_EXITS
