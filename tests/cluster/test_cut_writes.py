"""The connection to the API server is cut after each single write: the end is the same, object by object."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.apiproxy import ApiProxy
from support.cluster.engine_scene import SYSTEM, Scene, ToldStack, mark_pods
from support.stack_model import NEXT_IMAGE, documents, quickstart
from titan.domain.kinds import Posture
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection, load
from titan_operator.cluster.kinds import KINDS
from titan_operator.engine import StackEngine

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = 400
PHASES = ("marketdata", "papervenue", "execution", "brain", "scavenger")
# Both sides of a cut: the write took effect and its answer was lost, or it never arrived.
SIDES = (False, True) if os.environ.get("TITAN_CHAOS") else (False,)
AT_ONCE = 3


@pytest.fixture(scope="module")
def plane(module_cluster: ControlPlane) -> ControlPlane:
    """Admission is real; the operator may do everything, for what it may is tested elsewhere."""
    module_cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    module_cluster.kubectl("create", "namespace", SYSTEM)
    module_cluster.kubectl("create", "serviceaccount", "titan-operator", "-n", SYSTEM)
    module_cluster.kubectl("create", "priorityclass", "titan-execution", "--value=1000000")
    account = f"--serviceaccount={SYSTEM}:titan-operator"
    module_cluster.kubectl("create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", account)
    module_cluster.helm(
        *("install", "titan-admission", str(ROOT / "charts/titan-admission"), "-n", SYSTEM, "--force-conflicts"),
        *("--set", "stackNamespaces={s0}", "--set", f"operator.imageDigests={{sha256:{'0' * 64}}}"),
    )
    # The chart takes as many stacks as people have; here there are hundreds.
    names = json.dumps([f"s{number}" for number in range(NAMESPACES)])
    bindings = module_cluster.kubectl("get", "validatingadmissionpolicybindings", "-o", "json").stdout
    many = json.dumps(json.loads(bindings)).replace('["s0"]', names)
    assert many.count('"s399"') >= 1
    module_cluster.kubectl("replace", "-f", "-", stdin=many)
    return module_cluster


@dataclass
class Setting:
    plane: ControlPlane
    admin: Cluster
    connection: Connection
    token: str
    folder: Path

    @asynccontextmanager
    async def scene(self) -> AsyncIterator[tuple[Scene, ApiProxy]]:
        """A namespace with its pods marked ready, and the operator's own way to the API server."""
        name = f"s{next(_numbers)}"
        await self.admin.create(KINDS["Namespace"], {"metadata": {"name": name}})
        async with ApiProxy(self.connection) as proxy:
            told = ToldStack(self.admin, name)
            scene = Scene(self.admin, proxy.connection(self.token), name, self.folder / name, told)
            pods = asyncio.create_task(mark_pods(self.admin, name, self.plane.admin))
            try:
                yield scene, proxy
            finally:
                if pods.done():
                    pods.result()
                pods.cancel()
                await asyncio.gather(pods, return_exceptions=True)


@pytest.fixture
async def setting(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Setting]:
    connection = load({"KUBECONFIG": str(plane.admin)})
    token = plane.kubectl("create", "token", "titan-operator", "-n", SYSTEM).stdout.strip()
    async with Cluster(connection) as admin:
        yield Setting(plane, admin, connection, token, tmp_path)


_numbers = itertools.count()


async def _nothing(scene: Scene) -> None:
    """The install itself is what is cut."""


async def _install(scene: Scene) -> None:
    await scene.apply(*quickstart())


async def _upgrade(scene: Scene) -> None:
    await scene.apply(*quickstart(image=NEXT_IMAGE))


async def _new_policy(scene: Scene) -> None:
    await scene.apply(*quickstart("standard"))


async def _halt(scene: Scene) -> None:
    scene.told.latch = Posture.ARMED
    stack = quickstart()
    stack[0]["spec"]["posture"] = "HALTED"
    await scene.apply(stack[0])


async def _delete(scene: Scene) -> None:
    for name in PHASES:
        await scene.admin.delete(KINDS["TitanPhase"], name, scene.namespace)
    await scene.admin.delete(
        KINDS["RiskPolicy"], documents("policies/demo.yaml")[0]["metadata"]["name"], scene.namespace
    )


async def _runs(scene: Scene) -> bool:
    return await scene.settled()


async def _halted(scene: Scene) -> bool:
    return scene.told.latch is Posture.HALTED and await scene.settled()


async def _gone(scene: Scene) -> bool:
    return not await scene.admin.list(KINDS["TitanPhase"], scene.namespace) and not await scene.admin.list(
        KINDS["RiskPolicy"], scene.namespace
    )


Act = Callable[[Scene], Awaitable[None]]
CASES: dict[str, tuple[Act, Act, Callable[[Scene], Awaitable[bool]]]] = {
    "install": (_nothing, _install, _runs),
    "upgrade": (_install, _upgrade, _runs),
    "policy change": (_install, _new_policy, _runs),
    "halt": (_install, _halt, _halted),
    "delete": (_install, _delete, _gone),
}


async def _run(setting: Setting, case: str, cut: tuple[int, bool] | None) -> tuple[dict[str, Any], int]:
    """One whole run; return all objects at its end, and how many writes the act itself took."""
    before, act, ended = CASES[case]
    async with setting.scene() as (scene, proxy):
        await before(scene)
        if before is not _nothing:
            async with scene.engine() as engine:
                await scene.run_until(engine, scene.settled)
                await _calm(engine, proxy)
        await act(scene)
        start = len(proxy.mutations)
        if cut is not None:
            proxy.cut_after(cut[0], before=cut[1])

            async def cut_or_ended() -> bool:
                return proxy.happened.is_set() or await ended(scene)

            # The first operator dies at its cut: what it knew is lost.
            async with scene.engine() as engine:
                await scene.run_until(engine, cut_or_ended)
        async with scene.engine() as engine:
            await scene.run_until(engine, lambda: ended(scene))
            await _calm(engine, proxy)
        assert scene.told.raised == []
        return await scene.objects(), len(proxy.mutations) - start


async def _calm(engine: StackEngine, proxy: ApiProxy) -> None:
    """Pass until a whole pass writes nothing."""
    async with asyncio.timeout(30):
        while True:
            count = len(proxy.mutations)
            await engine.reconcile()
            if len(proxy.mutations) == count:
                return


@pytest.mark.parametrize("case", CASES)
async def test_a_cut_after_any_write_changes_nothing_of_the_end(case: str, setting: Setting) -> None:
    undisturbed, writes = await _run(setting, case, None)
    assert writes >= 2
    gate = asyncio.Semaphore(AT_ONCE)
    differing: list[str] = []

    async def one(number: int, before: bool) -> None:
        async with gate:
            end, _ = await _run(setting, case, (number, before))
            for name in sorted(undisturbed.keys() | end.keys()):
                if undisturbed.get(name) != end.get(name):
                    found = f"{undisturbed.get(name)} != {end.get(name)}"
                    differing.append(f"cut at write {number} (before={before}): {name}: {found}")

    async with asyncio.TaskGroup() as group:
        for number in range(1, writes + 1):
            for before in SIDES:
                group.create_task(one(number, before))
    assert differing == []
