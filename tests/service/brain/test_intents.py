"""Intents over real mTLS gRPC: those that become an order with its decision, and those that a guard refuses."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from support.processes.brain_scene import PERP, FakePhase, scene, until
from support.stack.local_processes import Stack
from titan.risk.guards.table import GUARDS
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import order_pb2 as o

OTHER_HASH = "sha256:" + "1" * 64


async def test_an_intent_becomes_an_order_that_explains_itself(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.submit()
        assert decision.approved, decision.message
        await until(lambda: made.execution.of("order"), "an order")
        (order,) = made.execution.of("order")
        assert order.intent_id == decision.intent_id
        assert order.policy_hash == made.policy_hash
        assert order.term == made.app.term == 1
        explained = json.loads(order.explain)
        assert len(explained["guards"]) == len(GUARDS)
        assert {guard[0] for guard in explained["guards"]} <= {b.VERDICT_PASS, b.VERDICT_SHRINK}
        assert (order.setup, explained["setup_score"]) == (decision.setup, decision.setup_score)
        assert [hop.name for hop in order.hops] == ["phase", "brain"]
        assert (order.stop_price, order.target_price) == ("61112.1", "61540.8")
        # .01 of 200 USDT at risk over stop and cost: 2 / .003002 = 666 USDT of notional, floored to the step.
        assert order.quantity == "0.01"
        assert Decimal(decision.notional) == Decimal("612.346")
        # A decision counts at once: the second intent meets the reserved exposure of the first.
        second = await made.phase.submit()
        fifteen = next(guard for guard in second.guards if guard.number == 15)
        assert "total=612.346" in fifteen.value


@pytest.mark.parametrize(
    ("description", "fields", "expected"),
    [
        ("negative bound", {"max_notional": "-5"}, "max_notional: -5 is below 0"),
        ("NaN", {"stop_price": "NaN"}, "stop_price: 'NaN' is not a canonical decimal"),
        ("exponent", {"target_price": "6e4"}, "target_price: '6e4' is not a canonical decimal"),
        ("unknown symbol", {"symbol": "DOGE/USDT:USDT"}, "symbol: DOGE/USDT:USDT is not listed"),
        ("no symbol at all", {"symbol": "bitcoin!"}, "symbol: 'bitcoin!' is not known"),
        ("bad enumeration", {"side": 9}, "side: 9 is not known; allowed are BUY, SELL"),
        ("score above one", {"setup_score": 1.5}, "setup_score: 1.5 is not within 0 and 1"),
        ("score NaN", {"setup_score": float("nan")}, "setup_score: nan is not within 0 and 1"),
        ("quantity on an opening one", {"quantity": "1"}, "OPEN has none"),
        ("stop on the wrong side", {"stop_price": "61300"}, "stop_price=61300"),
        ("another phase's name", {"phase_id": "hunter"}, "phase_id: 'hunter' on the stream of scavenger"),
    ],
)
async def test_bad_input_is_an_enumerated_refusal_with_a_sentence(
    stack: Stack, description: str, fields: dict[str, object], expected: str
) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.submit(**fields)
        assert not decision.approved, description
        assert decision.reason == c.REASON_INVALID_INTENT
        assert expected in decision.message
        assert not made.execution.of("order")


async def test_an_opening_intent_without_a_stop_is_refused_by_guard_8(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.submit(stop_price="")
        assert decision.reason == c.REASON_STOP_MISSING
        verdicts = {guard.number: guard.verdict for guard in decision.guards}
        assert verdicts[8] == b.VERDICT_REJECT
        assert {verdicts[number] for number in range(15, 20)} == {b.VERDICT_NOT_REACHED}


async def test_a_repeated_intent_gets_its_first_decision(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        first = await made.phase.submit(intent_id="the-same")
        made.phase.received.clear()
        again = await made.phase.submit(intent_id="the-same")
        assert again == first
        assert len(made.execution.of("order")) == 1


async def test_a_killed_phase_that_sends_the_same_event_with_a_new_id_is_refused(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        event_ns = made.market.clock.now_ns
        await made.phase.submit(event_time_ns=event_ns)
        twin = await made.phase.submit(event_time_ns=event_ns)
        assert twin.reason == c.REASON_DUPLICATE_INTENT
        assert len(made.execution.of("order")) == 1


@pytest.mark.parametrize("which", ["phase", "execution"])
async def test_a_foreign_policy_refuses_opening_and_shows_both_hashes(stack: Stack, which: str) -> None:
    async with scene(stack) as made:
        await made.armed()
        if which == "phase":
            decision = await made.phase.submit(policy_hash=OTHER_HASH)
        else:
            made.execution.account.policy_hash = OTHER_HASH
            made.execution.post(account=made.execution.account)
            await until(lambda: made.app.risk_state.execution_hash == OTHER_HASH, "the other hash")
            decision = await made.phase.submit()
        assert decision.reason == c.REASON_POLICY_HASH_MISMATCH
        assert OTHER_HASH in decision.message
        assert made.policy_hash in decision.message
        assert not made.execution.of("order")


async def test_reducing_passes_under_halt_foreign_hash_and_unknown_truth(stack: Stack) -> None:
    async with scene(stack) as made:
        made.execution.account.positions.append(
            o.Position(
                symbol=PERP,
                quantity="0.01",
                average_entry_price="61000",
                stop_price="60800",
                shares=[o.PhaseShare(phase_id="scavenger", quantity="0.01", average_entry_price="61000")],
            )
        )
        made.execution.account.truth.known = False
        made.execution.account.policy_hash = OTHER_HASH
        made.market.post_step()
        await until(lambda: made.app.now_ns(), "market time")
        made.execution.post(account=made.execution.account)
        await until(lambda: made.app.risk_state.symbols and made.app.risk_state.symbols[PERP].net, "the position")
        await made.act(c.POSTURE_HALTED, nonce="")
        close = {
            "action": b.ACTION_CLOSE,
            "side": c.SIDE_SELL,
            "stop_price": "",
            "target_price": "",
            "policy_hash": OTHER_HASH,
            "hops": [c.Hop(name="phase", duration_ns=60_000_000_000)],
        }
        decision = await made.phase.submit(quantity="0.006", **close)
        assert decision.approved, decision.message
        assert decision.position_effect == b.POSITION_EFFECT_REDUCING
        assert [guard.verdict for guard in decision.guards[2:]] == [b.VERDICT_EXEMPT] * (len(GUARDS) - 2)
        await until(lambda: made.execution.of("order"), "the exit")
        assert made.execution.of("order")[0].position_effect == b.POSITION_EFFECT_REDUCING
        # The first exit reserves its part: the second, together with it, would be more than there is.
        second = await made.phase.submit(quantity="0.006", **close)
        assert not second.approved
        assert second.position_effect == b.POSITION_EFFECT_OPENING
        third = await made.phase.submit(quantity="0.004", **close)
        assert third.approved, third.message


async def test_a_stale_price_refuses(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.market.post_step(bid="0", ask="0", jump_ns=6_000_000_000)
        await until(lambda: made.app.now_ns() > made.market.now_ns - 1, "the step")
        decision = await made.phase.submit()
        assert decision.reason == c.REASON_PRICE_STALE
        assert "max=5000" in decision.message


async def test_a_phase_that_is_not_planned_or_claims_another_id_is_refused(stack: Stack) -> None:
    async with scene(stack) as made:
        hunter = FakePhase(stack, "hunter")
        await hunter.connect(made.policy_hash)
        await until(lambda: hunter.failure, "the refusal")
        assert "hunter is not planned; allowed: scavenger" in hunter.failure
        impostor = FakePhase(stack, "sentinel")
        await impostor.connect(made.policy_hash, claimed="scavenger")
        await until(lambda: impostor.failure, "the refusal")
        assert "'scavenger' by sentinel" in impostor.failure
        exposition = made.app.metrics.exposition().decode()
        assert 'titan_brain_phases_refused_total{cause="not_planned"} 1.0' in exposition
        assert 'titan_brain_phases_refused_total{cause="foreign_id"} 1.0' in exposition
        for one in (hunter, impostor):
            await one.close()
