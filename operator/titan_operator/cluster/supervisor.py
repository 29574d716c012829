"""Supervision of the receiver: it is restarted when it ends or when a watch is dead."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from titan.runtime.telemetry.logs import Log
from titan_operator.cluster.errors import ClusterError
from titan_operator.cluster.receiver import Start

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
# A run that lasted so long was a good one: the next failure waits the first time again.
_GOOD_RUN_S = 60.0
_STOP_WITHIN_S = 30.0
# kopf gives its tasks five seconds; a process that ends need not wait so long.
_END_WITHIN_S = 1.0


class ReceiverStuck(ClusterError):  # noqa: N818 - the state's name
    """The receiver does not stop on request. Its thread cannot be killed: the process has to end."""


class _Run:
    """One run of the receiver, in a thread of its own."""

    def __init__(self, start: Start) -> None:
        self.stop = threading.Event()
        self.ready = threading.Event()
        self.ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._start = start
        # A daemon thread: a stuck receiver must not keep the process from ending.
        threading.Thread(target=self._main, name="receiver", daemon=True).start()

    def _main(self) -> None:
        failure: BaseException | None = None
        try:
            # asyncio's own loop holds 256 KiB for each TLS connection it reads from, all of it written to: 7 MiB of the
            # operator's memory with the watches of four stacks. uvloop's are taken as they are used.
            uvloop.run(self._start(self.stop, self.ready))
        except BaseException as error:  # noqa: BLE001 - handed to the supervisor, which logs and counts it
            failure = error
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._set_ended, failure)

    def _set_ended(self, failure: BaseException | None) -> None:
        if not self.ended.done():
            self.ended.set_result(failure)


class Supervisor:
    """Runs the receiver until canceled.

    Parameters
    ----------
    start
        Runs the receiver; see :func:`titan_operator.cluster.receiver.kopf_receiver`.
    started
        Called before each start, with its reason, to reset the watch tracker and to count the start.
    clock_s, sleep
        Monotonic seconds, and the wait between starts.
    """

    def __init__(
        self,
        start: Start,
        *,
        log: Log,
        started: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._start = start
        self._log = log
        self._started = started
        self._clock_s = clock_s
        self._sleep = sleep
        self._run: _Run | None = None
        self._restart: asyncio.Future[str] | None = None

    @property
    def ready(self) -> bool:
        """Whether the receiver runs."""
        return self._run is not None and self._run.ready.is_set() and not self._run.ended.done()

    def restart(self, reason: str) -> None:
        """Restart the receiver, for a watch is dead; no effect while it is between two runs."""
        if self._restart is not None and not self._restart.done():
            self._restart.set_result(reason)

    async def run(self) -> None:
        """Keep the receiver running.

        Raises
        ------
        ReceiverStuck
            The receiver does not stop on request.
        """
        wait_s, reason = _FIRST_WAIT_S, "first start"
        while True:
            self._started(reason)
            began_s = self._clock_s()
            reason = await self._run_once()
            wait_s = _FIRST_WAIT_S if self._clock_s() - began_s >= _GOOD_RUN_S else wait_s
            self._log.warning("the watches restart", why=reason, wait_s=wait_s)
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _run_once(self) -> str:
        """Run the receiver once and return why it ended."""
        run = self._run = _Run(self._start)
        restart: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._restart = restart
        limit_s = _END_WITHIN_S
        try:
            either: set[asyncio.Future[Any]] = {run.ended, restart}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            limit_s = _STOP_WITHIN_S
        finally:
            self._run = self._restart = None
            run.stop.set()
            await asyncio.wait({run.ended}, timeout=limit_s)
        if not run.ended.done():
            raise ReceiverStuck(f"the receiver has not stopped within {_STOP_WITHIN_S:g} s")
        if restart.done():
            return restart.result()
        failure = run.ended.result()
        return "it ended" if failure is None else f"it failed: {type(failure).__name__}: {failure}"
