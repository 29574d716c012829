"""The posture: a person arms it, an act lowers it at once, the latch keeps it, Execution's lower latch is followed."""

from __future__ import annotations

import asyncio

import pytest

from support.processes.brain_scene import START_NS, scene, until
from support.stack.local_processes import Stack
from titan.runtime.rpc.contract import BRAIN_SET_POSTURE
from titan.runtime.rpc.errors import RpcError
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o


async def test_a_new_stack_is_close_only_and_refuses_to_open(stack: Stack) -> None:
    async with scene(stack) as made:
        made.market.post_step()
        await until(lambda: made.app.now_ns(), "market time")
        decision = await made.phase.submit()
        assert decision.reason == c.REASON_POSTURE
        assert "posture=CLOSE_ONLY" in decision.message
        assert made.phase.of("posture")[-1].latch_never_set


async def test_arming_names_every_precondition_that_does_not_hold(stack: Stack) -> None:
    async with scene(stack) as made:
        made.execution.post(truth=o.TruthSnapshot(known=True, score=60, unresolved=2, passes=1))
        made.execution.post(equity=o.Equity(known=False, reason="no price of BTC yet"))
        await until(
            lambda: made.app.risk_state.truth.score == 60 and not made.app.risk_state.equity.known, "the reports"
        )
        response = await made.act(c.POSTURE_ARMED)
        assert not response.done
        assert response.reason == c.REASON_PRECONDITION
        assert [line.split(":")[0] for line in response.preconditions] == ["equity", "truth", "truth"]
        assert not made.execution.of("act")


async def test_arming_is_one_shot_and_only_once_where_asked(stack: Stack) -> None:
    async with scene(stack) as made:
        response = await made.act(c.POSTURE_ARMED, only_if_never_set=True)
        assert response.done
        assert (response.acknowledged_by, response.working_orders, response.open_positions) == ("execution", 3, 1)
        assert made.execution.of("act")[-1].only_if_never_set
        halted = await made.act(c.POSTURE_HALTED, nonce="")
        assert halted.done
        assert halted.posture.in_force == c.POSTURE_HALTED
        once = await made.act(c.POSTURE_ARMED, nonce="nonce-2", only_if_never_set=True)
        assert (once.done, once.reason) == (False, c.REASON_POSTURE)
        used = await made.act(c.POSTURE_ARMED, nonce="nonce-1")
        assert (used.done, used.reason) == (False, c.REASON_NONCE_USED)
        assert made.app.latch.posture.name == "HALTED"
        assert (await made.act(c.POSTURE_ARMED, nonce="nonce-3")).done


async def test_tightening_is_instant_although_execution_does_not_answer(stack: Stack) -> None:
    async with scene(stack, acknowledge_timeout_ms=100) as made:
        await made.armed()
        made.execution.obeys = False
        response = await made.act(c.POSTURE_CLOSE_ONLY, nonce="")
        assert response.done
        assert response.acknowledged_by == ""
        assert made.execution.of("cancel_entries")[-1].phase_id == ""
        assert (await made.phase.submit()).reason == c.REASON_POSTURE
        assert made.phase.of("budget")[-1].state == b.BUDGET_STATE_CLOSE_ONLY


async def test_the_ceiling_of_the_resource_holds_an_armed_latch_down(stack: Stack) -> None:
    async with scene(stack, posture_ceiling="CLOSE_ONLY") as made:
        response = await made.act(c.POSTURE_ARMED)
        assert not response.done
        assert response.preconditions[0].startswith("ceiling: CLOSE_ONLY")


async def test_an_emergency_flattens_and_latches_until_a_person_arms(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.execution.obeys = False
        equity = made.execution.account.equity
        for step in (1, 2):
            # One outlier changes nothing; the second print confirms it.
            worse = o.Equity()
            worse.CopyFrom(equity)
            worse.equity, worse.market_time_ns = "160", START_NS + step
            worse.confirmed_equity, worse.drawdown = ("200", "0") if step == 1 else ("160", "0.2")
            made.execution.post(equity=worse)
            if step == 1:
                await until(lambda: made.app.risk_state.equity.equity == 160, "the print")
                assert made.app.controller.state.risk_level.name == "NORMAL"
        await until(lambda: made.execution.of("act")[-1].posture == c.POSTURE_FLATTEN, "flatten")
        assert (await made.phase.submit()).reason == c.REASON_RISK_LEVEL
        assert made.app.latch.posture.name == "FLATTEN"
        made.execution.post(
            act=e.PostureActResult(done=True, in_force=c.POSTURE_HALTED, latch=c.POSTURE_HALTED, act_id=1)
        )
        await asyncio.sleep(0.05)
        assert made.app.latch.posture.name == "FLATTEN", "the answer to an earlier act finishes nothing"
        done = made.execution.of("act")[-1].act_id
        made.execution.post(
            act=e.PostureActResult(done=True, in_force=c.POSTURE_HALTED, latch=c.POSTURE_HALTED, act_id=done)
        )
        await until(lambda: made.app.latch.posture.name == "HALTED", "the finished flatten")
        assert made.app.controller.state.in_force.name == "HALTED"


async def test_a_lower_latch_of_execution_is_followed(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.execution.account.posture.latch = c.POSTURE_HALTED
        made.execution.post(account=made.execution.account)
        await until(lambda: made.app.latch.posture.name == "HALTED", "the latch")


async def test_acts_that_are_malformed_are_refused(stack: Stack) -> None:
    async with scene(stack) as made:
        for request, expected in (
            (b.SetPostureRequest(posture=c.POSTURE_ARMED, nonce="n"), "by: empty"),
            (b.SetPostureRequest(posture=c.POSTURE_ARMED, by="me"), "nonce: empty"),
            (b.SetPostureRequest(by="me"), "posture: 0 is not known; allowed are FLATTEN, HALTED, CLOSE_ONLY, ARMED"),
        ):
            with pytest.raises(RpcError, match=expected):
                await made.cli.call(BRAIN_SET_POSTURE, request)
