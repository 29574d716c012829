"""The Lease is lost in the middle of a pass, as by a process that stood still: from there on nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from support.cluster.controller_fixture import ControllerFixture, HeldLease
from support.cluster.operator_faults import FaultedStack, GuardedCluster, written
from support.cluster.stack_acts import INSTALL
from titan_operator.cluster.errors import ClusterError
from titan_operator.controller.controller import StackController
from titan_operator.controller.executor import AT_ONCE

# Among the first words of statuses, among the children, among the last statuses.
LOST_AT = (3, 20, 50)


@dataclass
class LostAt(HeldLease):
    """A Lease that is held until so many writes were requested."""

    at: FaultedStack
    writes: int

    def is_held(self) -> bool:
        return len(written(self.at.proxy)) < self.writes


@pytest.mark.parametrize("writes", LOST_AT)
async def test_nothing_is_written_from_there_on(writes: int, here: GuardedCluster) -> None:
    async with here.faulted() as at:
        connection = at.proxy.connection(here.token)
        lease = LostAt(at, writes)
        fixture = ControllerFixture(
            here.admin, connection, at.fixture.namespace, at.folder / "engine", at.stack, lease=lease
        )
        await INSTALL.do(fixture)
        async with fixture.controller() as controller:
            while not await _lost(controller):
                pass
            # What was asked for together with the last one that it still allowed was on its way.
            found = len(written(at.proxy))
            assert writes <= found < writes + AT_ONCE
            assert await _lost(controller), "it goes on to ask whether the Lease is its own"
        assert len(written(at.proxy)) == found


async def _lost(controller: StackController) -> bool:
    """One pass; whether it ended because the Lease was lost."""
    lost = False
    try:
        await controller.reconcile()
    except* ClusterError as errors:
        lost = "the Lease was lost" in str(errors.exceptions)
    return lost
