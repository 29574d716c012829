"""Two contenders for one Lease at the real API server, with clocks of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.accounts import token_of_new
from support.cluster.apiproxy import ApiProxy
from titan.runtime.telemetry.logs import get_logger
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import from_kubeconfig
from titan_operator.cluster.errors import Unreachable
from titan_operator.cluster.lease import Holder, OperatorLease
from titan_operator.cluster.resource_kinds import LEASE, POD

_DURATION_S = 15.0


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def admin(cluster: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster(from_kubeconfig({"KUBECONFIG": str(cluster.admin)})) as client:
        yield client


async def pod(client: Cluster, namespace: str, name: str) -> Holder:
    spec = {"containers": [{"name": "c", "image": "none@sha256:" + "0" * 64}]}
    made = await client.create(POD, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
    return Holder(name, made["metadata"]["uid"])


def contender(client: Cluster, namespace: str, holder: Holder, **more: Any) -> OperatorLease:
    return OperatorLease(
        client,
        namespace=namespace,
        name="titan-operator",
        holder=holder,
        log=get_logger("test"),
        **{"duration_s": _DURATION_S, **more},
    )


async def test_a_silent_holder_and_its_return(admin: Cluster, namespace: str) -> None:
    clocks = Clock(100.0), Clock(7.0)
    one = contender(admin, namespace, await pod(admin, namespace, "one"), clock_s=clocks[0])
    two = contender(admin, namespace, await pod(admin, namespace, "two"), clock_s=clocks[1])
    assert await one.step()
    assert not await two.step()
    for clock in clocks:
        clock.now_s += 10
    assert await one.step()
    assert not await two.step()
    for clock in clocks:
        clock.now_s += _DURATION_S + 1
    assert not one.is_held()
    assert await two.step()
    # The first one wakes up with the version that it knew.
    assert not await one.step()
    assert not await one.step()
    assert (one.is_held(), two.is_held()) == (False, True)
    lease = await admin.get(LEASE, "titan-operator", namespace)
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 1
    assert lease["spec"]["leaseDurationSeconds"] == 15


async def test_a_deleted_pods_lease_is_free_at_once(admin: Cluster, namespace: str) -> None:
    one = contender(admin, namespace, await pod(admin, namespace, "one"))
    two = contender(admin, namespace, await pod(admin, namespace, "two"))
    assert await one.step()
    assert not await two.step()
    # No kubelet and no node: it is gone with this call.
    assert await admin.delete(POD, "one", namespace)
    assert await two.step()


async def test_a_pod_of_the_same_name_is_another(admin: Cluster, namespace: str) -> None:
    one = contender(admin, namespace, await pod(admin, namespace, "one"))
    assert await one.step()
    assert await admin.delete(POD, "one", namespace)
    again = contender(admin, namespace, await pod(admin, namespace, "one"))
    assert await again.step()
    assert not await one.step()


async def test_both_at_once(admin: Cluster, namespace: str) -> None:
    clock = Clock(0.0)
    contenders = [
        contender(admin, namespace, await pod(admin, namespace, f"c{index}"), clock_s=clock) for index in range(4)
    ]
    for _ in range(5):
        await asyncio.gather(*(each.step() for each in contenders))
        assert sum(each.is_held() for each in contenders) == 1
        # Nobody renews: all but the silent one see it expire and take it at the same time.
        await asyncio.gather(*(each.step() for each in contenders if not each.is_held()))
        clock.now_s += _DURATION_S + 1
        contenders.append(contenders.pop(0))


async def test_released_and_handed_on_while_running(admin: Cluster, namespace: str) -> None:
    changes: list[tuple[str, bool]] = []
    one, two = [
        contender(
            admin,
            namespace,
            await pod(admin, namespace, name),
            duration_s=12.0,
            changed=lambda held, name=name: changes.append((name, held)),
        )
        for name in ("one", "two")
    ]
    first = asyncio.create_task(one.run())
    async with asyncio.timeout(60):
        await one.wait_until_held()
    second = asyncio.create_task(two.run())
    first.cancel()
    await asyncio.wait([first])
    await one.release()
    # Sooner than it would end by itself.
    async with asyncio.timeout(11):
        await two.wait_until_held()
    second.cancel()
    await asyncio.wait([second])
    assert changes == [("one", True), ("one", False), ("two", True)]


async def test_a_holder_that_is_cut_off_stops_in_time(cluster: ControlPlane, admin: Cluster, namespace: str) -> None:
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}
    token = token_of_new(cluster, namespace, "op", "admin", [leases])
    changes: list[bool] = []
    async with ApiProxy(admin.connection) as proxy, Cluster(proxy.connection(token), timeout_s=1) as cut_off:
        one = contender(cut_off, namespace, await pod(admin, namespace, "one"), duration_s=3.0, changed=changes.append)
        two = contender(admin, namespace, await pod(admin, namespace, "two"), duration_s=3.0)
        running = [asyncio.create_task(one.run())]
        async with asyncio.timeout(60):
            await one.wait_until_held()
        running.append(asyncio.create_task(two.run()))
        await proxy.down()
        async with asyncio.timeout(60):
            while not two.is_held():
                await asyncio.sleep(0.005)
                # The one thing that must never be: both.
                assert not (one.is_held() and two.is_held())
        assert not one.is_held()
        async with asyncio.timeout(60):
            while changes != [True, False]:
                await asyncio.sleep(0.01)
        with pytest.raises(Unreachable):
            await one.step()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
