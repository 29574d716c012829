"""Watermarks: the progress of a stream of markers, which lockstep waits for."""

from __future__ import annotations

import asyncio


class Watermark:
    """A number that only rises, and a way to wait for it.

    Markers are sent again after a reconnection, so the same one may arrive twice: the maximum counts.
    """

    def __init__(self) -> None:
        self.value = -1
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def advance(self, step: int) -> None:
        """Raise the watermark to ``step``, if it is higher, and wake its waiters."""
        if step <= self.value:
            return
        self.value = step
        waiting: list[tuple[int, asyncio.Future[None]]] = []
        for target, future in self._waiters:
            if target > step:
                waiting.append((target, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = waiting

    async def reached(self, step: int) -> None:
        """Return when the watermark is at least ``step``."""
        if self.value >= step:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((step, future))
        await future
