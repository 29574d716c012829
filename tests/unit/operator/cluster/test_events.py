from __future__ import annotations

import asyncio
from typing import Any

import pytest

from titan.runtime.telemetry.logs import get_logger
from titan_operator.cluster import events as module
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.event_types import EventType
from titan_operator.cluster.events import Events
from titan_operator.cluster.resource_kinds import EVENT, Kind

_PHASE = {
    "apiVersion": "titan.trading/v1alpha1",
    "kind": "TitanPhase",
    "metadata": {"name": "execution", "namespace": "n", "uid": "u"},
}


class Written:
    """Takes down what would be written; ``failure`` is raised instead."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.series: list[int] = []
        self.failure: Exception | None = None
        self.hangs = False

    async def create(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        assert kind is EVENT
        await self._perhaps_fail()
        self.created.append(manifest)
        return manifest

    async def patch_merge(self, kind: Kind, name: str, _namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        assert kind is EVENT
        await self._perhaps_fail()
        assert name in [event["metadata"]["name"] for event in self.created]
        self.series.append(body["series"]["count"])
        return body

    async def _perhaps_fail(self) -> None:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.failure is not None:
            raise self.failure


class Scene:
    def __init__(self) -> None:
        self.written = Written()
        self.now_s = 0.0
        self.failed: list[str] = []
        self.events = Events(
            self.written,  # type: ignore[arg-type]
            instance="titan-operator-0",
            log=get_logger("test"),
            failed=self.failed.append,
            clock_s=lambda: self.now_s,
        )

    async def record(self, at_s: float, note: str = "drained", reason: str = "Drained") -> None:
        self.now_s = at_s
        await self.events.record(_PHASE, EventType.NORMAL, reason, "Roll", note)


async def test_an_event_names_the_object_and_the_reporter() -> None:
    scene = Scene()
    await scene.record(0)
    (event,) = scene.written.created
    assert event["regarding"] == {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "TitanPhase",
        "namespace": "n",
        "name": "execution",
        "uid": "u",
    }
    assert event["metadata"]["name"].startswith("execution.")
    assert (event["type"], event["reason"], event["action"], event["note"]) == ("Normal", "Drained", "Roll", "drained")
    assert event["reportingController"] == "titan.trading/titan-operator"
    assert event["reportingInstance"] == "titan-operator-0"


# When the same thing happens, in seconds; how many Events; the counts written into their series.
REPEATS: list[tuple[str, list[float], int, list[int]]] = [
    ("within a minute: nothing is written", [0, 1, 59], 1, []),
    ("after a minute: all of them are counted", [0, 1, 59, 60], 1, [4]),
    ("at most one write a minute", [0, 60, 61, 119, 120], 1, [2, 5]),
    ("a series goes on while less than 10 minutes lie between two", [0, 500, 1000], 1, [2, 3]),
    ("after 10 minutes it is news", [0, 601], 2, []),
    ("each pass of a pass every second", [float(second) for second in range(181)], 1, [61, 121, 181]),
]


@pytest.mark.parametrize(("description", "times_s", "created", "series"), REPEATS, ids=[row[0] for row in REPEATS])
async def test_repeats(description: str, times_s: list[float], created: int, series: list[int]) -> None:
    scene = Scene()
    for at_s in times_s:
        await scene.record(at_s)
    assert (len(scene.written.created), scene.written.series) == (created, series), description


async def test_another_note_or_reason_is_another_event() -> None:
    scene = Scene()
    await scene.record(0)
    await scene.record(0, note="2 orders work")
    await scene.record(0, reason="Flat")
    assert len(scene.written.created) == 3


async def test_what_the_server_has_forgotten_is_news() -> None:
    scene = Scene()
    await scene.record(0)
    scene.written.failure = ApiError(404, "NotFound", "gone", {"name": "x"})

    async def create(kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        scene.written.created.append(manifest)
        return manifest

    scene.written.create = create  # type: ignore[method-assign]
    await scene.record(70)
    assert len(scene.written.created) == 2
    assert scene.failed == []


@pytest.mark.parametrize(
    "failure", [ApiError(403, "Forbidden", "no"), Unreachable("gone"), ApiError(500, "InternalError", "oh")]
)
@pytest.mark.parametrize("series", [False, True])
async def test_a_failure_is_counted_and_not_raised(failure: Exception, series: bool) -> None:
    scene = Scene()
    if series:
        await scene.record(0)
    scene.written.failure = failure
    await scene.record(100)
    assert scene.failed == ["Drained"]
    scene.written.failure = None
    await scene.record(200)
    # Nothing that happened is forgotten in the count; an Event that never was is made.
    assert scene.written.series == ([3] if series else [])
    assert len(scene.written.created) == 1


async def test_a_server_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WRITE_WITHIN_S", 0.01)
    scene = Scene()
    scene.written.hangs = True
    await asyncio.wait_for(scene.record(0), 60)
    assert scene.failed == ["Drained"]


async def test_limits_of_the_api() -> None:
    scene = Scene()
    await scene.record(0, note="x" * 2000, reason="R" * 200)
    (event,) = scene.written.created
    assert len(event["note"]) == 1024
    assert event["note"].endswith("…")
    assert len(event["reason"]) == 128


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    scene = Scene()
    for note in ("a", "b", "a", "c"):
        await scene.record(0, note=note)
    # "b" is the one not told for longest.
    assert [key[2] for key in scene.events._known] == ["a", "c"]
