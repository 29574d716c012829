"""The sending side of a stream: messages are posted without waiting and go out in order."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

# The ends of a stream. The reading side gets the same end with its reason; on reconnection the state is sent again.
_ENDS = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError, asyncio.CancelledError)


class SendQueue:
    """Messages on their way into one stream, in order. ``post`` never blocks and never yields.

    A message that finds the stream free is serialized and handed to the transport within ``post``. A task would do that
    one turn of the loop later, behind everything else that is ready; on the order path each hop would pay for it.
    """

    def __init__(
        self, write: Callable[[Any], Coroutine[Any, Any, None]], on_failed: Callable[[BaseException], None]
    ) -> None:
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
        """Send ``message`` after all posted before it; it may not be changed afterwards."""
        if self._failed:
            return
        if self._task is not None:
            self._queue.append(message)
            return
        write = self._write(message)
        try:
            awaited = write.send(None)
        except StopIteration:
            return
        except _ENDS as error:
            # The poster is in the midst of something: it learns of the end in a turn of its own.
            asyncio.get_running_loop().call_soon(self._fail, error)
            self._failed = True
            return
        self._task = asyncio.get_running_loop().create_task(self._drain(write, awaited))

    async def _drain(self, write: Coroutine[Any, Any, None], awaited: Any) -> None:
        try:
            await _resume(write, awaited)
            while self._queue:
                await self._write(self._queue.popleft())
        except _ENDS as error:
            self._fail(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._task = None

    def _fail(self, error: BaseException) -> None:
        self._failed = True
        self._queue.clear()
        self._on_failed(error)

    async def flush(self) -> None:
        """Return when the transport has accepted everything posted so far."""
        while self._task is not None:
            await asyncio.wait([self._task])


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Finish a coroutine that was begun outside of a task and waits for ``awaited``."""
    try:
        while True:
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation too belongs to the coroutine
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(value)
    except StopIteration:
        return
