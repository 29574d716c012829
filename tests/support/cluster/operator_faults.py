"""A stack, the operator's real process, and a proxy between it and the real API server that a test makes fail."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testcluster.controlplane import ControlPlane

from support.cluster.api_requests import Mutation
from support.cluster.apiproxy import ApiProxy
from support.cluster.controller_fixture import SYSTEM, ControllerFixture, ScriptedStack, mark_pods
from support.cluster.guarded_plane import beside
from support.cluster.operator_process import OperatorProcess
from support.cluster.scripted_stack_service import ScriptedStackService
from support.cluster.stack_acts import StackAct
from support.podrunner.pod_watch import PodWatch
from support.stack.model import IMAGE, NEXT_IMAGE
from titan_operator.api.names import OPERATOR
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection, load
from titan_operator.cluster.errors import ApiError
from titan_operator.cluster.resource_kinds import KINDS, Kind

# Passes that wrote nothing, so that nothing is left to do: so many lists of TitanPhases, one of them a watch's own.
PASSES = 4
Objects = Mapping[str, Any]


@dataclass
class FaultedStack:
    """One stack in a namespace of its own.

    Attributes
    ----------
    operators
        Processes; each is ended with the fixture.
    """

    plane: ControlPlane
    fixture: ControllerFixture
    proxy: ApiProxy
    watch: PodWatch
    token: str
    folder: Path
    stacks: str
    operators: list[OperatorProcess] = field(default_factory=list)
    _ways: list[ApiProxy] = field(default_factory=list)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)
    _work: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def stack(self) -> ScriptedStack:
        return self.fixture.stack

    def operator(self, name: str = "operator-a", proxy: ApiProxy | None = None, **settings: str) -> OperatorProcess:
        """Start one more."""
        where = {"TITAN_NAMESPACES": self.fixture.namespace, **settings}
        made = OperatorProcess(name, proxy or self.proxy, self.token, self.folder, self.stacks, **where)
        made.start()
        self.operators.append(made)
        return made

    async def another_way(self) -> ApiProxy:
        """A proxy for a second operator: what each writes is counted apart."""
        way = await self._open.enter_async_context(ApiProxy(self.fixture.operator))
        self._ways.append(way)
        return way

    async def until(self, holds: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
        """Wait until ``holds()`` is true, or what it awaits is."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = holds()
                    if await found if inspect.isawaitable(found) else found:
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}; {await self.fixture.describe()}") from None

    async def ready(self, phase: str) -> tuple[str, str]:
        """Ready of a TitanPhase and its reason."""
        return (await self.fixture.conditions())[phase]

    def meanwhile(self, work: Awaitable[None]) -> None:
        """Have something done while the act goes on; :meth:`through` waits for its end, too."""

        async def doing() -> None:
            await work

        self._work.append(asyncio.create_task(doing()))

    def writes(self) -> int:
        """Return the number of the operators' write requests, without those to their Lease."""
        return sum(len(written(way)) for way in (self.proxy, *self._ways))

    async def through(self, act: StackAct, timeout_s: float = 180.0) -> Objects:
        """Until an act is through, its faults too, and nothing is left to do; all objects as they are then."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*self._work)
                self._work.clear()
                writes, passes = -1, 0
                while writes != self.writes() or self._passes() < passes + PASSES:
                    if not await act.ended(self.fixture) or writes != self.writes():
                        writes, passes = self.writes(), self._passes()
                    assert all(operator.runs for operator in self.operators), self._logs()
                    # Each look lists two kinds; more looks would only take the processors from what is looked at.
                    await asyncio.sleep(0.25)
        except TimeoutError:
            message = f"{act.name}: not within {timeout_s:.0f} s; {await self.fixture.describe()}\n{self._logs()}"
            raise AssertionError(message) from None
        return await self.fixture.objects()

    async def checked(self) -> None:
        """Assert the invariants that hold under every fault."""
        assert self.watch.most <= 1, f"{self.watch.most} Executions at once"
        assert self.watch.replicas <= {1}
        assert self.stack.raised == []
        assert self.watch.images <= {IMAGE, NEXT_IMAGE}
        stranger = "registry.test/titan@sha256:" + "e" * 64
        for image, refused in ((stranger, True), (NEXT_IMAGE, False)):
            assert (await self._refused(image)) is refused, image

    async def _refused(self, image: str) -> bool:
        """Whether the API server refuses an image to the operator itself, which may write workloads."""
        labels = {"app.kubernetes.io/name": "probe"}
        deployment = {
            "metadata": {"name": "probe", "namespace": self.fixture.namespace, "labels": labels},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "probe", "image": image}]},
                },
            },
        }
        connection = self.fixture.admin.connection
        here = Connection(server=connection.server, source="test", ca_pem=connection.ca_pem, token=self.token)
        async with Cluster(here) as operator:
            try:
                await operator.create(KINDS["Deployment"], deployment, dry_run=True)
            except ApiError as error:
                said = error.message
            else:
                return False
        assert "titan-images" in said
        return True

    def watches_asked(self) -> int:
        """Return the number of watches that the first operator has ever requested."""
        return len([path for _, path in self.proxy.requests if "watch=" in path])

    def watched(self, kinds: Sequence[Kind]) -> bool:
        """Whether each kind is watched now."""
        return all(any(way.watching(kind) for way in (self.proxy, *self._ways)) for kind in kinds)

    def _passes(self) -> int:
        asked = [path for way in (self.proxy, *self._ways) for _, path in way.requests]
        return len([path for path in asked if path.partition("?")[0].endswith("/titanphases") and "watch=" not in path])

    async def close(self) -> None:
        """End what goes on beside, and the other ways."""
        for work in self._work:
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._open.aclose()

    def _logs(self) -> str:
        return "\n".join(operator.log()[-4000:] for operator in self.operators)


@dataclass
class GuardedCluster:
    """A guarded control plane with its clients."""

    plane: ControlPlane
    admin: Cluster
    token: str
    folder: Path
    names: Iterator[str]

    @asynccontextmanager
    async def faulted(self) -> AsyncIterator[FaultedStack]:
        """A namespace with pods that are marked ready; no operator yet."""
        name = next(self.names)
        await self.admin.create(KINDS["Namespace"], {"metadata": {"name": name}})
        stack, watch = ScriptedStack(self.admin, name), PodWatch(self.admin, name)
        connection = load({"KUBECONFIG": str(self.plane.admin)})
        async with ApiProxy(connection) as proxy, ScriptedStackService() as stacks:
            stacks.stacks[name] = stack
            fixture = ControllerFixture(self.admin, connection, name, self.folder / name, stack)
            made = FaultedStack(self.plane, fixture, proxy, watch, self.token, self.folder / name, stacks.address)
            async with beside(mark_pods(self.admin, name, self.plane.admin), watch.run()):
                try:
                    yield made
                finally:
                    await asyncio.gather(*(operator.stop() for operator in made.operators))
                    await made.close()

    async def undisturbed(self, acts: Sequence[StackAct]) -> dict[str, tuple[Objects, int]]:
        """Return the objects after each act and its number of writes when nothing fails."""
        ends = {}
        async with self.faulted() as at:
            at.operator()
            for act in acts:
                before = at.writes()
                await act.do(at.fixture)
                ends[act.name] = (await at.through(act), at.writes() - before)
            await at.checked()
        return ends


@asynccontextmanager
async def guarded_cluster(plane: ControlPlane, folder: Path, names: Iterator[str]) -> AsyncIterator[GuardedCluster]:
    """Open the ways to a guarded control plane."""
    token = plane.token(SYSTEM, OPERATOR, 7200)
    async with Cluster(load({"KUBECONFIG": str(plane.admin)}), timeout_s=60) as admin:
        yield GuardedCluster(plane, admin, token, folder, names)


def written(way: ApiProxy) -> list[Mutation]:
    """Return the write requests of this proxy, without those to the Lease."""
    return [one for one in way.mutations if one.plural != "leases"]


def differences(expected: Objects, found: Objects) -> list[str]:
    """Return the differences from the expected objects, by object."""
    return [
        f"{name}: {expected.get(name)} != {found.get(name)}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
