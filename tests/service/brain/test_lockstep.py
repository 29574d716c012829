"""Lockstep: a step is over when Execution and every phase have marked it."""

from __future__ import annotations

import asyncio

from support.processes.brain_scene import scene, until
from support.stack.local_processes import Stack
from titan.runtime.rpc.contract import BRAIN_LIST_DECISIONS
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import order_pb2 as o


async def test_lockstep_waits_for_execution_and_every_phase_and_decides_in_rank_order(stack: Stack) -> None:
    async with scene(stack, lockstep=True, phases=("scavenger", "hunter")) as made:
        scavenger, hunter = made.phases["scavenger"], made.phases["hunter"]
        step = made.market.post_step()
        await asyncio.sleep(0.05)
        assert not scavenger.of("marker")
        made.execution.post(marker=c.StepMarker(step=step))
        await until(lambda: hunter.of("marker") and scavenger.of("marker"), "Brain's marker")
        # The lower rank is quicker, and is decided second all the same.
        hunter.stream.post(b.SubmitRequest(intent=hunter.intent()))
        hunter.mark(step)
        await until(lambda: made.app.core.waiting, "the waiting intent")
        assert not hunter.of("decision")
        scavenger.stream.post(b.SubmitRequest(intent=scavenger.intent()))
        assert made.market.acked == -1
        scavenger.mark(step)
        # Two streams: the acknowledgement and the marker arrive in either order.
        await until(lambda: made.market.acked == step and made.execution.of("marker")[-1].step == step, "step")
        await until(lambda: hunter.of("decision") and scavenger.of("decision"), "both decisions")
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest())
        assert [one.phase_id for one in listed.decisions] == ["hunter", "scavenger"]


async def test_lockstep_applies_execution_s_reports_at_its_marker(stack: Stack) -> None:
    async with scene(stack, lockstep=True) as made:
        made.market.post_step()
        made.execution.post(marker=c.StepMarker(step=0))
        made.phase.mark(0)
        await until(lambda: made.market.acked == 0, "step 0")
        changed = o.Equity()
        changed.CopyFrom(made.execution.account.equity)
        changed.equity = "201"
        made.execution.post(equity=changed)
        await asyncio.sleep(0.05)
        assert made.app.risk_state.equity.equity == 200
        made.market.post_step()
        made.execution.post(marker=c.StepMarker(step=1))
        made.phase.mark(1)
        await until(lambda: made.market.acked == 1, "step 1")
        assert made.app.risk_state.equity.equity == 201


async def test_an_execution_that_comes_back_gets_the_last_marker_again_after_its_account(stack: Stack) -> None:
    async with scene(stack, lockstep=True) as made:
        made.market.post_step()
        made.execution.post(marker=c.StepMarker(step=0))
        made.phase.mark(0)
        await until(lambda: made.market.acked == 0, "step 0")
        made.execution.received.clear()
        await made.execution.restart()
        await until(lambda: made.execution.of("marker"), "the marker")
        assert made.execution.of("marker")[0].step == 0
        assert made.execution.of("hello")[0].term == 1
