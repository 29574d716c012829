"""The fault proxy itself: each of its faults happens on request, and none before."""

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

from support.cluster.accounts import token_of_new
from support.cluster.apiproxy import ApiProxy, WatchFault
from support.connectors import ending_connector
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import from_kubeconfig, in_cluster
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.resource_kinds import CONFIG_MAP, SELF_SUBJECT_REVIEW


@dataclass
class ProxyFixture:
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
async def fixture(cluster: ControlPlane, namespace: str) -> AsyncIterator[ProxyFixture]:
    token = token_of_new(cluster, namespace, "op", "edit")
    admin = from_kubeconfig({"KUBECONFIG": str(cluster.admin)})
    async with ApiProxy(admin) as proxy, Cluster(proxy.connection(token), timeout_s=5) as client:
        yield ProxyFixture(proxy, client, token, namespace)


async def test_a_client_is_who_its_token_says(fixture: ProxyFixture) -> None:
    review = await fixture.client.create(SELF_SUBJECT_REVIEW, {})
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{fixture.namespace}:op"
    async with Cluster(fixture.proxy.connection("")) as anonymous:
        with pytest.raises(ApiError) as caught:
            await anonymous.list(CONFIG_MAP, fixture.namespace)
    # Not the administrator whose address the proxy was given.
    assert caught.value.forbidden


async def test_as_a_kubeconfig_and_as_a_pods_files(fixture: ProxyFixture, tmp_path: Path) -> None:
    path = fixture.proxy.kubeconfig(tmp_path / "kubeconfig", fixture.token)
    environ = fixture.proxy.service_account(tmp_path / "account", fixture.token, fixture.namespace)
    for connection in (from_kubeconfig({"KUBECONFIG": str(path)}), in_cluster(environ)):
        async with Cluster(connection) as client:
            await client.list(CONFIG_MAP, fixture.namespace)


async def test_it_counts_writes_only(fixture: ProxyFixture) -> None:
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    await fixture.client.create(CONFIG_MAP, fixture.manifest("b"), dry_run=True)
    await fixture.client.create(SELF_SUBJECT_REVIEW, {})
    await fixture.client.list(CONFIG_MAP, fixture.namespace)
    with pytest.raises(ApiError):
        await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    await fixture.client.apply(CONFIG_MAP, fixture.manifest("a", x="1"))
    await fixture.client.delete(CONFIG_MAP, "a", fixture.namespace)
    told = [(entry.method, entry.plural, entry.name, entry.code) for entry in fixture.proxy.mutations]
    assert told == [
        ("POST", "configmaps", "", 201),
        ("POST", "configmaps", "", 409),
        ("PATCH", "configmaps", "a", 200),
        ("DELETE", "configmaps", "a", 200),
    ]
    assert {entry.namespace for entry in fixture.proxy.mutations} == {fixture.namespace}


@pytest.mark.parametrize(("before", "there"), [(True, ["a"]), (False, ["a", "b"])])
async def test_a_cut_at_the_second_write(fixture: ProxyFixture, before: bool, there: list[str]) -> None:
    fixture.proxy.cut_after(2, before=before)
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    assert not fixture.proxy.happened.is_set()
    with pytest.raises(Unreachable):
        await fixture.client.create(CONFIG_MAP, fixture.manifest("b"))
    assert fixture.proxy.happened.is_set()
    assert await fixture.names() == there
    await fixture.client.create(CONFIG_MAP, fixture.manifest("c"))
    assert [entry.code for entry in fixture.proxy.mutations] == [201, 0 if before else 201, 201]


async def test_down_and_up(fixture: ProxyFixture) -> None:
    await fixture.proxy.down()
    with pytest.raises(Unreachable):
        await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    await fixture.proxy.up()
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))


async def test_planned_answers(fixture: ProxyFixture) -> None:
    fixture.proxy.answer("POST", CONFIG_MAP, 429, retry_after_s=7)
    with pytest.raises(ApiError) as caught:
        await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    assert (caught.value.status, caught.value.retry_after_s) == (429, 7.0)
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    # Reads are asked again by the client, so the second answer is the true one.
    fixture.proxy.answer("GET", CONFIG_MAP, 500)
    assert await fixture.names() == ["a"]


