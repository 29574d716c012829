"""A controller never ends silently: not by reads that fail together, and not by a stray cancellation."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from titan_operator.app import OperatorApp
from titan_operator.cluster.errors import Unreachable
from titan_operator.controller.gather import CHILD_KINDS, read_listing
from titan_operator.settings import OperatorSettings

# And its policies, phases, pods and itself.
READS = len(CHILD_KINDS) + 4


class Restarting:
    """An API server that goes away under every read, each at its own moment; some look canceled."""

    def __init__(self, cancelled_every: int) -> None:
        self._every = cancelled_every
        self._asked = count(1)

    async def get(self, *_: object, **__: object) -> Any:
        number = next(self._asked)
        for _ in range(number % 4):
            await asyncio.sleep(0)
        if self._every and number % self._every == 0:
            raise asyncio.CancelledError
        raise Unreachable(f"read {number}: reset")

    list = get


@pytest.mark.parametrize(("description", "every"), [("reset", 0), ("some canceled", 3), ("all canceled", 1)])
async def test_reads_that_fail_together_are_failures_and_the_next_wait_is_no_cancellation(
    description: str, every: int
) -> None:
    cluster: Any = Restarting(every)
    for _ in range(3):
        with pytest.raises(ExceptionGroup) as told:
            await read_listing(cluster, "desk")
        assert len(told.value.exceptions) == READS
        assert all(isinstance(error, Unreachable) for error in told.value.exceptions)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)


async def test_a_canceled_read_ends() -> None:
    class Silent(Restarting):
        async def get(self, *_: object, **__: object) -> Any:
            await asyncio.Event().wait()
            return []

        list = get

    cluster: Any = Silent(0)
    waiting = asyncio.create_task(read_listing(cluster, "desk"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def canceled() -> None:
    raise asyncio.CancelledError


async def broken() -> None:
    raise RuntimeError("a bug")


async def done() -> None:
    """Ends, as nothing of the operator should before it is stopped."""


@pytest.mark.parametrize(("work", "said"), [(canceled, "canceled"), (broken, "RuntimeError('a bug')"), (done, "None")])
async def test_a_part_that_ends_by_itself_ends_the_process(tmp_path: Path, work: Any, said: str) -> None:
    names = {"operator_namespace": "system", "pod_name": "operator"}
    settings = OperatorSettings(role="operator", state_dir=tmp_path, http_port=0, namespaces=["desk"], **names)
    app = OperatorApp(settings)
    app._spawn("controller of desk", work())
    async with asyncio.timeout(60):
        assert await app.failed() == f"controller of desk ended: {said}"
