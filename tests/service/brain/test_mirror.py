"""Brain's mirror of Execution over the wire: digests, answered intents, stale terms, totals over restarts."""

from __future__ import annotations

from support.processes.brain_scene import PERP, START_NS, FakeExecution, scene, state_folder, until
from support.stack.local_processes import Stack
from titan.domain.mirror_digest import digest
from titan.runtime.rpc.contract import BRAIN_GET_BRAIN
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o


def sent_order(intent_id: str, quantity: str, **fields: object) -> o.Order:
    return o.Order(
        client_order_id=f"t-{intent_id}",
        intent_id=intent_id,
        phase_id="scavenger",
        order_role=o.ORDER_ROLE_ENTRY,
        attempt=1,
        symbol=PERP,
        side=c.SIDE_BUY,
        type=c.ORDER_TYPE_MARKET,
        time_in_force=c.TIME_IN_FORCE_IOC,
        quantity=quantity,
        state=o.ORDER_STATE_SENT,
        reason=c.REASON_OK,
        created_ns=START_NS,
        updated_ns=START_NS,
        **fields,  # type: ignore[arg-type]
    )


def position(quantity: str) -> o.Position:
    return o.Position(
        symbol=PERP,
        quantity=quantity,
        average_entry_price="61234.6",
        shares=[o.PhaseShare(phase_id="scavenger", quantity=quantity, average_entry_price="61234.6")],
        lots=[o.Lot(intent_id="i", phase_id="scavenger", quantity=quantity, stop_price="61112.1")],
    )


def mismatch(execution: FakeExecution) -> None:
    execution.post(digest=e.MirrorDigest(sequence=9, sha256="0" * 64))


async def test_a_digest_that_differs_stops_openings_until_a_fresh_account(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        made.execution.post(digest=e.MirrorDigest(sequence=8, sha256=digest([])))
        assert (await made.phase.submit()).approved
        mismatch(made.execution)
        mismatch(made.execution)
        await until(lambda: made.execution.of("mirror_drift"), "the difference reported")
        refused = await made.phase.submit()
        assert (refused.approved, refused.reason) == (False, c.REASON_UNRESOLVED_DRIFT)
        (drift,) = made.execution.of("mirror_drift")
        assert (drift.sequence, list(drift.lines)) == (9, [])
        assert list(drift.unanswered_intent_ids) == ["scavenger-intent-0001"]
        made.execution.post(account=made.execution.account)
        await until(lambda: not made.app.risk_state.mirror_problem, "the mirror rebuilt")
        assert (await made.phase.submit()).approved


async def test_an_order_of_any_age_ends_with_the_account_that_answers_it(stack: Stack) -> None:
    """The stream broke before its fill was reported: the account contains it, and it is not among the day's intents."""
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.submit()
        account, order = made.execution.account, sent_order(decision.intent_id, decision.quantity)
        order.state, order.filled_quantity = o.ORDER_STATE_FILLED, decision.quantity
        account.sequence = 12
        account.positions.append(position(decision.quantity))
        account.answered.append(order)
        await made.execution.restart()
        await until(lambda: made.app.risk_state.symbols[PERP].net, "the account with the position")
        assert list(made.execution.of("hello")[-1].unanswered_intent_ids) == [decision.intent_id]
        state = made.app.risk_state
        assert (state.reservations.entries, made.app.execution.pending) == ({}, {})
        assert state.gross_notional == state.symbols[PERP].net * state.symbols[PERP].mid
        assert not [one for one in made.execution.of("order") if one.attempt > 1]
        assert len(made.execution.of("order")) == 1, "not sent again"
        await until(lambda: made.phase.of("order"), "the phase is told")
        # Events that the account contains change nothing.
        made.execution.post(order=sent_order(decision.intent_id, decision.quantity), sequence=11)
        made.execution.post(digest=e.MirrorDigest(sequence=12, sha256=digest(state.mirror.lines())))
        await made.phase.submit(setup_score=0.1)
        assert (state.reservations.entries, state.mirror_problem) == ({}, "")


async def test_a_refusal_in_the_account_frees_the_reservation(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.submit()
        made.execution.account.refused.append(
            e.PlaceRefusal(intent_id=decision.intent_id, reason=c.REASON_PRICE_STALE, message="too old", attempt=1)
        )
        await made.execution.restart()
        await until(lambda: not made.app.execution.pending, "answered")
        assert made.app.risk_state.gross_notional == 0


async def test_a_brain_without_its_state_waits_and_then_takes_the_next_term(stack: Stack) -> None:
    def refuse(made: object) -> None:
        made.execution.stale = e.StaleTerm(highest_term=6, may_rise=True)  # type: ignore[attr-defined]

    async with scene(stack, before=refuse) as made:
        assert [hello.term for hello in made.execution.of("hello")] == [1, 7]
        assert (state_folder(made) / "term").read_text() == "7\n"
        await made.armed()
        assert (await made.phase.submit()).term == 7
        assert made.execution.of("order")[0].term == made.app.controller.state.term == 7
        # Another one decides now: this one waits, and asks without haste.
        made.execution.stale = e.StaleTerm(highest_term=8, may_rise=False)
        await made.execution.restart()
        await until(lambda: made.app.execution.stale, "told to wait")
        assert "term 8" in made.app.execution.stale
        assert "this one has term 7" in made.app.not_ready()[0]
        assert not made.app.execution.connected
        made.execution.stale = e.StaleTerm(highest_term=8, may_rise=True)
        await until(lambda: made.app.execution.connected, "the other one is silent")
        assert made.app.term == 9
        hellos = [hello.term for hello in made.execution.of("hello")]
        assert hellos[:2] + hellos[-1:] == [1, 7, 9]
        assert len({hello.brain_id for hello in made.execution.of("hello")}) == 1


async def test_totals_count_the_decisions_of_earlier_lives(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        await made.phase.submit(intent_id="first-life-1")
        await made.phase.submit(intent_id="first-life-2", setup_score=0.1)
    async with scene(stack, migrate=False) as made:
        made.market.post_step()
        await until(lambda: made.app.now_ns(), "market time")
        await made.phase.submit(intent_id="first-life-1")
        await made.phase.submit(intent_id="second-life")
        brain = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
    assert brain.intents == 3
    counts = {c.Reason.Name(one.reason): one.count for one in brain.decisions}
    assert sum(counts.values()) == 3
    assert (counts["REASON_OK"], counts["REASON_SCORE_TOO_LOW"]) == (1, 1)
    (phase,) = brain.phases
    assert (phase.intents, phase.approved) == (3, 1)
