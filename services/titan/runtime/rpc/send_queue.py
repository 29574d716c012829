"""The sending side of a stream: messages are posted without waiting and go out in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message


class SendQueue:
    """Messages on their way into one stream, in order. ``post`` never blocks and never yields."""

    def __init__(self, write: Callable[[Any], Awaitable[None]], on_failed: Callable[[BaseException], None]) -> None:
        self._write = write
        self._on_failed = on_failed
        self._queue: deque[Message] = deque()
        self._task: asyncio.Task[None] | None = None
        self._failed = False

    @property
    def pending(self) -> int:
        """Messages posted and not yet taken by the transport."""
        return len(self._queue)

    def post(self, message: Message) -> None:
        """Send ``message`` after all posted before it."""
        if self._failed:
            return
        self._queue.append(message)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._write(self._queue.popleft())
        except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError, asyncio.CancelledError) as error:
            # The reading side gets the same end with its reason; on reconnection the state is sent again.
            self._failed = True
            self._queue.clear()
            self._on_failed(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._task = None

    async def flush(self) -> None:
        """Return when the transport has accepted everything posted so far."""
        while self._task is not None:
            await asyncio.wait([self._task])
