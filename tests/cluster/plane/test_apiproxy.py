"""The fault proxy itself: each of its faults happens, once it is asked for, and none before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.apiproxy import ApiProxy, WatchFault
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import from_kubeconfig, in_cluster
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.kinds import CONFIG_MAP, SELF_SUBJECT_REVIEW


@dataclass
class Scene:
    proxy: ApiProxy
    client: Cluster
    token: str
    namespace: str

    def manifest(self, name: str, **data: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": self.namespace}, "data": data}

    async def names(self) -> list[str]:
        found = await self.client.list(CONFIG_MAP, self.namespace)
        return [item["metadata"]["name"] for item in found if item["metadata"]["name"] != "kube-root-ca.crt"]


@pytest.fixture
async def scene(cluster: ControlPlane, namespace: str) -> AsyncIterator[Scene]:
    cluster.kubectl("create", "serviceaccount", "op", "-n", namespace)
    cluster.kubectl(
        "create", "rolebinding", "op", "--clusterrole=edit", f"--serviceaccount={namespace}:op", "-n", namespace
    )
    token = from_kubeconfig({"KUBECONFIG": str(cluster.service_account(namespace, "op"))}).token
    admin = from_kubeconfig({"KUBECONFIG": str(cluster.admin)})
    async with ApiProxy(admin) as proxy, Cluster(proxy.connection(token), timeout_s=5) as client:
        yield Scene(proxy, client, token, namespace)


async def test_a_client_is_who_its_token_says(scene: Scene) -> None:
    review = await scene.client.create(SELF_SUBJECT_REVIEW, {})
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{scene.namespace}:op"
    async with Cluster(scene.proxy.connection("")) as anonymous:
        with pytest.raises(ApiError) as caught:
            await anonymous.list(CONFIG_MAP, scene.namespace)
    # Not the administrator whose address the proxy was given.
    assert caught.value.forbidden


async def test_as_a_kubeconfig_and_as_a_pods_files(scene: Scene, tmp_path: Path) -> None:
    path = scene.proxy.kubeconfig(tmp_path / "kubeconfig", scene.token)
    environ = scene.proxy.service_account(tmp_path / "account", scene.token, scene.namespace)
    for connection in (from_kubeconfig({"KUBECONFIG": str(path)}), in_cluster(environ)):
        async with Cluster(connection) as client:
            await client.list(CONFIG_MAP, scene.namespace)


async def test_it_counts_writes_only(scene: Scene) -> None:
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    await scene.client.create(CONFIG_MAP, scene.manifest("b"), dry_run=True)
    await scene.client.create(SELF_SUBJECT_REVIEW, {})
    await scene.client.list(CONFIG_MAP, scene.namespace)
    with pytest.raises(ApiError):
        await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    await scene.client.apply(CONFIG_MAP, scene.manifest("a", x="1"))
    await scene.client.delete(CONFIG_MAP, "a", scene.namespace)
    told = [(entry.method, entry.plural, entry.name, entry.code) for entry in scene.proxy.mutations]
    assert told == [
        ("POST", "configmaps", "", 201),
        ("POST", "configmaps", "", 409),
        ("PATCH", "configmaps", "a", 200),
        ("DELETE", "configmaps", "a", 200),
    ]
    assert {entry.namespace for entry in scene.proxy.mutations} == {scene.namespace}


@pytest.mark.parametrize(("before", "there"), [(True, ["a"]), (False, ["a", "b"])])
async def test_a_cut_at_the_second_write(scene: Scene, before: bool, there: list[str]) -> None:
    scene.proxy.cut_after(2, before=before)
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    assert not scene.proxy.happened.is_set()
    with pytest.raises(Unreachable):
        await scene.client.create(CONFIG_MAP, scene.manifest("b"))
    assert scene.proxy.happened.is_set()
    assert await scene.names() == there
    await scene.client.create(CONFIG_MAP, scene.manifest("c"))
    assert [entry.code for entry in scene.proxy.mutations] == [201, 0 if before else 201, 201]


async def test_down_and_up(scene: Scene) -> None:
    await scene.proxy.down()
    with pytest.raises(Unreachable):
        await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    await scene.proxy.up()
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))


async def test_planned_answers(scene: Scene) -> None:
    scene.proxy.answer("POST", CONFIG_MAP, 429, retry_after_s=7)
    with pytest.raises(ApiError) as caught:
        await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    assert (caught.value.status, caught.value.retry_after_s) == (429, 7.0)
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    # Reads are asked again by the client, so the second answer is the true one.
    scene.proxy.answer("GET", CONFIG_MAP, 500)
    assert await scene.names() == ["a"]


async def test_stale_lists(scene: Scene) -> None:
    assert await scene.names() == []
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    scene.proxy.stale_lists(CONFIG_MAP)
    assert await scene.names() == []
    assert await scene.client.get(CONFIG_MAP, "a", scene.namespace) is not None
    scene.proxy.stale_lists(CONFIG_MAP, stale=False)
    assert await scene.names() == ["a"]


class Watch:
    """A plain watch of the namespace's ConfigMaps, as far as it has told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def run(self, scene: Scene) -> None:
        """Watch until the stream ends."""
        connection = scene.proxy.connection(scene.token)
        version = (await scene.client.list(CONFIG_MAP, scene.namespace)).resource_version
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=connection.ssl_context())) as session,
            session.get(
                connection.server + CONFIG_MAP.path(namespace=scene.namespace),
                params=query,
                headers={"Authorization": f"Bearer {scene.token}"},
            ) as response,
        ):
            assert response.status == 200
            async for line in response.content:
                event = json.loads(line)
                name = event["object"].get("code") or event["object"]["metadata"]["name"]
                self.told.put_nowait((event["type"], name))
        self.told.put_nowait(("END", ""))

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(10):
            return await self.told.get()


