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


async def test_a_message_that_finds_the_stream_free_is_handed_over_at_once() -> None:
    handed: list[int] = []
    gate = asyncio.Event()

    async def write(message: StepMarker) -> None:
        handed.append(message.step)
        await gate.wait()

    outbox = SendQueue(write, lambda error: pytest.fail(str(error)))
    outbox.post(StepMarker(step=1))
    outbox.post(StepMarker(step=2))
    assert (handed, outbox.pending) == ([1], 1)
    gate.set()
    await outbox.flush()
    assert (handed, outbox.pending) == ([1, 2], 0)


async def test_a_transport_that_never_waits_needs_no_task() -> None:
    handed: list[int] = []

    async def write(message: StepMarker) -> None:
        handed.append(message.step)

    outbox = SendQueue(write, lambda error: pytest.fail(str(error)))
    for step in range(3):
        outbox.post(StepMarker(step=step))
    assert handed == [0, 1, 2]
    await outbox.flush()


async def test_an_end_met_while_posting_is_reported_in_a_later_turn_and_once() -> None:
    failures: list[BaseException] = []
    error = asyncio.InvalidStateError("RPC already finished.")

    async def write(_message: StepMarker) -> None:
        raise error

    outbox = SendQueue(write, failures.append)
    outbox.post(StepMarker(step=1))
    outbox.post(StepMarker(step=2))
    assert not failures
    await asyncio.sleep(0)
    assert failures == [error]


async def test_a_cancellation_reaches_a_write_that_was_begun_in_post() -> None:
    failures: list[BaseException] = []
    ended: list[str] = []

    async def write(_message: StepMarker) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    outbox = SendQueue(write, failures.append)
    outbox.post(StepMarker(step=1))
    await asyncio.sleep(0)
    [task] = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    task.cancel()
    await outbox.flush()
    assert ended == ["canceled"]
    assert [type(error) for error in failures] == [asyncio.CancelledError]
