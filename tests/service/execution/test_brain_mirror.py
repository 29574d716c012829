"""What Brain mirrors: the account with its cut, the digest, the answer to a difference, and whose Brain it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from support.processes.execution_neighbors import PERP, Brain
from support.processes.execution_scene import Scene, scene
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.enums import DriftClass
from titan.domain.journal_records import Adoption
from titan.domain.mirror_digest import digest, mirror_lines, reported_orders
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e


@pytest.fixture
async def held(stack: Stack) -> AsyncIterator[Scene]:
    """A position of two entries, each with its own stop at the venue."""
    async with scene(stack) as made:
        made.brain.place("i1")
        await made.market.step(count=3)
        made.brain.place("i2", stop_price="58000")
        await made.market.step(count=3)
        yield made


def lines(made: Scene) -> list[str]:
    account = made.session.store.account
    return mirror_lines(account.positions, reported_orders(account.working.values()))


def events(brain: Brain) -> list[int]:
    return [message.sequence for message in brain.received if message.sequence]


async def test_the_digest_is_that_of_the_account_once_a_second_of_market_time(held: Scene) -> None:
    before = len(held.brain.digests())
    await held.market.step(count=45)
    await until(lambda: len(held.brain.digests()) >= before + 2, "two digests")
    assert len(held.brain.digests()) <= before + 4
    assert held.brain.digests()[-1].sha256 == digest(lines(held))
    assert held.brain.digests()[-1].sequence <= held.session.store.journal.last_sequence
    assert events(held.brain) == sorted(events(held.brain))


async def test_the_account_of_a_reconnect_names_its_cut_and_answers_what_was_asked(held: Scene) -> None:
    held.brain.sent["i1"] = held.brain.order("i1")
    held.brain.sent["never-sent"] = held.brain.order("never-sent", stop_price="")
    held.session.brain._stream.close()  # type: ignore[union-attr]
    await until(lambda: held.brain.account is None, "the stream is lost")
    await held.ready()
    account = held.brain.account
    assert account is not None
    assert account.sequence >= max(events(held.brain))
    assert [order.intent_id for order in account.answered] == ["i1"]
    assert [lot.stop_price for lot in account.positions[0].lots] == ["59000", "58000"]
    assert account.positions[0].stop_price == "58000", "the farthest stop"
    assert (account.positions[0].stop_quantity, account.positions[0].quantity) == ("0.004", "0.004")
    assert {trip.entered_quantity for trip in account.open_trips} == {"0.004"}
    refusal = await held.brain.refusal("never-sent")
    assert refusal.reason == c.REASON_STOP_MISSING


async def test_a_view_that_differs_is_journalled_with_both_sides_and_replaced(held: Scene) -> None:
    await held.market.step(count=21)
    found = held.brain.digests()[-1]
    ours = lines(held)
    wrong = [*ours[1:], "net ETH/USDT:USDT 7"]
    accounts = sum(message.HasField("account") for message in held.brain.received)
    held.brain.post(mirror_drift=e.MirrorDrift(sequence=found.sequence, lines=wrong))
    await until(
        lambda: sum(message.HasField("account") for message in held.brain.received) == accounts + 1, "a fresh account"
    )
    truth = held.session.reconciler.truth
    (drift,) = truth.drifts
    assert (drift.drift_class, drift.resolved) == (DriftClass.MIRROR, True)
    assert (drift.ours, drift.venues) == (ours[0], "net ETH/USDT:USDT 7")
    assert truth.score == 80
    assert held.brain.account is not None
    assert held.brain.account.truth.score == 80


async def test_an_adoption_replaces_brain_s_account(held: Scene) -> None:
    """No order and no fill tells of it: Brain would count the old position until it reconnects."""
    accounts = sum(message.HasField("account") for message in held.brain.received)
    held.session.store.write(Adoption(symbol="ETH/USDT:USDT", quantity=Decimal(1), average_entry_price=Decimal(2000)))
    held.session.reconciler.request_pass("the test changed the account")
    await until(
        lambda: sum(message.HasField("account") for message in held.brain.received) > accounts, "a fresh account"
    )
    assert held.brain.account is not None
    assert [position.symbol for position in held.brain.account.positions] == [PERP]


async def test_shares_that_oppose_each_other_are_found_and_repaired(held: Scene) -> None:
    positions = held.session.store.account.positions
    positions.shares["hunter", PERP] = positions.shares["scavenger", PERP]
    held.session.reconciler.request_pass("the test changed the account")
    await until(lambda: positions.shares_agree(PERP), "the repair")
    assert any(drift.drift_class is DriftClass.SHARES for drift in held.session.reconciler.truth.drifts)


async def test_a_brain_with_a_stale_term_waits_for_the_silence_of_the_one_that_decides(stack: Stack) -> None:
    async with scene(stack, brain_silence_s=1.5) as made:
        await made.brain.stop()
        holder = Brain(stack, made.policy_hash, term=4, brain_id="holder")
        await holder.start()
        await until(lambda: holder.account is not None, "the holder has the account")
        others = [
            Brain(stack, made.policy_hash, term=1, brain_id="lost its folder"),
            Brain(stack, made.policy_hash, term=4, brain_id="of the same term"),
        ]
        for other in others:
            await other.start()
            await until(lambda other=other: len(other.stale_terms()) >= 3, "refused again and again")
            assert {(one.highest_term, one.may_rise) for one in other.stale_terms()} == {(4, False)}
            assert other.account is None
        assert made.session.brain._told_stale == {"lost its folder", "of the same term"}, "each is logged once"
        await holder.stop()
        for other in others:
            await until(lambda other=other: other.stale_terms()[-1].may_rise, "the holder is silent")
        others[0].term = 5
        await until(lambda: others[0].account is not None, "the next term is obeyed")
        await until(lambda: others[1].stale_terms()[-1].highest_term == 5, "the other waits for this one now")
        for other in others:
            await other.stop()
