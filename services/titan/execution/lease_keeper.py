"""The lease in time: wait until it is held, then renew it until the process ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from titan.domain.time import NS_PER_S
from titan.durable.lease import Lease, LeaseState, LeaseUnavailable
from titan.runtime.process import StartError
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics


class LeaseKeeper:
    """Acquires and renews the lease of the one writer.

    Parameters
    ----------
    on_held
        Awaited once, when the lease is held: trading begins.
    on_endangered
        Called with one sentence after each renewal that failed while the lease still runs.
    fail
        Ends the process; called with one sentence when the lease is lost.
    """

    def __init__(
        self,
        lease: Lease,
        on_held: Callable[[], Awaitable[None]],
        on_endangered: Callable[[str], None],
        fail: Callable[[str], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.lease = lease
        self._on_held = on_held
        self._on_endangered = on_endangered
        self._fail = fail
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._held = metrics.gauge("titan_lease_held", "1 while this process is the one writer.")

    async def start(self) -> None:
        """Acquire the lease. Where it is free, trading has begun when this returns.

        Raises
        ------
        StartError
            When the lease's folder cannot be read or written, or trading cannot begin.
        """
        try:
            wait_ns = self.lease.acquire_step()
        except LeaseUnavailable as error:
            raise StartError(error.reason) from error
        begun = wait_ns == 0
        if begun:
            await self._on_held()
        else:
            self._log.warning("another Execution has the lease", wait_s=round(wait_ns / NS_PER_S, 1))
        self._task = asyncio.get_running_loop().create_task(self._keep(wait_ns, begun), name="lease")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Stop renewing. The lease stays as it is, to be released."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self, wait_ns: int, begun: bool) -> None:
        lease = self.lease
        while lease.state is not LeaseState.HELD:
            await asyncio.sleep(min(wait_ns, lease.times.renew_ns) / NS_PER_S)
            wait_ns = lease.acquire_step()
        if not begun:
            await self._on_held()
        self._held.set(1)
        while True:
            await asyncio.sleep(lease.times.renew_ns / NS_PER_S)
            state = lease.renew()
            if state is not LeaseState.HELD:
                self._held.set(0)
                self._fail(lease.problem or f"lease of term {lease.term} is {state.value}")
                return
            if lease.problem:
                self._on_endangered(lease.problem)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(str(error))