async def test_stale_lists(fixture: ProxyFixture) -> None:
    assert await fixture.names() == []
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    fixture.proxy.stale_lists(CONFIG_MAP)
    assert await fixture.names() == []
    assert await fixture.client.get(CONFIG_MAP, "a", fixture.namespace) is not None
    fixture.proxy.stale_lists(CONFIG_MAP, stale=False)
    assert await fixture.names() == ["a"]


class Watch:
    """A plain watch of the namespace's ConfigMaps, with its events."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def run(self, fixture: ProxyFixture) -> None:
        """Watch until the stream ends."""
        connection = fixture.proxy.connection(fixture.token)
        version = (await fixture.client.list(CONFIG_MAP, fixture.namespace)).resource_version
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        async with (
            aiohttp.ClientSession(connector=ending_connector(connection.ssl_context())) as session,
            session.get(
                connection.server + CONFIG_MAP.path(namespace=fixture.namespace),
                params=query,
                headers={"Authorization": f"Bearer {fixture.token}"},
            ) as response,
        ):
            assert response.status == 200
            async for line in response.content:
                event = json.loads(line)
                name = event["object"].get("code") or event["object"]["metadata"]["name"]
                self.told.put_nowait((event["type"], name))
        self.told.put_nowait(("END", ""))

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(60):
            return await self.told.get()


@pytest.fixture
async def watch(fixture: ProxyFixture) -> AsyncIterator[Watch]:
    watch = Watch()
    task = asyncio.create_task(watch.run(fixture))
    async with asyncio.timeout(60):
        while not fixture.proxy.watching(CONFIG_MAP):
            await asyncio.sleep(0.01)
    yield watch
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(60):
        # A client that goes takes its watch at the server with it.
        while fixture.proxy.watching(CONFIG_MAP):
            await asyncio.sleep(0.01)


async def test_an_undisturbed_watch(fixture: ProxyFixture, watch: Watch) -> None:
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    await fixture.client.delete(CONFIG_MAP, "a", fixture.namespace)
    assert [await watch.next(), await watch.next()] == [("ADDED", "a"), ("DELETED", "a")]


async def test_dropped_and_doubled(fixture: ProxyFixture, watch: Watch) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.DROP)
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.DUPLICATE)
    for name in ("a", "b", "c"):
        await fixture.client.create(CONFIG_MAP, fixture.manifest(name))
    assert [await watch.next() for _ in range(3)] == [("ADDED", "b"), ("ADDED", "b"), ("ADDED", "c")]


async def test_delayed(fixture: ProxyFixture, watch: Watch) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.DELAY, delay_s=0.5)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for name in ("a", "b"):
        await fixture.client.create(CONFIG_MAP, fixture.manifest(name))
    assert await watch.next() == ("ADDED", "a")
    assert loop.time() - began_s >= 0.5
    assert await watch.next() == ("ADDED", "b")


@pytest.mark.parametrize("code", [410, 429, 500])
async def test_an_error_in_the_stream(fixture: ProxyFixture, watch: Watch, code: int) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.ERROR, code=code)
    assert [await watch.next(), await watch.next()] == [("ERROR", code), ("END", "")]


async def test_closed(fixture: ProxyFixture, watch: Watch) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.CLOSE)
    assert await watch.next() == ("END", "")


async def test_half_open(fixture: ProxyFixture, watch: Watch) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.HALF_OPEN)
    other = Watch()
    task = asyncio.create_task(other.run(fixture))
    async with asyncio.timeout(60):
        while fixture.proxy.watching(CONFIG_MAP) < 2:
            await asyncio.sleep(0.01)
    await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    # A new stream tells; the old one is neither told nor ended.
    assert await other.next() == ("ADDED", "a")
    assert watch.told.empty()
    assert fixture.proxy.watching(CONFIG_MAP) == 2
    task.cancel()
    await asyncio.wait([task])


async def test_a_broken_connection_ends_the_watch(fixture: ProxyFixture, watch: Watch) -> None:
    fixture.proxy.cut_after(1, before=False)
    with pytest.raises(Unreachable):
        await fixture.client.create(CONFIG_MAP, fixture.manifest("a"))
    async with asyncio.timeout(60):
        while fixture.proxy.watching(CONFIG_MAP):
            await asyncio.sleep(0.01)
