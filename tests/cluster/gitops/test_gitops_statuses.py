"""Health by Argo CD and Flux of the statuses that real reconciles write, at each moment and at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.controller_fixture import SYSTEM, ControllerFixture, ScriptedStack, mark_pods
from support.cluster.guarded_plane import beside
from support.cluster.object_events import events
from support.gitops.argo import health
from support.gitops.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, kstatus
from support.stack.model import NEXT_IMAGE, quickstart
from titan.domain.enums import Posture
from titan_operator.api.names import OPERATOR
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection, load
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.stack.view import StackView

RESOURCES = ("RiskPolicy", "TitanPhase")
# What the two may say of one object at one moment. Neither may wait where the other is done.
AGREE = {
    ("Healthy", CURRENT),
    ("Suspended", CURRENT),
    ("Progressing", IN_PROGRESS),
    ("Suspended", IN_PROGRESS),
    ("Progressing", TERMINATING),
    ("Degraded", FAILED),
}


class Recorder:
    """Every status that is ever seen of the resources of a namespace."""

    def __init__(self, admin: Cluster, namespace: str) -> None:
        self._admin, self._namespace = admin, namespace
        self.seen: dict[str, Mapping[str, Any]] = {}

    async def record(self) -> None:
        """Watch until canceled."""

        async def follow(kind: str) -> None:
            async for event in events(self._admin, KINDS[kind], self._namespace):
                if event is not None:
                    self._see(kind, event[1])

        await asyncio.gather(*(follow(kind) for kind in RESOURCES))

    async def look(self) -> None:
        """Keep what is there now, though the watch has not told of it yet."""
        for kind in RESOURCES:
            for item in await self._admin.list(KINDS[kind], self._namespace):
                self._see(kind, item)

    def _see(self, kind: str, item: Mapping[str, Any]) -> None:
        key = {name: item["metadata"].get(name) for name in ("name", "generation", "deletionTimestamp")}
        self.seen[json.dumps([kind, key, item.get("status")], sort_keys=True)] = item

    def disagreements(self) -> list[str]:
        """Moments at which one waits and the other is done."""
        return [
            f"{key}: {health(item)} and {kstatus(item)}"
            for key, item in self.seen.items()
            if (health(item)[0], kstatus(item)[0]) not in AGREE
        ]


@pytest.fixture
async def admin(guarded_plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster(load({"KUBECONFIG": str(guarded_plane.admin)}), timeout_s=60) as cluster:
        yield cluster


@pytest.fixture
def operator(guarded_plane: ControlPlane) -> Connection:
    return load({"KUBECONFIG": str(guarded_plane.service_account(SYSTEM, OPERATOR))})


class PoorStack(ScriptedStack):
    """A stack whose account has less than any phase begins with."""

    async def query(self, addresses: Mapping[str, str], timeout_s: float = 2.0) -> StackView:
        view = await super().query(addresses, timeout_s)
        return view if view.brain is None else replace(view, brain=replace(view.brain, equity=Decimal(20)))


Recorded = Callable[..., AbstractAsyncContextManager[tuple[ControllerFixture, Recorder]]]


@pytest.fixture
def recorded(
    guarded_plane: ControlPlane, admin: Cluster, operator: Connection, lives: Iterator[str], tmp_path: Path
) -> Recorded:
    """Makes a namespace with its pods marked ready, watched all the time; at no moment may the two disagree."""

    @asynccontextmanager
    async def make(
        stack: type[ScriptedStack] = ScriptedStack,
    ) -> AsyncIterator[tuple[ControllerFixture, Recorder]]:
        name = next(lives)
        await admin.create(KINDS["Namespace"], {"metadata": {"name": name}})
        recorder = Recorder(admin, name)
        fixture = ControllerFixture(admin, operator, name, tmp_path, stack(admin, name))
        async with beside(recorder.record(), mark_pods(admin, name, guarded_plane.admin)):
            yield fixture, recorder
            await recorder.look()
        assert recorder.disagreements() == []

    return make


Told = dict[str, tuple[str, str]]


async def told_now(fixture: ControllerFixture) -> Told:
    """Argo CD's and Flux's word on each resource."""
    items = [item for kind in RESOURCES for item in await fixture.admin.list(KINDS[kind], fixture.namespace)]
    return {item["metadata"]["name"]: (health(item)[0], kstatus(item)[0]) for item in items}


async def until(fixture: ControllerFixture, holds: Callable[[Told], bool]) -> Told:
    """Reconcile until what the two say is as wanted."""

    async def held() -> bool:
        return holds(await told_now(fixture))

    async with fixture.controller() as controller:
        await fixture.run_until(controller, held)
    return await told_now(fixture)


def everywhere(*wanted: str) -> Callable[[Told], bool]:
    return lambda states: bool(states) and set(states.values()) == {wanted}


HEALTHY = everywhere("Healthy", CURRENT)


async def test_an_installation_is_waited_for_until_it_runs(recorded: Recorded) -> None:
    async with recorded() as (fixture, recorder):
        await fixture.apply(*quickstart())
        # Nobody has looked yet: both wait.
        assert everywhere("Progressing", IN_PROGRESS)(await told_now(fixture))
        await until(fixture, HEALTHY)
        await recorder.look()
        await fixture.apply(*quickstart(image=NEXT_IMAGE))
        changed = [item for item in (await told_now(fixture)).values() if item != ("Healthy", CURRENT)]
        assert changed == [("Progressing", IN_PROGRESS)] * 5
        await until(fixture, HEALTHY)
        await fixture.apply(*quickstart("standard"))
        # The old policy is unpinned and at rest; the new one is in force.
        await until(fixture, lambda states: len(states) == 7 and HEALTHY(states))
    assert len(recorder.seen) > 20


async def test_a_halted_stack_is_a_healthy_one(recorded: Recorded) -> None:
    async with recorded() as (fixture, _):
        fixture.stack.latch = Posture.HALTED
        await fixture.apply(*quickstart())
        await until(fixture, HEALTHY)
        assert fixture.stack.latch is Posture.HALTED


async def test_what_a_person_must_change_is_degraded_and_failed(recorded: Recorded) -> None:
    async with recorded() as (fixture, _):
        stack = quickstart()
        brain = next(item for item in stack if item["spec"].get("role") == "brain")
        right = brain["spec"]["policyRef"]["hash"]
        brain["spec"]["policyRef"]["hash"] = f"sha256:{'e' * 64}"
        await fixture.apply(*stack)
        # One wrong pin stops the whole stack, and nothing that it waits for will change that.
        phases = ("marketdata", "papervenue", "execution", "brain", "scavenger")
        await until(fixture, lambda states: {states[name] for name in phases} == {("Degraded", FAILED)})
        found = await fixture.admin.get(KINDS["TitanPhase"], "brain", fixture.namespace)
        assert found is not None
        assert "sha256:eeee" in health(found)[1]
        assert right in health(found)[1]
        brain["spec"]["policyRef"]["hash"] = right
        await fixture.apply(brain)
        await until(fixture, HEALTHY)


async def test_a_suspended_phase_and_one_that_waits_for_capital_end_the_waiting(recorded: Recorded) -> None:
    async with recorded(PoorStack) as (fixture, _):
        await fixture.apply(*quickstart())
        await until(fixture, HEALTHY)
        assert (await fixture.conditions())["scavenger"] == ("True", "Dormant")
        stack = quickstart()
        scavenger = next(item for item in stack if item["spec"].get("role") == "scavenger")
        scavenger["spec"]["suspend"] = True
        await fixture.apply(scavenger)
        states = await until(fixture, lambda states: states["scavenger"] == ("Suspended", CURRENT))
        del states["scavenger"]
        assert HEALTHY(states)


async def test_a_phase_that_drains_is_on_its_way_out(recorded: Recorded) -> None:
    async with recorded() as (fixture, _):
        await fixture.apply(*quickstart())
        await until(fixture, HEALTHY)
        fixture.stack.positions = 1
        await fixture.admin.delete(KINDS["TitanPhase"], "execution", fixture.namespace)
        await until(fixture, lambda states: states["execution"] == ("Progressing", TERMINATING))
        fixture.stack.positions = 0
        await until(fixture, lambda states: "execution" not in states)
