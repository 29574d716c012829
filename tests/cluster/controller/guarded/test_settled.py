"""A settled stack costs no writes, however often it is looked at, but its Lease and one status a minute."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal

from support.cluster.controller_fixture import ControllerFixture
from support.cluster.operator_faults import GuardedCluster, written
from support.cluster.operator_process import LEASE_S
from support.cluster.stack_acts import INSTALL
from support.stack.model import quickstart

RESYNCS = 60
STEP_S = 6.0
LOOKED_AT_S = 8.0
# What shows the stack's equity, each in its own status.
SHOW_EQUITY = (
    ("riskpolicies", quickstart()[0]["metadata"]["name"]),
    ("titanphases", "brain"),
    ("titanphases", "execution"),
)


class Clock:
    """Monotonic seconds that a test can advance."""

    def __init__(self) -> None:
        self.jumped_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.jumped_s


async def test_sixty_resyncs_write_one_status_a_minute(here: GuardedCluster) -> None:
    clock = Clock()
    async with here.faulted() as at:
        connection = at.proxy.connection(here.token)
        fixture = ControllerFixture(
            here.admin, connection, at.fixture.namespace, at.folder / "engine", at.stack, clock=clock
        )
        await INSTALL.do(fixture)
        async with fixture.controller() as controller:
            await fixture.run_until(controller, lambda: INSTALL.ended(fixture))
            await fixture.calm(controller, at.writes)
            before, began = at.writes(), time.monotonic()
            for _ in range(RESYNCS):
                # Its equity moves all the time, as that of a stack which trades.
                at.stack.equity += Decimal("0.01")
                clock.jumped_s += STEP_S
                await controller.reconcile()
            least_s, lasted_s = RESYNCS * STEP_S, RESYNCS * STEP_S + time.monotonic() - began
        found = Counter((one.plural, one.subresource, one.name) for one in written(at.proxy)[before:])
        assert set(found) == {(plural, "status", name) for plural, name in SHOW_EQUITY}
        # One a minute each, and the last minute may have begun.
        assert min(found.values()) >= least_s // 60 - 1
        assert max(found.values()) <= lasted_s // 60 + 1


async def test_a_process_beside_a_settled_stack_renews_its_lease_and_nothing_else(here: GuardedCluster) -> None:
    async with here.faulted() as at:
        at.operator()
        await INSTALL.do(at.fixture)
        await at.through(INSTALL)
        all_before, before, asked = len(at.proxy.mutations), at.writes(), len(at.proxy.requests)
        began = time.monotonic()
        await at.until(lambda: time.monotonic() - began > LOOKED_AT_S, "some resyncs")
        lasted_s = time.monotonic() - began
        assert len(at.proxy.requests) - asked > LOOKED_AT_S / 2 * 10, "it does look"
        assert written(at.proxy)[before:] == []
        renewed = len(at.proxy.mutations) - all_before
        assert 1 <= renewed <= lasted_s / (LEASE_S / 3) + 1
