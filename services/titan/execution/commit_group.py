"""Group commit: one sync an order while the line is idle, one sync for all waiting orders while it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from titan.v1 import execution_pb2

Request = tuple[execution_pb2.PlaceOrder, int]

# An order that arrives this soon after a commit had been waiting while the disk worked.
WAITED_NS = 500_000
# In a queue, the next message needs some turns of the event loop to come up; a turn is about 10 µs, a sync 300.
TURNS = 12
LARGEST = 64


class CommitGroup:
    """Collects orders only while they queue.

    An order that comes to an idle line is committed in the same call. An order that had to wait shows that more may be
    waiting: the loop then takes a few turns to fetch them, and all share one sync.

    Attributes
    ----------
    failure
        The error that a commit outside of :meth:`add` raised.
    """

    def __init__(self, place: Callable[[Sequence[Request]], None]) -> None:
        self.failure: BaseException | None = None
        self._place = place
        self._waiting: list[Request] = []
        self._turns = 0
        self._scheduled = False
        self._committed_ns = 0

    def add(self, order: execution_pb2.PlaceOrder, received_ns: int) -> None:
        """Add one order, received at ``received_ns`` (monotonic)."""
        self._waiting.append((order, received_ns))
        queued = received_ns - self._committed_ns < WAITED_NS or len(self._waiting) > 1
        if not queued or len(self._waiting) >= LARGEST:
            self.commit()
            return
        self._turns = TURNS
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def commit(self) -> None:
        """Commit the waiting orders now."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._place(waiting)
            self._committed_ns = time.perf_counter_ns()

    def drop(self) -> None:
        """Drop the waiting orders: their stream has ended, they were never taken, and Brain requests them again."""
        self._waiting.clear()

    def _turn(self) -> None:
        self._turns -= 1
        if self._waiting and self._turns > 0:
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._scheduled = False
        try:
            self.commit()
        except Exception as error:
            # The reader of the stream raises it; the loop would only log it.
            self.failure = error
            raise