@pytest.fixture
async def watch(scene: Scene) -> AsyncIterator[Watch]:
    watch = Watch()
    task = asyncio.create_task(watch.run(scene))
    async with asyncio.timeout(10):
        while not scene.proxy.watching(CONFIG_MAP):
            await asyncio.sleep(0.01)
    yield watch
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(10):
        # A client that goes takes its watch at the server with it.
        while scene.proxy.watching(CONFIG_MAP):
            await asyncio.sleep(0.01)


async def test_an_undisturbed_watch(scene: Scene, watch: Watch) -> None:
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    await scene.client.delete(CONFIG_MAP, "a", scene.namespace)
    assert [await watch.next(), await watch.next()] == [("ADDED", "a"), ("DELETED", "a")]


async def test_dropped_and_doubled(scene: Scene, watch: Watch) -> None:
    scene.proxy.watch_fault(CONFIG_MAP, WatchFault.DROP)
    scene.proxy.watch_fault(CONFIG_MAP, WatchFault.DUPLICATE)
    for name in ("a", "b", "c"):
        await scene.client.create(CONFIG_MAP, scene.manifest(name))
    assert [await watch.next() for _ in range(3)] == [("ADDED", "b"), ("ADDED", "b"), ("ADDED", "c")]


async def test_delayed(scene: Scene, watch: Watch) -> None:
    scene.proxy.watch_fault(CONFIG_MAP, WatchFault.DELAY, delay_s=0.5)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for name in ("a", "b"):
        await scene.client.create(CONFIG_MAP, scene.manifest(name))
    assert await watch.next() == ("ADDED", "a")
    assert loop.time() - began_s >= 0.5
    assert await watch.next() == ("ADDED", "b")


@pytest.mark.parametrize("code", [410, 429, 500])
async def test_an_error_in_the_stream(scene: Scene, watch: Watch, code: int) -> None:
    scene.proxy.watch_fault(CONFIG_MAP, WatchFault.ERROR, code=code)
    assert [await watch.next(), await watch.next()] == [("ERROR", code), ("END", "")]


async def test_closed(scene: Scene, watch: Watch) -> None:
    scene.proxy.watch_fault(CONFIG_MAP, WatchFault.CLOSE)
    assert await watch.next() == ("END", "")


async def test_half_open(scene: Scene, watch: Watch) -> None:
    scene.proxy.watch_fault(CONFIG_MAP, WatchFault.HALF_OPEN)
    other = Watch()
    task = asyncio.create_task(other.run(scene))
    async with asyncio.timeout(10):
        while scene.proxy.watching(CONFIG_MAP) < 2:
            await asyncio.sleep(0.01)
    await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    # A new stream tells; the old one is neither told nor ended.
    assert await other.next() == ("ADDED", "a")
    assert watch.told.empty()
    assert scene.proxy.watching(CONFIG_MAP) == 2
    task.cancel()
    await asyncio.wait([task])


async def test_a_broken_connection_ends_the_watch(scene: Scene, watch: Watch) -> None:
    scene.proxy.cut_after(1, before=False)
    with pytest.raises(Unreachable):
        await scene.client.create(CONFIG_MAP, scene.manifest("a"))
    async with asyncio.timeout(10):
        while scene.proxy.watching(CONFIG_MAP):
            await asyncio.sleep(0.01)
