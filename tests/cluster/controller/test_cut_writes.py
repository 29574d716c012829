"""The connection to the API server is cut after each single write: the end is the same, object by object.

A stack lives its life (install, upgrade, policy change, halt, delete), and each act is cut once: the operator dies
there, or only its connections do. With TITAN_CHAOS every write of each act is cut, on both sides; else a sample is.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.apiproxy import ApiProxy
from support.cluster.controller_fixture import SYSTEM, ControllerFixture, ScriptedStack, mark_pods
from support.cluster.guarded_plane import beside
from support.cluster.stack_acts import DELETE, INSTALL, STACK_ACTS, StackAct
from titan_operator.api.names import OPERATOR
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection, load
from titan_operator.cluster.resource_kinds import KINDS

CHAOS = bool(os.environ.get("TITAN_CHAOS"))
SAMPLE = 1
AT_ONCE = 3
# Of one act, in seconds: some take three, on a machine that does nothing else.
LIMIT_S = 90.0
# An act takes a few writes more or less from run to run: a status more that says "not ready yet".
SURE = 0.8
SHORT_LIFE = (INSTALL, DELETE)


@dataclass(frozen=True)
class Cut:
    """Cut at this write of an act, counted from 1.

    Parameters
    ----------
    before
        The write never arrives; else it takes effect and its answer is lost.
    dies
        The operator dies with its connections, and another one goes on.
    """

    write: int
    before: bool
    dies: bool

    def __str__(self) -> str:
        side = "before" if self.before else "after"
        return f"cut {side} write {self.write}{' and dead' if self.dies else ''}"


@dataclass
class Setting:
    plane: ControlPlane
    admin: Cluster
    connection: Connection
    token: str
    folder: Path
    names: Iterator[str]

    @asynccontextmanager
    async def fixture(self) -> AsyncIterator[tuple[ControllerFixture, ApiProxy]]:
        """A namespace with its pods marked ready, and the operator's own way to the API server."""
        name = next(self.names)
        await self.admin.create(KINDS["Namespace"], {"metadata": {"name": name}})
        async with ApiProxy(self.connection) as proxy:
            stack = ScriptedStack(self.admin, name)
            fixture = ControllerFixture(self.admin, proxy.connection(self.token), name, self.folder / name, stack)
            async with beside(mark_pods(self.admin, name, self.plane.admin)):
                yield fixture, proxy


@pytest.fixture
async def setting(guarded_plane: ControlPlane, lives: Iterator[str], tmp_path: Path) -> AsyncIterator[Setting]:
    connection = load({"KUBECONFIG": str(guarded_plane.admin)})
    token = guarded_plane.token(SYSTEM, OPERATOR, 7200)
    async with Cluster(connection, timeout_s=60) as admin:
        yield Setting(guarded_plane, admin, connection, token, tmp_path, lives)


@dataclass(frozen=True)
class End:
    """Objects at the end of an act, its number of writes, and whether its cut happened."""

    objects: Mapping[str, Any]
    writes: int
    cut: bool


async def _live(setting: Setting, acts: Sequence[StackAct], cuts: Mapping[str, Cut]) -> dict[str, End]:
    """A whole life in a namespace of its own, each act until nothing is left to do."""
    ends: dict[str, End] = {}
    async with setting.fixture() as (fixture, proxy):
        for act in acts:
            await act.do(fixture)
            start = len(proxy.mutations)
            proxy.happened.clear()
            await _through(fixture, proxy, act, cuts.get(act.name))
            assert fixture.stack.raised == [], f"{fixture.namespace} {act.name}"
            ends[act.name] = End(await fixture.objects(), len(proxy.mutations) - start, proxy.happened.is_set())
    return ends


async def _through(fixture: ControllerFixture, proxy: ApiProxy, act: StackAct, cut: Cut | None) -> None:
    if cut is not None:
        proxy.cut_after(cut.write, before=cut.before)
    if cut is not None and cut.dies:
        async with fixture.controller() as controller:
            await fixture.run_until(controller, lambda: act.ended(fixture), LIMIT_S, stop=proxy.happened)
            if not proxy.happened.is_set():
                # Its last writes come when all is as it should be.
                await fixture.calm(controller, lambda: len(proxy.mutations))
    async with fixture.controller() as controller:
        await fixture.run_until(controller, lambda: act.ended(fixture), LIMIT_S)
        await fixture.calm(controller, lambda: len(proxy.mutations))
    proxy.cut_never()


def _differences(undisturbed: Mapping[str, End], ends: Mapping[str, End], cuts: Mapping[str, Cut]) -> list[str]:
    """Return the differences from the uncut run, act by act; a later act may inherit one."""
    return [
        f"{act}, {cuts.get(act)}: {name}: {_only_different(undisturbed[act].objects.get(name), end.objects.get(name))}"
        for act, end in ends.items()
        for name in sorted(undisturbed[act].objects.keys() | end.objects.keys())
        if undisturbed[act].objects.get(name) != end.objects.get(name)
    ]


def _only_different(wanted: Any, found: Any) -> str:
    """Return the unequal values, by path."""
    if not (isinstance(wanted, Mapping) and isinstance(found, Mapping)):
        return f"{wanted!r} != {found!r}"
    names = [name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]
    return "; ".join(f"{name}: {_only_different(wanted.get(name), found.get(name))}" for name in names)


def _sampled(writes: Mapping[str, int]) -> list[dict[str, Cut]]:
    """Spread over each act's writes, elsewhere in each act: so early and late cuts, sides and deaths mix."""
    lives: list[dict[str, Cut]] = []
    for life in range(SAMPLE):
        cuts = {}
        for place, (act, count) in enumerate(writes.items()):
            part = (life / SAMPLE + place * 0.4) % 1
            cuts[act] = Cut(1 + int(part * count * SURE), before=(life + place) % 2 == 0, dies=(life + place) % 4 < 2)
        lives.append(cuts)
    return lives


def _every(writes: Mapping[str, int]) -> list[dict[str, Cut]]:
    return [
        {act: Cut(write, before, dies=(write + before) % 2 == 0) for act, count in writes.items() if write <= count}
        for write, before in itertools.product(range(1, max(writes.values()) + 1), (False, True))
    ]


@pytest.mark.timeout(3600 if CHAOS else 600)
async def test_a_cut_at_any_write_changes_nothing_of_the_end(setting: Setting) -> None:
    whole = await _live(setting, STACK_ACTS, {})
    short = await _live(setting, SHORT_LIFE, {}) if CHAOS else {}
    writes = {act: end.writes for act, end in whole.items()}
    assert min(writes.values()) >= 2, writes
    planned = _every(writes) if CHAOS else _sampled(writes)
    gate = asyncio.Semaphore(AT_ONCE)
    differing: list[str] = []
    happened: list[bool] = []

    async def one(cuts: Mapping[str, Cut]) -> None:
        # Where only the two longest acts are left to be cut, the life is as short.
        is_short = bool(short) and cuts.keys() <= {act.name for act in SHORT_LIFE}
        async with gate:
            ends = await _live(setting, SHORT_LIFE if is_short else STACK_ACTS, cuts)
        differing.extend(_differences(short if is_short else whole, ends, cuts))
        for act, cut in cuts.items():
            happened.append(ends[act].cut)
            assert ends[act].cut or cut.write > writes[act] * SURE, f"{act}, {cut}: only {ends[act].writes} writes"

    async with asyncio.TaskGroup() as group:
        for cuts in planned:
            group.create_task(one(cuts))
    assert differing == [], "\n".join(differing)
    assert sum(happened) >= SURE * sum(len(cuts) for cuts in planned)
