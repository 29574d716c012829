from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from titan.runtime.rpc.send_queue import SendQueue
from titan.v1.common_pb2 import StepMarker


class Transport:
    """Takes messages until it breaks with ``error``."""

    def __init__(self, error: BaseException | None = None, breaks_at: int = 0) -> None:
        self.taken: list[int] = []
        self.failures: list[BaseException] = []
        self._error, self._breaks_at = error, breaks_at
        self.outbox = SendQueue(self._write, self.failures.append)

    async def _write(self, message: StepMarker) -> None:
        await asyncio.sleep(0)
        if self._error is not None and message.step >= self._breaks_at:
            raise self._error
        self.taken.append(message.step)

    def post(self, *steps: int) -> None:
        for step in steps:
            self.outbox.post(StepMarker(step=step))


async def test_messages_go_out_in_the_order_in_which_they_were_posted() -> None:
    transport = Transport()
    transport.post(1, 2)
    await asyncio.sleep(0)
    transport.post(3)
    await transport.outbox.flush()
    assert (transport.taken, transport.failures, transport.outbox.pending) == ([1, 2, 3], [], 0)


@pytest.mark.parametrize(
    "error",
    [
        # The error of grpc when the peer was killed between two messages: neither an RpcError nor public by name.
        grpc.aio.InternalError("Failed execute_batch"),
        asyncio.InvalidStateError("RPC already finished."),
    ],
)
async def test_a_dead_peer_is_reported_once_and_nothing_is_queued_for_it(error: BaseException) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    transport = Transport(error, breaks_at=2)
    transport.post(1, 2, 3)
    await transport.outbox.flush()
    transport.post(4)
    await transport.outbox.flush()
    assert (transport.taken, transport.failures, transport.outbox.pending) == ([1], [error], 0)
    assert not unhandled
