from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from titan.runtime.telemetry.logs import get_logger
from titan_operator.cluster import supervisor as module
from titan_operator.cluster.supervisor import ReceiverStuck, Supervisor


class Scene:
    """A supervisor over scripted receivers; waits between starts are taken down and not waited."""

    def __init__(self, life: Callable[[threading.Event], Awaitable[None]]) -> None:
        self.life = life
        self.reasons: list[str] = []
        self.waits_s: list[float] = []
        self.now_s = 0.0
        self.threads: set[int] = set()
        self.supervisor = Supervisor(
            self._start,
            log=get_logger("test"),
            started=self.reasons.append,
            clock_s=lambda: self.now_s,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.sleep(0)

    async def _start(self, stop: threading.Event, ready: threading.Event) -> None:
        self.threads.add(threading.get_ident())
        ready.set()
        await self.life(stop)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.supervisor.run())
        yield task
        task.cancel()
        await asyncio.wait([task])

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, "not in time"
            await asyncio.sleep(0.005)


async def lives(stop: threading.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(0.005)


async def fails(_stop: threading.Event) -> None:
    raise RuntimeError("Error in the watch-stream")


async def ends(_stop: threading.Event) -> None:
    return


async def test_it_is_ready_while_it_lives_and_has_a_thread_of_its_own() -> None:
    scene = Scene(lives)
    assert not scene.supervisor.ready
    async with scene.running():
        await scene.until(lambda: scene.supervisor.ready)
        assert threading.get_ident() not in scene.threads
    assert not scene.supervisor.ready
    assert scene.reasons == ["first start"]


async def test_a_dead_watch_starts_it_anew() -> None:
    scene = Scene(lives)
    async with scene.running():
        await scene.until(lambda: scene.supervisor.ready)
        scene.supervisor.restart("TitanPhase n/a was not told")
        scene.supervisor.restart("asked twice")
        await scene.until(lambda: len(scene.reasons) == 2 and scene.supervisor.ready)
    assert scene.reasons == ["first start", "TitanPhase n/a was not told"]


@pytest.mark.parametrize(
    ("description", "life", "reason"),
    [
        ("it fails", fails, "it failed: RuntimeError: Error in the watch-stream"),
        ("it ends by itself", ends, "it ended"),
    ],
)
async def test_an_end_starts_it_anew_with_growing_waits(
    description: str, life: Callable[[threading.Event], Awaitable[None]], reason: str
) -> None:
    scene = Scene(life)
    async with scene.running():
        await scene.until(lambda: len(scene.waits_s) >= 8)
    assert scene.reasons[1:3] == [reason, reason], description
    assert scene.waits_s[:8] == [0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_a_good_run_forgets_the_waits() -> None:
    scene = Scene(ends)

    async def long_life(_stop: threading.Event) -> None:
        if len(scene.waits_s) == 3:
            scene.now_s += 61

    scene.life = long_life
    async with scene.running():
        await scene.until(lambda: len(scene.waits_s) >= 5)
    assert scene.waits_s[:5] == [0.5, 1, 2, 0.5, 1]


async def test_one_that_does_not_stop_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_WITHIN_S", 0.05)
    release = threading.Event()

    async def stuck(_stop: threading.Event) -> None:
        release.wait(10)

    scene = Scene(stuck)
    async with scene.running() as task:
        await scene.until(lambda: scene.supervisor.ready)
        scene.supervisor.restart("dead")
        with pytest.raises(ReceiverStuck, match=r"has not stopped within 0\.05 s"):
            await asyncio.wait_for(asyncio.shield(task), 60)
    release.set()
