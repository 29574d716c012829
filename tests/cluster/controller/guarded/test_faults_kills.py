"""The operator's process is killed, with SIGKILL, at a write of each act of a stack's life: the end is the same."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from support.cluster.operator_faults import FaultedStack, GuardedCluster, Objects, differences
from support.cluster.operator_process import OperatorProcess
from support.cluster.stack_acts import DELETE, HALT, STACK_ACTS, UPGRADE

CHAOS = bool(os.environ.get("TITAN_CHAOS"))
# Where in an act it dies, as a part of the act's writes; each life has its own places. Five kills a life.
LIVES = ((0.05, 0.5, 0.3, 0.6, 0.4), (0.3, 0.15, 0.7, 0.3, 0.1), (0.6, 0.7, 0.1, 0.3, 0.75), (0.8, 0.3, 0.5, 0.6, 0.6))
SAMPLE = {UPGRADE.name: 0.5, HALT.name: 0.5, DELETE.name: 0.6}


async def _die(at: FaultedStack, operator: OperatorProcess) -> None:
    """Kill it at its cut, before anything it would do next; another pod of it starts at once."""
    await at.proxy.happened.wait()
    operator.kill()
    operator.start()


async def _live(here: GuardedCluster, kills: Mapping[str, float], expected: Mapping[str, tuple[Objects, int]]) -> int:
    """A life with kills; return how many there were."""
    died = 0
    async with here.faulted() as at:
        operator = at.operator()
        for turn, act in enumerate(STACK_ACTS):
            if act.name in kills:
                at.proxy.happened.clear()
                at.proxy.cut_after(_write(kills[act.name], expected[act.name][1]), before=(turn + died) % 2 == 0)
                at.meanwhile(_die(at, operator))
            await act.do(at.fixture)
            end = await at.through(act)
            died += act.name in kills
            assert differences(expected[act.name][0], end) == [], f"{act.name}, killed at {kills.get(act.name)}"
            await at.checked()
    return died


def _write(part: float, writes: int) -> int:
    return max(1, round(part * writes))


@pytest.mark.timeout(600)
async def test_killed_at_a_write_the_end_is_the_same(
    here: GuardedCluster, expected: dict[str, tuple[Objects, int]]
) -> None:
    if not expected:
        expected.update(await here.undisturbed(STACK_ACTS))
    lives = [dict(zip((act.name for act in STACK_ACTS), parts, strict=True)) for parts in LIVES] if CHAOS else [SAMPLE]
    died = [await _live(here, kills, expected) for kills in lives]
    assert sum(died) == (20 if CHAOS else 3)
