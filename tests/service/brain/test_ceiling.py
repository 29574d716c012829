"""The ceiling of the resource, and one-shot acts: neither raises a posture by itself."""

from __future__ import annotations

from typing import Any

import pytest

from support.processes.brain_scene import scene, until
from support.stack.local_processes import Stack
from titan.runtime.rpc.contract import BRAIN_SET_CEILING
from titan.runtime.rpc.errors import RpcError
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e


async def test_a_lower_ceiling_takes_effect_at_once_and_a_higher_one_raises_nothing(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        lowered = await made.ceiling(c.POSTURE_CLOSE_ONLY)
        assert lowered.done
        assert lowered.posture.in_force == lowered.posture.ceiling == lowered.posture.latch == c.POSTURE_CLOSE_ONLY
        # Execution receives it twice, as an act for its latch and in a heartbeat; resting entries are canceled.
        assert made.execution.of("act")[-1].posture == c.POSTURE_CLOSE_ONLY
        assert made.execution.of("heartbeat")[-1].posture.ceiling == c.POSTURE_CLOSE_ONLY
        assert made.execution.of("cancel_entries")
        assert (await made.phase.submit()).reason == c.REASON_POSTURE

        raised = await made.ceiling(c.POSTURE_ARMED)
        assert raised.done
        assert (raised.posture.ceiling, raised.posture.latch) == (c.POSTURE_ARMED, c.POSTURE_CLOSE_ONLY)
        assert raised.posture.in_force == c.POSTURE_CLOSE_ONLY
        # Raising it allows a person to arm, nothing more.
        assert (await made.act(c.POSTURE_ARMED, nonce="nonce-2")).done


async def test_a_ceiling_of_another_policy_is_refused_with_both_hashes(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        refused = await made.ceiling(c.POSTURE_HALTED, policy_hash="sha256:" + "0" * 64)
        assert (refused.done, refused.reason) == (False, c.REASON_POLICY_HASH_MISMATCH)
        assert made.policy_hash in refused.message
        assert "sha256:" + "0" * 64 in refused.message
        assert refused.posture.in_force == c.POSTURE_ARMED


async def test_a_ceiling_of_flatten_flattens_once(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        assert (await made.ceiling(c.POSTURE_FLATTEN)).posture.in_force == c.POSTURE_FLATTEN
        act = made.execution.of("act")[-1]
        assert act.posture == c.POSTURE_FLATTEN
        made.execution.account.posture.latch = c.POSTURE_HALTED
        finished = e.PostureActResult(
            act_id=act.act_id, done=True, reason=c.REASON_OK, in_force=c.POSTURE_HALTED, latch=c.POSTURE_HALTED
        )
        made.execution.post(act=finished)
        await until(lambda: made.app.controller.state.in_force.name == "HALTED", "the flatten finished")
        assert (await made.ceiling(c.POSTURE_FLATTEN)).posture.in_force == c.POSTURE_HALTED
        assert made.execution.of("act")[-1].act_id == act.act_id, "nothing is flattened twice"


@pytest.mark.parametrize(
    ("description", "fields", "expected"),
    [
        ("nobody", {"by": ""}, "by: empty"),
        ("no posture", {"ceiling": 0}, "ceiling: 0 is not known; allowed are FLATTEN, HALTED, CLOSE_ONLY, ARMED"),
    ],
)
async def test_ceilings_that_are_malformed_are_refused(
    stack: Stack, description: str, fields: dict[str, Any], expected: str
) -> None:
    async with scene(stack) as made:
        with pytest.raises(RpcError, match=expected):
            await made.ceiling(**{"ceiling": c.POSTURE_HALTED, **fields})


async def test_people_set_no_ceiling(stack: Stack) -> None:
    async with scene(stack) as made:
        request = b.SetCeilingRequest(ceiling=c.POSTURE_HALTED, by="ana", policy_hash=made.policy_hash)
        with pytest.raises(RpcError, match=r"cli may not call Brain\.SetCeiling; allowed: operator"):
            await made.cli.call(BRAIN_SET_CEILING, request)


async def test_the_ceiling_at_the_start_lowers_the_stored_latch_for_good(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
    async with scene(stack, posture_ceiling="CLOSE_ONLY") as made:
        assert made.app.latch.posture.name == "CLOSE_ONLY"
    async with scene(stack) as made:
        assert made.app.controller.state.in_force.name == "CLOSE_ONLY"


async def test_a_flatten_that_execution_began_is_followed_to_the_end(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        reported = e.PostureActResult(
            act_id=0, done=True, reason=c.REASON_OK, latch=c.POSTURE_FLATTEN, message="by ana"
        )
        made.execution.post(act=reported)
        await until(lambda: made.app.latch.posture.name == "FLATTEN", "Brain's latch follows")
        await until(lambda: made.execution.of("act")[-1].posture == c.POSTURE_FLATTEN, "requested by Brain too")
        finished = e.PostureActResult(
            act_id=made.execution.of("act")[-1].act_id, done=True, reason=c.REASON_OK, latch=c.POSTURE_HALTED
        )
        made.execution.post(act=finished)
        await until(lambda: made.app.latch.posture.name == "HALTED", "the flatten finished")


async def test_a_cancel_while_execution_is_away_is_sent_when_it_is_back(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        await made.execution.server.stop(0)
        await until(lambda: not made.app.risk_state.execution_connected, "execution away")
        made.app.notifier.on_budget_expired("scavenger", "budget scavenger-1 has expired")
        assert not made.execution.of("cancel_entries")
        await made.execution.restart()
        await until(lambda: made.execution.of("cancel_entries"), "the cancel")
        (cancel,) = made.execution.of("cancel_entries")
        assert (cancel.phase_id, cancel.reason) == ("scavenger", "budget scavenger-1 has expired")
        await made.execution.restart()
        await until(lambda: len(made.execution.of("hello")) == 3, "connected once more")
        await until(lambda: made.app.execution.connected, "the account is received")
        assert len(made.execution.of("cancel_entries")) == 1, "sent once"


async def test_an_act_that_may_only_tighten_loosens_no_halt(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.act(c.POSTURE_HALTED, nonce="")
        response = await made.act(c.POSTURE_CLOSE_ONLY, nonce="nonce-9", tighten_only=True)
        assert response.done
        assert "the latch is HALTED by tester (cli), below CLOSE_ONLY" in response.message
        assert made.app.latch.posture.name == "HALTED"
        assert (await made.act(c.POSTURE_HALTED, nonce="nonce-9", tighten_only=True)).done


async def test_a_nonce_is_used_once_over_restarts_and_before_preconditions(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        await made.act(c.POSTURE_HALTED, nonce="")
    async with scene(stack) as made:
        # A fresh Execution: only Brain knows that this nonce was used.
        made.execution.account.truth.score = 0
        again = await made.act(c.POSTURE_ARMED, nonce="nonce-1")
        assert (again.done, again.reason) == (False, c.REASON_NONCE_USED)
        assert not made.execution.of("act")
        assert made.app.latch.posture.name == "HALTED"
