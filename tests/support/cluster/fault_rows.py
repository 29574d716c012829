"""Faults between the operator and the API server, a row each; design operator.md §5."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.cluster.apiproxy import WatchFault
from support.cluster.operator_faults import FaultedStack, written
from support.cluster.operator_process import LEASE_S
from support.cluster.scripted_stack_operator import UNLISTED
from support.cluster.stack_acts import DELETE, HALT, INSTALL, POLICY_CHANGE, UPGRADE, StackAct
from support.stack.model import NEXT_IMAGE, quickstart
from titan_operator.app import OVERDUE_S, WATCHED
from titan_operator.cluster.resource_kinds import KINDS, Kind

KINDS_WATCHED = tuple(KINDS[name] for name in WATCHED)
RESOURCES = (KINDS["RiskPolicy"], KINDS["TitanPhase"])
WORKLOADS = (KINDS["Deployment"], KINDS["StatefulSet"])
BINDINGS = "validatingadmissionpolicybindings"
LONG_S = 3.0
# While a list is stale, the watches go on.
STALE_S = 3.0

Fault = Callable[[FaultedStack], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """One fault.

    Parameters
    ----------
    why
        What it stands for.
    fault
        Begun just before each act in ``acts``; what lasts goes on beside it, and ends with it.
    acts
        Which acts of the life it disturbs.
    sampled
        Also without TITAN_CHAOS.
    settings
        Of the operator's process.
    """

    name: str
    why: str
    fault: Fault
    acts: tuple[StackAct, ...] = (UPGRADE,)
    sampled: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def _watches(fault: WatchFault, times: int = 1000, delay_s: float = 1.0, code: int = 500) -> Fault:
    async def make(at: FaultedStack) -> None:
        for kind in KINDS_WATCHED:
            at.proxy.watch_fault(kind, fault, times=times, delay_s=delay_s, code=code)

    return make


def _watches_told(code: int) -> Fault:
    """Their streams end with an ERROR, again and again while the act goes on."""

    async def work(at: FaultedStack) -> None:
        for _ in range(4):
            await _watches(WatchFault.ERROR, code=code)(at)
            await asyncio.sleep(1)

    return _beside(work)


def _watches_refused(code: int) -> Fault:
    async def make(at: FaultedStack) -> None:
        for kind in KINDS_WATCHED:
            at.proxy.answer("WATCH", kind, code, times=2, retry_after_s=1)
        await _watches(WatchFault.CLOSE)(at)

    return make


def _stale(*kinds: Kind) -> Fault:
    async def work(at: FaultedStack) -> None:
        await asyncio.sleep(STALE_S)
        for kind in kinds:
            at.proxy.stale_lists(kind, stale=False)

    async def make(at: FaultedStack) -> None:
        for kind in kinds:
            at.proxy.stale_lists(kind)
        at.meanwhile(work(at))

    return make


def _stale_later(*kinds: Kind) -> Fault:
    """Begin in the middle: the repeated events show a half-finished state."""

    async def work(at: FaultedStack) -> None:
        for _ in range(3):
            await asyncio.sleep(0.7)
            for kind in kinds:
                at.proxy.stale_lists(kind)
            await asyncio.sleep(1.0)
            for kind in kinds:
                at.proxy.stale_lists(kind, stale=False)

    return _beside(work)


def _refused(code: int, *requests: tuple[str, str]) -> Fault:
    async def make(at: FaultedStack) -> None:
        for method, kind in requests:
            at.proxy.answer(method, KINDS[kind], code, times=3, retry_after_s=1 if code == 429 else None)

    return make


def _beside(work: Callable[[FaultedStack], Awaitable[None]]) -> Fault:
    async def make(at: FaultedStack) -> None:
        at.meanwhile(work(at))

    return make


def _half_open(within_s: float) -> Fault:
    """Each kind's watch is requested again within some seconds."""

    async def make(at: FaultedStack) -> None:
        await _watches(WatchFault.HALF_OPEN)(at)
        asked = at.watches_asked()
        enough = asked + len(KINDS_WATCHED)
        at.meanwhile(at.until(lambda: at.watches_asked() >= enough, "each watch is asked for anew", within_s))

    return make


async def _cuts(at: FaultedStack) -> None:
    for _ in range(12):
        at.proxy.abort_connections()
        await asyncio.sleep(0.25)


async def _away(at: FaultedStack) -> None:
    await asyncio.sleep(0.5)
    await at.proxy.down()
    # Longer than it can hold its Lease.
    await asyncio.sleep(LEASE_S + 1)
    await at.proxy.up()


async def _apiserver(at: FaultedStack) -> None:
    await asyncio.sleep(0.5)
    # In this thread, which its processes live and die with; the proxy stands still meanwhile.
    at.plane.restart_apiserver(kill=True)


async def _datastore(at: FaultedStack) -> None:
    await asyncio.sleep(0.5)
    at.plane.restart_datastore()


async def _second(at: FaultedStack) -> None:
    """The second writes nothing while the first lives, and goes on where that is killed."""
    first, way = at.operators[0], await at.another_way()
    at.operator("operator-b", way)
    await at.until(lambda: way.requests, "the second operator asks for the Lease")
    await asyncio.sleep(1.0)
    assert written(way) == []
    first.kill()
    at.operators.remove(first)
    await at.until(lambda: written(way), "the second operator writes")


async def _frozen(at: FaultedStack) -> None:
    """The holder stands still for longer than its Lease; the other takes over; what wakes up writes nothing."""
    first, way = at.operators[0], await at.another_way()
    await asyncio.sleep(0.5)
    first.signal(signal.SIGSTOP)
    second = at.operator("operator-b", way)
    await at.until(lambda: written(way), "the second operator writes")
    before = len(written(at.proxy))
    first.signal(signal.SIGCONT)
    await asyncio.sleep(LEASE_S)
    assert second.runs
    assert written(at.proxy)[before:] == []


