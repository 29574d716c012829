"""Faults between the operator's real process and the real API server: the end is that of the undisturbed run.

Execution never twice, no posture raised, no unlisted image run, whatever fails; a sample without TITAN_CHAOS.
"""

from __future__ import annotations

import os

import pytest

from support.cluster.fault_rows import KINDS_WATCHED, ROWS, Row
from support.cluster.operator_faults import GuardedCluster, Objects, differences
from support.cluster.stack_acts import STACK_ACTS

CHAOS = bool(os.environ.get("TITAN_CHAOS"))
TRIED = [row for row in ROWS if CHAOS or row.sampled]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.name)
async def test_a_fault_changes_nothing_of_the_end(
    row: Row, here: GuardedCluster, expected: dict[str, tuple[Objects, int]]
) -> None:
    if not expected:
        expected.update(await here.undisturbed(STACK_ACTS))
    async with here.faulted() as at:
        at.operator(**row.settings)
        for act in STACK_ACTS[: STACK_ACTS.index(row.acts[-1]) + 1]:
            if act in row.acts:
                await row.fault(at)
            await act.do(at.fixture)
            end = await at.through(act)
            assert differences(expected[act.name][0], end) == [], f"{act.name}: {row.why}"
            await at.checked()
        await at.until(lambda: at.watched(KINDS_WATCHED), "all is watched again")
