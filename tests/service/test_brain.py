"""Brain by its composition root, over real mTLS gRPC, with its neighbours played by the test."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from support.brain_scene import PERP, START_NS, FakePhase, Scene, scene, state_folder, until
from support.stack import Stack
from titan.brain.app import BrainApp
from titan.brain.settings import BrainSettings
from titan.runtime.contract import (
    BRAIN_EXPLAIN_DECISION,
    BRAIN_GET_BRAIN,
    BRAIN_LIST_DECISIONS,
    BRAIN_SET_POSTURE,
)
from titan.runtime.process import StartError, running
from titan.runtime.rpc import RpcError
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o

OTHER_HASH = "sha256:" + "1" * 64


@pytest.fixture
def stack(stack_on_each_database: Stack) -> Stack:
    """Each test of this file on SQLite and on PostgreSQL: they behave alike."""
    return stack_on_each_database


async def test_an_intent_becomes_an_order_with_its_decision_inside(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.ask()
        assert decision.approved, decision.message
        await until(lambda: made.execution.of("order"), "an order")
        (order,) = made.execution.of("order")
        assert order.intent_id == decision.intent_id
        assert order.policy_hash == made.policy_hash
        assert order.term == made.app.term == 1
        assert [guard.number for guard in order.decision.guards] == [*range(9), *range(15, 20)]
        assert all(guard.verdict in (b.VERDICT_PASS, b.VERDICT_SHRINK) for guard in order.decision.guards)
        assert [hop.name for hop in order.hops] == ["phase", "brain"]
        assert (order.stop_price, order.target_price) == ("61112.1", "61540.8")
        # .01 of 200 USDT at risk over stop and cost: 2 / .003002 = 666 USDT of notional, floored to the step.
        assert order.quantity == "0.01"
        assert Decimal(decision.notional) == Decimal("612.346")
        # What is decided counts at once: the second one meets the reserved exposure of the first.
        second = await made.phase.ask()
        fifteen = next(guard for guard in second.guards if guard.number == 15)
        assert "total=612.346" in fifteen.value


@pytest.mark.parametrize(
    ("description", "fields", "says"),
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
    stack: Stack, description: str, fields: dict[str, object], says: str
) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.ask(**fields)
        assert not decision.approved, description
        assert decision.reason == c.REASON_INVALID_INTENT
        assert says in decision.message
        assert not made.execution.of("order")


async def test_a_missing_stop_is_refused_by_its_guard(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.ask(stop_price="")
        assert decision.reason == c.REASON_STOP_MISSING
        verdicts = {guard.number: guard.verdict for guard in decision.guards}
        assert verdicts[8] == b.VERDICT_REJECT
        assert {verdicts[number] for number in range(15, 20)} == {b.VERDICT_NOT_REACHED}


async def test_a_repeated_intent_gets_its_first_decision(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        first = await made.phase.ask(intent_id="the-same")
        made.phase.received.clear()
        again = await made.phase.ask(intent_id="the-same")
        assert again == first
        assert len(made.execution.of("order")) == 1


async def test_a_killed_phase_that_asks_again_with_a_new_id_is_refused(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        await made.phase.ask(event_time_ns=START_NS)
        twin = await made.phase.ask(event_time_ns=START_NS)
        assert twin.reason == c.REASON_DUPLICATE_INTENT
        assert len(made.execution.of("order")) == 1


async def test_a_new_stack_is_close_only_and_refuses_to_open(stack: Stack) -> None:
    async with scene(stack) as made:
        made.market.post_step()
        await until(lambda: made.app.now_ns(), "market time")
        decision = await made.phase.ask()
        assert decision.reason == c.REASON_POSTURE
        assert "posture=CLOSE_ONLY" in decision.message
        assert made.phase.of("posture")[-1].latch_never_set


async def test_arming_names_every_precondition_that_does_not_hold(stack: Stack) -> None:
    async with scene(stack) as made:
        made.execution.post(truth=o.TruthSnapshot(known=True, score=60, unresolved=2, passes=1))
        made.execution.post(equity=o.Equity(known=False, reason="no price of BTC yet"))
        await until(lambda: made.app.book.truth.score == 60 and not made.app.book.equity.known, "news")
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
        assert (await made.phase.ask()).reason == c.REASON_POSTURE
        assert made.phase.of("budget")[-1].state == b.BUDGET_STATE_CLOSE_ONLY


async def test_the_ceiling_of_the_resource_holds_an_armed_latch_down(stack: Stack) -> None:
    async with scene(stack, posture_ceiling="CLOSE_ONLY") as made:
        response = await made.act(c.POSTURE_ARMED)
        assert not response.done
        assert response.preconditions[0].startswith("ceiling: CLOSE_ONLY")


async def test_a_restart_keeps_posture_term_and_decisions(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        first = await made.phase.ask(intent_id="before-the-restart")
        await made.act(c.POSTURE_HALTED, nonce="")
    made = Scene(stack, False, ("scavenger",))
    app = BrainApp(made.settings)
    async with running(app):
        assert app.term == 2
        assert app.governor.state.in_force.name == "HALTED"
        phase = FakePhase(stack)
        await phase.connect(made.policy_hash)
        # Known before any market or Execution is there.
        app._deciding = True
        again = await phase.ask(intent_id="before-the-restart")
        await phase.close()
        await made.cli.close()
    assert again == first


@pytest.mark.parametrize("which", ["phase", "execution"])
async def test_a_foreign_policy_refuses_opening_and_shows_both_hashes(stack: Stack, which: str) -> None:
    async with scene(stack) as made:
        await made.armed()
        if which == "phase":
            decision = await made.phase.ask(policy_hash=OTHER_HASH)
        else:
            made.execution.account.policy_hash = OTHER_HASH
            made.execution.post(account=made.execution.account)
            await until(lambda: made.app.book.execution_hash == OTHER_HASH, "the other hash")
            decision = await made.phase.ask()
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
        await until(lambda: made.app.book.symbols and made.app.book.symbols[PERP].net, "the position")
        await made.act(c.POSTURE_HALTED, nonce="")
        close = {
            "action": b.ACTION_CLOSE,
            "side": c.SIDE_SELL,
            "stop_price": "",
            "target_price": "",
            "policy_hash": OTHER_HASH,
            "hops": [c.Hop(name="phase", duration_ns=60_000_000_000)],
        }
        decision = await made.phase.ask(quantity="0.006", **close)
        assert decision.approved, decision.message
        assert decision.lane == b.LANE_REDUCING
        assert [guard.verdict for guard in decision.guards[2:]] == [b.VERDICT_EXEMPT] * 12
        await until(lambda: made.execution.of("order"), "the exit")
        assert made.execution.of("order")[0].lane == b.LANE_REDUCING
        # The first exit reserves its part: the second, together with it, would be more than there is.
        second = await made.phase.ask(quantity="0.006", **close)
        assert not second.approved
        assert second.lane == b.LANE_OPENING
        third = await made.phase.ask(quantity="0.004", **close)
        assert third.approved, third.message


async def test_execution_away_refuses_opening_and_keeps_a_reducing_order_for_it(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.execution.account.positions.append(
            o.Position(
                symbol=PERP,
                quantity="0.01",
                average_entry_price="61000",
                shares=[o.PhaseShare(phase_id="scavenger", quantity="0.01", average_entry_price="61000")],
            )
        )
        made.execution.post(account=made.execution.account)
        await until(lambda: made.app.book.symbols[PERP].net, "the position")
        await made.execution.server.stop(0)
        await until(lambda: not made.app.book.execution_connected, "execution away")
        opening = await made.phase.ask()
        assert opening.reason == c.REASON_EXECUTION_AWAY
        closing = await made.phase.ask(
            action=b.ACTION_CLOSE, side=c.SIDE_SELL, quantity="0.01", stop_price="", target_price=""
        )
        assert closing.approved, closing.message
        assert not made.execution.of("order")
        await made.execution.restart()
        await until(lambda: made.execution.of("order"), "the exit sent when it is back")
        assert made.execution.of("order")[0].intent_id == closing.intent_id


async def test_fills_become_positions_and_free_the_reservation(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.ask()
        fill = o.Fill(
            trade_id="1",
            client_order_id="t1",
            intent_id=decision.intent_id,
            phase_id="scavenger",
            leg=o.LEG_ENTRY,
            symbol=PERP,
            side=c.SIDE_BUY,
            quantity=decision.quantity,
            price="61234.6",
            fee="0.3",
            fee_currency="USDT",
            realized_pnl="0",
            event_time_ns=START_NS,
        )
        made.execution.post(fill=fill)
        made.execution.post(fill=fill)  # told twice, booked once
        await until(lambda: made.phase.of("fill"), "the fill at the phase")
        held = made.app.book.symbols[PERP]
        assert held.net == Decimal(decision.quantity)
        assert held.stop_price == Decimal("61112.1")
        assert not made.app.book.reservations.entries
        told = made.phase
        await until(lambda: told.of("positions") and told.of("positions")[-1].positions, "the position at the phase")
        assert made.phase.of("positions")[-1].positions[0].shares[0].quantity == decision.quantity
        exit_fill = o.Fill()
        exit_fill.CopyFrom(fill)
        exit_fill.trade_id, exit_fill.leg, exit_fill.side, exit_fill.price = "2", o.LEG_STOP, c.SIDE_SELL, "61112"
        made.execution.post(fill=exit_fill)
        await until(lambda: len(made.phase.of("fill")) == 2, "the stop's fill")
        assert held.net == 0
        assert made.app.book.phases["scavenger"].history.by_setup == {"breakout": (0, 1)}
        await until(lambda: not told.of("positions")[-1].positions, "no position at the phase")


async def test_a_refusal_of_execution_frees_the_reservation(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.ask()
        assert made.app.book.gross_notional > 0
        made.execution.post(
            refusal=e.PlaceRefusal(intent_id=decision.intent_id, reason=c.REASON_JOURNAL_UNAVAILABLE, message="full")
        )
        await until(lambda: made.app.book.gross_notional == 0, "the reservation freed")
        assert not made.app.execution.pending


async def test_an_emergency_flattens_and_latches_until_a_person_arms(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.execution.obeys = False
        equity = made.execution.account.equity
        for step in (1, 2):
            # One wild print trips nothing; the second one confirms it.
            worse = o.Equity()
            worse.CopyFrom(equity)
            worse.equity, worse.drawdown, worse.market_time_ns = "160", "0.2", START_NS + step
            made.execution.post(equity=worse)
            if step == 1:
                await until(lambda: made.app.book.equity.equity == 160, "the print")
                assert made.app.governor.state.risk_level.name == "NORMAL"
        await until(lambda: made.execution.of("act")[-1].posture == c.POSTURE_FLATTEN, "flatten")
        assert (await made.phase.ask()).reason == c.REASON_RISK_LEVEL
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
        assert made.app.governor.state.in_force.name == "HALTED"


async def test_a_lower_latch_of_execution_is_followed(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.execution.account.posture.latch = c.POSTURE_HALTED
        made.execution.post(account=made.execution.account)
        await until(lambda: made.app.latch.posture.name == "HALTED", "the latch")


async def test_a_budget_that_expires_cancels_what_rests(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        await made.phase.close()
        await until(lambda: not made.app.book.phases["scavenger"].connected, "the phase gone")
        made.market.post_step(jump_ns=11_000_000_000)
        await until(
            lambda: [one.phase_id for one in made.execution.of("cancel_entries")][-1:] == ["scavenger"], "the cancel"
        )


async def test_a_stale_price_refuses(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.market.post_step(bid="0", ask="0", jump_ns=6_000_000_000)
        await until(lambda: made.app.now_ns() > made.market.now_ns - 1, "the step")
        decision = await made.phase.ask()
        assert decision.reason == c.REASON_PRICE_STALE
        assert "max=5000" in decision.message


async def test_who_is_not_planned_or_not_himself_is_turned_away(stack: Stack) -> None:
    async with scene(stack) as made:
        hunter = FakePhase(stack, "hunter")
        await hunter.connect(made.policy_hash)
        await until(lambda: hunter.failure, "the refusal")
        assert "hunter is not planned; allowed: scavenger" in hunter.failure
        liar = FakePhase(stack, "sentinel")
        await liar.connect(made.policy_hash, claimed="scavenger")
        await until(lambda: liar.failure, "the refusal")
        assert "'scavenger' by sentinel" in liar.failure
        exposition = made.app.metrics.exposition().decode()
        assert 'titan_brain_phases_refused_total{cause="not_planned"} 1.0' in exposition
        assert 'titan_brain_phases_refused_total{cause="foreign_id"} 1.0' in exposition
        for one in (hunter, liar):
            await one.close()


async def test_what_people_ask(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        taken = await made.phase.ask(intent_id="aaaa-taken")
        refused = await made.phase.ask(intent_id="bbbb-refused", setup_score=0.1)
        picture = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert picture.market_label == "SIMULATED MARKET"
        assert {one.reason: one.count for one in picture.decisions} == {c.REASON_OK: 1, c.REASON_SCORE_TOO_LOW: 1}
        assert picture.phases[0].approved == 1
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(limit=10))
        assert list(listed.decisions) == [refused, taken]
        only = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(approved=True))
        assert list(only.decisions) == [taken]
        explained = await made.cli.call(BRAIN_EXPLAIN_DECISION, b.ExplainDecisionRequest(intent_id="bbbb"))
        assert explained.decision == refused
        for beginning, says in (("zzzz", "no decision"), ("bb", "too short")):
            none = await made.cli.call(BRAIN_EXPLAIN_DECISION, b.ExplainDecisionRequest(intent_id=beginning))
            assert not none.found
            assert says in none.message
        status = json.loads(json.dumps(made.app.status(), default=str))
        assert status["decisions"] == {"OK": 1, "SCORE_TOO_LOW": 1}
        exposition = made.app.metrics.exposition().decode()
        assert "titan_brain_posture 4.0" in exposition
        assert 'titan_brain_guard_verdicts_total{guard="score",verdict="reject"} 1.0' in exposition


async def test_a_foreign_schema_stays_unready_and_cannot_be_armed(stack: Stack) -> None:
    async with scene(stack, migrate=False) as made:
        assert any("no brain schema yet" in reason for reason in made.app.not_ready())
        response = await made.act(c.POSTURE_ARMED)
        assert not response.done
        assert any("no brain schema yet" in line for line in response.preconditions)


async def test_a_file_that_goes_away_does_not_stop_trading(stack_dir: Path) -> None:
    async with scene(Stack(stack_dir)) as made:
        await made.armed()
        await made.phase.ask()
        assert await made.app.store.flush(5.0)
        for name in ("brain.db", "brain.db-wal", "brain.db-shm"):
            (state_folder(made) / name).unlink(missing_ok=True)
        await made.app._database.dispose()
        decision = await made.phase.ask()
        assert decision.approved, decision.message
        await until(lambda: made.app.store.problem, "the problem told")
        picture = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert picture.decisions_unsaved == 1
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(), 10.0)
        assert len(listed.decisions) == 2


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
        await until(lambda: made.app._waiting, "the waiting intent")
        assert not hunter.of("decision")
        scavenger.stream.post(b.SubmitRequest(intent=scavenger.intent()))
        assert made.market.acked == -1
        scavenger.mark(step)
        await until(lambda: made.market.acked == step, "the acknowledgement")
        assert made.execution.of("marker")[-1].step == step
        await until(lambda: hunter.of("decision") and scavenger.of("decision"), "both decisions")
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest())
        assert [one.phase_id for one in listed.decisions] == ["hunter", "scavenger"]


async def test_lockstep_takes_what_execution_says_at_its_marker(stack: Stack) -> None:
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
        assert made.app.book.equity.equity == 200
        made.market.post_step()
        made.execution.post(marker=c.StepMarker(step=1))
        made.phase.mark(1)
        await until(lambda: made.market.acked == 1, "step 1")
        assert made.app.book.equity.equity == 201


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


async def test_acts_that_are_malformed_are_refused(stack: Stack) -> None:
    async with scene(stack) as made:
        for request, says in (
            (b.SetPostureRequest(posture=c.POSTURE_ARMED, nonce="n"), "by: empty"),
            (b.SetPostureRequest(posture=c.POSTURE_ARMED, by="me"), "nonce: empty"),
            (b.SetPostureRequest(by="me"), "posture: 0 is not known; allowed are FLATTEN, HALTED, CLOSE_ONLY, ARMED"),
        ):
            with pytest.raises(RpcError, match=says):
                await made.cli.call(BRAIN_SET_POSTURE, request)


@pytest.mark.parametrize(
    ("description", "settings", "says"),
    [
        ("no policy", {"policy_file": ""}, "policy_file is missing"),
        ("a policy that is none", {"policy_file": "broken"}, "holds no policy"),
        ("an unknown phase", {"phases": ("ghost",)}, "phases: 'ghost' is not known; allowed are scavenger, hunter"),
        ("leverage below one", {"margin_leverage": {"scavenger": "0.5"}}, "0.5 is below 1"),
    ],
)
async def test_settings_that_cannot_be(stack: Stack, description: str, settings: dict[str, object], says: str) -> None:
    made = Scene(stack, False, ("scavenger",))
    if settings.get("policy_file") == "broken":
        path = stack.directory / "broken.json"
        path.write_text('{"modes": ["paper"]}')
        settings = {"policy_file": str(path)}
    common = {"policy_file": str(made.policy_file)}
    with pytest.raises(StartError, match=says):
        BrainApp(stack.settings(BrainSettings, "brain", **{**common, **settings}))
    await made.cli.close()


async def test_a_term_that_cannot_be_read_stops_the_start(stack: Stack) -> None:
    made = Scene(stack, False, ("scavenger",))
    (state_folder(made) / "term").write_text("many")
    with pytest.raises(StartError, match="holds no term"):
        BrainApp(made.settings)
    await made.cli.close()


async def test_the_port_that_is_taken_is_named(stack: Stack) -> None:
    async with scene(stack) as made:
        other = Scene(stack, False, ("scavenger",))
        taken = stack.settings(
            BrainSettings, "brain", policy_file=str(other.policy_file), http_port=stack.http_ports["cli"]
        )
        with pytest.raises(StartError, match=f"grpc_port: 127.0.0.1:{stack.grpc_ports['brain']}"):
            async with running(BrainApp(taken)):
                pass
        await other.cli.close()
        assert made.app.term == 1