async def _unbound(at: FaultedStack) -> None:
    """The bindings are gone for some seconds, while a TitanPhase requests an image without a signature."""
    await asyncio.sleep(1.0)
    kept = json.loads(at.plane.kubectl("get", BINDINGS, "-o", "json").stdout)
    for item in kept["items"]:
        item["metadata"] = {"name": item["metadata"]["name"], "labels": item["metadata"].get("labels", {})}
    at.plane.kubectl("delete", BINDINGS, "--all")
    named = {image: _scavenger(image) for image in (UNLISTED, NEXT_IMAGE)}
    await at.fixture.apply(named[UNLISTED])

    async def refused() -> bool:
        # Both: no new image while the policies are unbound, and never one without a signature.
        asked, others = await at.ready("scavenger"), await at.ready("brain")
        return asked[1] in ("AdmissionEnforced", "ImageVerified") and others == ("False", "AdmissionEnforced")

    await at.until(refused, "the operator refuses")
    await asyncio.sleep(LONG_S)
    assert await refused()
    at.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(kept))
    await at.fixture.apply(named[NEXT_IMAGE])


def _scavenger(image: str) -> dict[str, Any]:
    return next(one for one in quickstart(image=image) if one["metadata"]["name"] == "scavenger")


def _lies(role: str) -> Fault:
    """A pod says that it enforces other rules, for some seconds: its new revision is not verified meanwhile."""

    async def work(at: FaultedStack) -> None:
        async def found_out() -> bool:
            return await at.ready(role) == ("False", "PolicyInForce")

        await at.until(found_out, f"{role} is found out")
        await asyncio.sleep(1)
        assert await found_out()
        at.stack.lies.clear()

    async def make(at: FaultedStack) -> None:
        at.stack.lies[role] = "sha256:" + "1" * 64
        at.meanwhile(work(at))

    return make


ROWS: Sequence[Row] = (
    Row("events dropped", "a datastore that loses watch events", _watches(WatchFault.DROP), (UPGRADE, POLICY_CHANGE)),
    Row("events doubled", "a watch that begins anew tells again", _watches(WatchFault.DUPLICATE)),
    Row(
        "events late", "an overloaded API server", _watches(WatchFault.DELAY, times=30), (UPGRADE, POLICY_CHANGE, HALT)
    ),
    Row("stale resources", "an old cache answers: specs of before", _stale(*RESOURCES), (UPGRADE, POLICY_CHANGE, HALT)),
    Row("stale pods", "an old cache answers: pods that are gone", _stale(KINDS["Pod"]), (UPGRADE, DELETE)),
    Row("stale workloads", "an old cache answers: templates of before", _stale(*WORKLOADS), (UPGRADE, DELETE)),
    Row(
        "everything stale, time and again",
        "a half-made picture is told as the present",
        _stale_later(*KINDS_WATCHED),
        (INSTALL, UPGRADE),
    ),
    Row(
        "everything stale, time and again, while it changes and ends",
        "a half-made picture is told as the present",
        _stale_later(*KINDS_WATCHED),
        (POLICY_CHANGE, HALT, DELETE),
    ),
    Row("ERROR 500", "the kind on which a kopf watch dies", _watches_told(500)),
    Row("ERROR 410", "the version was compacted", _watches_told(410)),
    Row("ERROR 429", "priority and fairness end a watch", _watches_told(429)),
    Row("watches refused, 500", "no watch can begin", _watches_refused(500)),
    Row("watches refused, 429", "no watch can begin yet", _watches_refused(429)),
    Row(
        "half-open streams, found by their silence",
        "a middlebox that went away",
        _half_open(OVERDUE_S - 1),
        settings={"TITAN_WATCH_SILENCE_S": "3"},
    ),
    Row(
        "half-open streams, found by what they owe", "a middlebox that answers for the dead", _half_open(3 * OVERDUE_S)
    ),
    Row(
        "lists refused, 500",
        "half a picture is none",
        _refused(500, ("GET", "Pod"), ("GET", "TitanPhase"), ("GET", "ConfigMap")),
    ),
    Row(
        "writes refused, 500",
        "a datastore that times out",
        _refused(500, ("PATCH", "Deployment"), ("PATCH", "StatefulSet"), ("PATCH", "TitanPhase"), ("DELETE", "Pod")),
        (INSTALL, UPGRADE),
    ),
    Row(
        "writes refused, 429",
        "priority and fairness",
        _refused(429, ("PATCH", "Deployment"), ("PATCH", "StatefulSet"), ("PATCH", "ConfigMap"), ("DELETE", "Pod")),
        (INSTALL, UPGRADE),
    ),
    Row("connections cut", "a load balancer that restarts", _beside(_cuts), (UPGRADE, POLICY_CHANGE)),
    Row("API server away", "longer than the Lease lasts", _beside(_away), (UPGRADE, POLICY_CHANGE)),
    Row("API server killed", "it starts again on the same data", _beside(_apiserver), (UPGRADE, HALT)),
    Row("datastore killed", "it starts again on the same data", _beside(_datastore)),
    Row("two operators, one killed", "a rollout that overlaps", _beside(_second), sampled=True),
    Row("two operators, one frozen", "a machine that was suspended", _beside(_frozen)),
    Row("bindings gone and restored", "somebody takes the guard away", _beside(_unbound)),
    Row("Execution lies", "a pod that enforces other rules than it mounts", _lies("execution")),
    Row("Brain lies", "a pod that enforces other rules than it mounts", _lies("brain")),
)
