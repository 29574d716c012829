"""The operator's client against the real Brain and the real Execution, over the stack's own mTLS."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cluster.stack_client import client_for, client_of_local
from support.processes import brain_scene, execution_scene
from support.processes.brain_scene import until
from support.processes.execution_neighbors import Brain
from support.stack.local_processes import Stack
from support.stack.titan_up import local_stack
from titan.domain.enums import Posture
from titan.runtime.telemetry.logs import get_logger
from titan.v1 import common_pb2 as c
from titan_operator.stack.client import StackClient
from titan_operator.stack.view import BrainView, ExecutionView

OTHER_HASH = "sha256:" + "0" * 64
PATIENCE_S = 120.0


async def test_what_brain_says_and_that_execution_is_not_there(stack: Stack) -> None:
    async with brain_scene.scene(stack) as made, client_for(stack) as client:
        await made.armed()
        addresses = {"brain": stack.peers["brain"], "execution": "127.0.0.1:9"}
        view = await client.query(addresses)
        assert view.brain is not None
        assert (view.brain.in_force, view.brain.ceiling, view.brain.policy_hash) == (
            Posture.ARMED,
            Posture.ARMED,
            made.policy_hash,
        )
        assert view.brain.phases["scavenger"].connected
        assert view.brain.phases["scavenger"].policy_hash == made.policy_hash
        assert view.brain.market_label == "SIMULATED MARKET"
        assert view.execution is None
        assert view.problems["execution"].startswith("execution at 127.0.0.1:9 does not answer: ")
        nobody = await client.query({})
        assert nobody.problems == {"brain": "brain has no address yet", "execution": "execution has no address yet"}


async def test_a_ceiling_an_act_and_what_is_refused(stack: Stack) -> None:
    async with brain_scene.scene(stack) as made, client_for(stack) as client:
        address = stack.peers["brain"]
        made.market.post_step()
        await until(lambda: made.app.now_ns(), "market time")
        armed = await client.act(address, Posture.ARMED, "ana", "a test", "nonce-of-ana")
        assert (armed.done, armed.acknowledged_by, armed.working_orders, armed.open_positions) == (
            True,
            "execution",
            3,
            1,
        )
        assert made.app.latch.by == "ana (operator)"
        again = await client.act(address, Posture.ARMED, "ana", "a test", "nonce-of-ana")
        assert (again.done, again.reason, again.reached) == (False, "NONCE_USED", True)
        foreign = await client.set_ceiling(address, Posture.HALTED, OTHER_HASH)
        assert (foreign.done, foreign.reason) == (False, "POLICY_HASH_MISMATCH")
        assert made.policy_hash in foreign.message
        assert OTHER_HASH in foreign.message
        assert made.app.controller.state.in_force is Posture.ARMED
        lowered = await client.set_ceiling(address, Posture.HALTED, made.policy_hash)
        assert lowered.done
        assert made.app.controller.state.in_force is Posture.HALTED
        # What asks for less does not loosen what is there.
        kept = await client.act(address, Posture.CLOSE_ONLY, "ana", "a test", "nonce-2")
        assert kept.done
        assert "only arming raises it" in kept.message
        assert made.app.controller.state.in_force is Posture.HALTED
        refused = await client.act(address, Posture.ARMED, "ana", "a test", "nonce-3")
        assert (refused.done, refused.reason) == (False, "PRECONDITION")
        assert refused.preconditions[0].startswith("ceiling: HALTED")


async def test_nobody_there_is_an_answer_too(stack: Stack) -> None:
    async with client_for(stack) as client:
        address = stack.peers["brain"]
        for ack in (
            await client.act(address, Posture.ARMED, "ana", "", "nonce-1"),
            await client.set_ceiling(address, Posture.HALTED, OTHER_HASH),
            await client.tighten(address, Posture.HALTED, "operator", ""),
        ):
            assert (ack.done, ack.reached, ack.reason) == (False, False, "UNAVAILABLE")
            assert address in ack.message


async def test_without_a_certificate_nothing_is_asked_and_it_is_said(stack: Stack, tmp_path: Path) -> None:
    client = StackClient("s", tmp_path, get_logger("operator"))
    view = await client.query(stack.peers)
    assert "holds no identity" in view.problems["brain"]
    ack = await client.act(stack.peers["brain"], Posture.HALTED, "ana", "", "nonce-1")
    assert (ack.done, ack.reached, ack.reason) == (False, False, "NO_CERTIFICATE")


async def test_a_pod_that_moved_is_asked_at_its_new_address(stack: Stack) -> None:
    async with brain_scene.scene(stack), client_for(stack) as client:
        assert (await client.query({"brain": "127.0.0.1:9"})).brain is None
        assert (await client.query({"brain": stack.peers["brain"]})).brain is not None


async def test_an_execution_is_tightened_directly_and_drains(stack: Stack) -> None:
    async with execution_scene.scene(stack) as made, client_for(stack) as client:
        address = stack.peers["execution"]
        made.brain.place("i1")
        await made.market.step(count=4)
        made.brain.place("i2", order_type=c.ORDER_TYPE_LIMIT, time_in_force=c.TIME_IN_FORCE_GTC, limit_price="59500")
        await made.market.step(count=2)
        before = (await client.query({"execution": address})).execution
        assert before is not None
        assert (before.in_force, before.working_entries, before.open_positions) == (Posture.ARMED, 1, 1)
        assert (before.working_orders, before.reconciled, before.lease_held) == (3, True, True)
        assert not before.drained

        # Brain is gone: nobody but the operator is there to do it.
        await made.brain.stop()
        ack = await client.tighten(address, Posture.CLOSE_ONLY, "titan-operator", "a roll")
        assert (ack.done, ack.acknowledged_by, ack.open_positions) == (True, "execution", 1)
        assert made.session.posture.latch.by == "operator: titan-operator"
        await until(lambda: made.session.sender.flight.cancels or not made.venue_working(), "cancel asked")
        made.brain = Brain(stack, made.policy_hash, term=2)
        await made.brain.start()
        await made.ready()
        await made.market.step(count=3)
        await until(
            lambda: made.session.store.journal.synced_sequence == made.session.store.journal.last_sequence,
            "journal on the disk",
        )
        after = (await client.query({"execution": address})).execution
        assert after is not None
        assert (after.latch, after.in_force) == (Posture.CLOSE_ONLY, Posture.CLOSE_ONLY)
        assert (after.working_entries, after.unresolved_orders, after.working_orders) == (0, 0, 2)
        assert after.drained, "what protects the position goes on working"

        # A halt is not loosened by what asks for less.
        assert (await client.tighten(address, Posture.HALTED, "ana", "")).done
        kept = await client.tighten(address, Posture.CLOSE_ONLY, "titan-operator", "a roll")
        assert kept.done
        assert "HALTED" in kept.message
        assert made.session.posture.latch.posture is Posture.HALTED
        with_armed = await client.tighten(address, Posture.ARMED, "ana", "")
        assert (with_armed.done, with_armed.reason) == (False, "INVALID_ARGUMENT")
        assert "allowed" in with_armed.message or "Tighten only lowers" in with_armed.message


async def test_a_silent_brain_keeps_no_position_from_being_flattened(stack: Stack) -> None:
    async with execution_scene.scene(stack) as made, client_for(stack) as client:
        made.brain.place("i1")
        await made.market.step(count=4)
        made.brain.beating = False
        ack = await client.tighten(stack.peers["execution"], Posture.FLATTEN, "operator", "RiskPolicy deleted")
        assert (ack.done, ack.open_positions) == (True, 1)
        for _ in range(60):
            await made.market.step()
            if made.session.posture.latch.posture is Posture.HALTED:
                break
        after = (await client.query({"execution": stack.peers["execution"]})).execution
        assert after is not None
        assert (after.latch, after.open_positions, after.working_orders) == (Posture.HALTED, 0, 0)
        made.check_equal()


@pytest.mark.slow
async def test_a_whole_stack_asked_told_and_left_without_brain(tmp_path: Path) -> None:
    with local_stack(tmp_path / "state", "--arm", "--seed", "5", "--speed", "20") as stack:
        stack.wait("ready: http://127.0.0.1:")
        async with client_of_local(stack, tmp_path / "operator") as (client, addresses):
            view = await client.query(addresses)
            assert view.problems == {}
            assert view.brain is not None
            assert view.execution is not None
            assert view.brain.policy_hash == view.execution.policy_hash == view.brain.execution_policy_hash
            assert view.brain.phases["scavenger"].policy_hash == view.brain.policy_hash
            assert view.brain.equity is not None
            assert 150 < view.brain.equity < 250
            assert view.brain.truth_score is not None
            assert (view.execution.lease_held, view.execution.reconciled) == (True, True)

            brain = stack.processes()["brain"]["pid"]
            os.kill(brain, signal.SIGSTOP)
            ack = await client.tighten(addresses["execution"], Posture.CLOSE_ONLY, "operator", "Brain does not answer")
            assert (ack.done, ack.acknowledged_by) == (True, "execution")
            alone = await client.query(addresses, timeout_s=0.5)
            assert alone.brain is None
            assert "brain at" in alone.problems["brain"]
            assert alone.execution is not None
            assert alone.execution.latch is Posture.CLOSE_ONLY
            os.kill(brain, signal.SIGCONT)

            # Brain follows Execution's latch down: both are where the operator put one of them.
            await _eventually(
                client,
                addresses,
                lambda view, execution: execution.drained and view.in_force is Posture.CLOSE_ONLY,
            )
            done = await client.act(addresses["brain"], Posture.FLATTEN, "ana", "the end", "nonce-flatten")
            assert (done.done, done.acknowledged_by) == (True, "execution")
            await _eventually(client, addresses, lambda _, execution: execution.latch is Posture.HALTED)
            last = (await client.query(addresses)).execution
            assert last is not None
            assert (last.open_positions, last.working_orders) == (0, 0)
            rebased = await client.rebase(addresses["execution"], "olaf", "after the drill", "nonce-rebase")
            assert (rebased.done, rebased.acknowledged_by) == (True, "execution"), rebased
            again = await client.rebase(addresses["execution"], "olaf", "after the drill", "nonce-rebase")
            assert (again.done, again.reason, again.reached) == (False, "NONCE_USED", True)


@pytest.mark.slow
async def test_execution_flattens_while_brain_is_frozen_and_brain_follows(tmp_path: Path) -> None:
    # In real time, where the market does not wait for Brain.
    with local_stack(tmp_path / "state", "--arm", "--seed", "5") as stack:
        stack.wait("ready: http://127.0.0.1:")
        async with client_of_local(stack, tmp_path / "operator") as (client, addresses):
            await _eventually(client, addresses, lambda _, execution: execution.reconciled)
            brain = stack.processes()["brain"]["pid"]
            os.kill(brain, signal.SIGSTOP)
            assert (await client.tighten(addresses["execution"], Posture.FLATTEN, "operator", "Brain is gone")).done
            only = {"execution": addresses["execution"]}
            deadline_s = time.monotonic() + PATIENCE_S
            while True:
                own = (await client.query(only)).execution
                assert time.monotonic() < deadline_s, own
                if own is not None and own.latch is Posture.HALTED:
                    break
            assert (own.open_positions, own.working_orders) == (0, 0)
            os.kill(brain, signal.SIGCONT)
            await _eventually(client, addresses, lambda view, _: view.latch is Posture.HALTED)


async def _eventually(
    client: StackClient, addresses: dict[str, str], holds: Callable[[BrainView, ExecutionView], bool]
) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        view = await client.query(addresses)
        if view.brain is not None and view.execution is not None and holds(view.brain, view.execution):
            return
        assert time.monotonic() < deadline_s, view
