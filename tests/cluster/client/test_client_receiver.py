"""The real kopf, supervised, watching the real API server through the fault proxy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.accounts import token_of_new
from support.cluster.apiproxy import ApiProxy, WatchFault
from titan.runtime.telemetry.logs import get_logger
from titan_operator.cluster.client import Cluster, Object
from titan_operator.cluster.credentials import from_kubeconfig
from titan_operator.cluster.receiver import kopf_receiver
from titan_operator.cluster.resource_kinds import CONFIG_MAP, Kind
from titan_operator.cluster.supervisor import Supervisor
from titan_operator.cluster.watches import WatchTracker

# kopf closes its loop without waiting for the end of TLS with a peer that does not answer, as these peers do: uvloop
# finds the connection open then. The process ends with kopf's thread, so nothing is left behind.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*uv_walk_close:pytest.PytestUnraisableExceptionWarning"),
]

_LABELS = "watched=yes"
_OVERDUE_S = 2.0


@dataclass
class ReceiverFixture:
    """The part of an operator that uses watches."""

    proxy: ApiProxy
    direct: Cluster
    namespace: str
    supervisor: Supervisor
    told: list[tuple[str, str]] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    tracker: WatchTracker = field(default_factory=lambda: WatchTracker(_OVERDUE_S))
    threads: set[int] = field(default_factory=set)

    def deliver(self, kind: Kind, event_type: str, item: Object) -> None:
        self.threads.add(threading.get_ident())
        name, version = item["metadata"]["name"], item["metadata"]["resourceVersion"]
        self.told.append((event_type, name))
        if event_type == "DELETED":
            self.tracker.deleted(kind, self.namespace, name)
        else:
            self.tracker.seen(kind, self.namespace, name, version)

    def started(self, reason: str) -> None:
        self.starts.append(reason)
        self.tracker.restarted()

    async def resync(self) -> None:
        """List, compare, and have a dead watch started anew."""
        now_s = asyncio.get_running_loop().time()
        found = await self.direct.list(CONFIG_MAP, self.namespace, labels=_LABELS)
        versions = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}
        self.tracker.check(CONFIG_MAP, self.namespace, versions, now_s)
        for overdue in self.tracker.overdue(now_s):
            self.supervisor.restart(str(overdue))

    async def write(self, name: str, labels: str = "yes", **data: str) -> Object:
        metadata = {"name": name, "namespace": self.namespace, "labels": {"watched": labels}}
        return await self.direct.apply(CONFIG_MAP, {"metadata": metadata, "data": data})

    async def until(self, holds: Callable[[], bool], *, resync: bool = False) -> None:
        async with asyncio.timeout(120):
            while not holds():
                # A watch that is just being started anew would be found late once more.
                if resync and self.supervisor.ready:
                    await self.resync()
                await asyncio.sleep(0.02)


@pytest.fixture
async def fixture(
    cluster: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ReceiverFixture]:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    # As in a pod, whose user is a number.
    monkeypatch.setattr("getpass.getuser", nameless)
    # Namespaced rights only: neither CRDs nor namespaces can be watched.
    reads = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}
    token = token_of_new(cluster, namespace, "op", rules=[reads])
    admin = from_kubeconfig({"KUBECONFIG": str(cluster.admin)})
    async with ApiProxy(admin) as proxy, Cluster(admin) as direct:
        fixture: ReceiverFixture

        def deliver(kind: Kind, event_type: str, item: Object) -> None:
            fixture.deliver(kind, event_type, item)

        supervisor = Supervisor(
            kopf_receiver(proxy.connection(token), {CONFIG_MAP: _LABELS}, [namespace], deliver, silence_s=70),
            log=get_logger("test"),
            started=lambda reason: fixture.started(reason),
        )
        fixture = ReceiverFixture(proxy, direct, namespace, supervisor)
        await fixture.write("before")
        running = asyncio.create_task(supervisor.run())
        await fixture.until(lambda: supervisor.ready and proxy.watching(CONFIG_MAP) == 1)
        await fixture.until(lambda: ("", "before") in fixture.told)
        yield fixture
        # What ended while the watch connects would leave a connection behind, and fail at its end.
        await fixture.until(lambda: supervisor.ready and proxy.watching(CONFIG_MAP) == 1)
        running.cancel()
        await asyncio.wait([running])


async def test_what_is_there_and_what_happens(fixture: ReceiverFixture) -> None:
    await fixture.write("a")
    await fixture.write("a", x="2")
    await fixture.write("other", labels="no")
    await fixture.direct.delete(CONFIG_MAP, "a", fixture.namespace)
    await fixture.until(lambda: ("DELETED", "a") in fixture.told)
    assert fixture.told == [("", "before"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    # In the engine's loop, although kopf has a thread of its own.
    assert fixture.threads == {threading.get_ident()}
    await fixture.resync()
    assert fixture.tracker.age_s(CONFIG_MAP, asyncio.get_running_loop().time()) == 0


async def test_it_writes_nothing(fixture: ReceiverFixture) -> None:
    await fixture.write("a")
    await fixture.until(lambda: ("ADDED", "a") in fixture.told)
    assert fixture.proxy.mutations == []


async def test_tasks_of_the_process_survive_its_restart(fixture: ReceiverFixture) -> None:
    other = asyncio.create_task(asyncio.sleep(60))
    fixture.supervisor.restart("as if dead")
    await fixture.until(lambda: len(fixture.starts) == 2 and fixture.supervisor.ready)
    assert not other.done()
    other.cancel()


async def test_an_error_in_the_stream_that_kopf_dies_of(fixture: ReceiverFixture) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.ERROR, code=500)
    await fixture.until(lambda: fixture.proxy.watching(CONFIG_MAP) == 0)
    await fixture.write("a")
    await fixture.until(lambda: ("", "a") in fixture.told, resync=True)
    assert len(fixture.starts) == 2


@pytest.mark.parametrize("code", [410, 429])
async def test_an_error_in_the_stream(fixture: ReceiverFixture, code: int) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.ERROR, code=code)
    await fixture.write("a")
    await fixture.until(lambda: any(name == "a" for _, name in fixture.told), resync=True)


async def test_a_half_open_stream_is_found_by_the_list(fixture: ReceiverFixture) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.HALF_OPEN)
    await fixture.write("a")
    await fixture.until(lambda: ("", "a") in fixture.told, resync=True)
    assert len(fixture.starts) == 2
    assert "ConfigMap" in fixture.starts[1]
    assert f"{fixture.namespace}/a: version" in fixture.starts[1]


async def test_a_dropped_event_is_found_by_the_list(fixture: ReceiverFixture) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.DROP)
    await fixture.write("a")
    await fixture.write("b")
    await fixture.until(lambda: ("ADDED", "b") in fixture.told)
    assert ("ADDED", "a") not in fixture.told
    await fixture.until(lambda: ("", "a") in fixture.told, resync=True)


async def test_a_dropped_deletion_is_found_by_the_list(fixture: ReceiverFixture) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.DROP)
    await fixture.direct.delete(CONFIG_MAP, "before", fixture.namespace)
    await fixture.until(lambda: len(fixture.starts) == 2, resync=True)
    assert f"{fixture.namespace}/before: deletion" in fixture.starts[1]
    await fixture.until(lambda: fixture.supervisor.ready)
    await fixture.resync()
    assert fixture.tracker.overdue(asyncio.get_running_loop().time() + 60) == []


async def test_a_late_event_in_time_is_no_dead_watch(fixture: ReceiverFixture) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.DELAY, delay_s=0.2)
    await fixture.write("a")
    await fixture.until(lambda: ("ADDED", "a") in fixture.told, resync=True)
    await fixture.resync()
    assert fixture.starts == ["first start"]


async def test_an_own_write_is_expected_of_the_watch(fixture: ReceiverFixture) -> None:
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.HALF_OPEN)
    version = (await fixture.write("a"))["metadata"]["resourceVersion"]
    now_s = asyncio.get_running_loop().time()
    fixture.tracker.expect(CONFIG_MAP, fixture.namespace, "a", version, now_s)
    assert fixture.tracker.age_s(CONFIG_MAP, now_s + 1) == 1
    assert fixture.tracker.overdue(now_s + _OVERDUE_S / 2) == []
    assert [item.name for item in fixture.tracker.overdue(now_s + 2 * _OVERDUE_S)] == ["a"]


async def test_a_server_that_is_gone_for_a_while(fixture: ReceiverFixture) -> None:
    await fixture.proxy.down()
    await fixture.write("a")
    await fixture.proxy.up()
    await fixture.until(lambda: any(name == "a" for _, name in fixture.told), resync=True)


async def test_a_refused_token_is_asked_for_anew(fixture: ReceiverFixture) -> None:
    fixture.proxy.answer("WATCH", CONFIG_MAP, 401)
    fixture.proxy.watch_fault(CONFIG_MAP, WatchFault.CLOSE)
    await fixture.write("a")
    await fixture.until(lambda: any(name == "a" for _, name in fixture.told), resync=True)


@pytest.mark.parametrize("part", ["API server", "datastore"])
async def test_a_restart_of_the_real_server(fixture: ReceiverFixture, cluster: ControlPlane, part: str) -> None:
    restart = {"API server": lambda: cluster.restart_apiserver(kill=True), "datastore": cluster.restart_datastore}[part]
    # Not in a thread: the server's processes end with the thread that started them.
    restart()
    # A read finds a new connection by itself; a write on a dead one would be lost, and says so.
    await fixture.resync()
    await fixture.write("a")
    await fixture.until(lambda: any(name == "a" for _, name in fixture.told), resync=True)
