"""Faults between the operator's real process and the real API server: the end is that of the undisturbed run.

Execution never twice, no posture raised, no unlisted image run, whatever fails; a sample without TITAN_CHAOS.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.fault_rows import KINDS_WATCHED, ROWS, Row
from support.cluster.fault_scene import Objects, Place, differences, place
from support.cluster.guarded_plane import guard
from support.cluster.stack_acts import LIFE

CHAOS = bool(os.environ.get("TITAN_CHAOS"))
TRIED = [row for row in ROWS if CHAOS or row.sampled]
NEEDED = LIFE[: 1 + max(LIFE.index(act) for row in TRIED for act in row.acts)]
NAMESPACES = [f"fault-{number:03}" for number in range(len(TRIED) + 1)]
_names = iter(NAMESPACES)
_expected: dict[str, tuple[Objects, int]] = {}


@pytest.fixture(scope="module")
def plane(module_cluster: ControlPlane) -> ControlPlane:
    _expected.clear()
    return guard(module_cluster, NAMESPACES)


@pytest.fixture
async def here(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Place]:
    async with place(plane, tmp_path, _names) as made:
        if not _expected:
            _expected.update(await made.undisturbed(NEEDED))
        yield made


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.name)
async def test_a_fault_changes_nothing_of_the_end(row: Row, here: Place) -> None:
    async with here.faulted() as at:
        at.operator(**row.settings)
        for act in LIFE[: LIFE.index(row.acts[-1]) + 1]:
            if act in row.acts:
                await row.fault(at)
            await act.do(at.scene)
            end = await at.through(act)
            assert differences(_expected[act.name][0], end) == [], f"{act.name}: {row.why}"
            await at.checked()
        await at.until(lambda: at.watched(KINDS_WATCHED), "all is watched again")
