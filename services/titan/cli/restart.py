"""When a process that ended is started again: pure, so that every case is a row of a table."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60.0


@dataclass
class Restarts:
    """The ends of one process, in seconds of the machine's monotonic clock."""

    total: int = 0
    _ends: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0

    def ended(self, now_s: float, was_ready: bool) -> float:
        """Count an end and return after how many seconds to start again.

        A process that had been ready starts again almost at once: it was killed, or met something rare. One that
        never became ready is given twice the time after each attempt.
        """
        self.total += 1
        self._ends.append(now_s)
        self._in_a_row = 0 if was_ready else self._in_a_row + 1
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._in_a_row, 10)))

    def crash_loop(self, now_s: float) -> bool:
        """Whether it ended at least five times within the last minute."""
        while self._ends and now_s - self._ends[0] > CRASH_LOOP_WINDOW_S:
            self._ends.popleft()
        return len(self._ends) >= CRASH_LOOP_EXITS
