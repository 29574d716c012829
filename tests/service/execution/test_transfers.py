"""Transfers at the paper venue and rebases: the drawdown stays by the one and ends by the other, over restarts too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from support.processes.execution_scene import Scene, scene
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.journal_records import PeakMove, Record
from titan.execution.app import ExecutionApp
from titan.execution.journalled_account import open_journal
from titan.runtime.process import running
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import EXECUTION_REBASE_PEAK, PAPERVENUE_TRANSFER
from titan.runtime.rpc.errors import RpcError
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import venue_pb2 as v

D = Decimal


@pytest.fixture
async def armed(stack: Stack) -> AsyncIterator[Scene]:
    async with scene(stack) as made:
        yield made


async def transfer(made: Scene, transfer_id: str, amount: str) -> v.TransferResponse:
    channel = RpcChannel(made.stack.client("cli"), "papervenue")
    try:
        return await channel.call(PAPERVENUE_TRANSFER, v.TransferRequest(transfer_id=transfer_id, amount=amount))
    finally:
        await channel.close()


async def rebase(made: Scene, nonce: str = "n1", reason: str = "after the crash") -> e.RebasePeakResponse:
    channel = RpcChannel(made.stack.client("cli"), "execution")
    try:
        request = e.RebasePeakRequest(by="olaf", reason=reason, nonce=nonce)
        return await channel.call(EXECUTION_REBASE_PEAK, request)
    finally:
        await channel.close()


async def hold_with_a_drawdown(made: Scene) -> None:
    """0.002 BTC bought at 60,000, and the price 400 lower, printed twice."""
    made.brain.place("i1")
    await made.market.step(count=4)
    await made.market.step(price=59600, count=2)
    assert made.session.valuer.value().drawdown > D("0.003")


async def test_transfers_change_neither_drawdown_nor_profit(armed: Scene) -> None:
    await hold_with_a_drawdown(armed)
    before = armed.session.valuer.value()
    for transfer_id, amount, deposits in (("a", "-150", 50), ("b", "1000", 1050), ("b", "1000", 1050)):
        response = await transfer(armed, transfer_id, amount)
        assert (response.done, response.deposits) == (True, str(deposits))
        await until(lambda total=deposits: armed.session.valuer.value().net_deposits == total, "the transfer")
        after = armed.session.valuer.value()
        moved = deposits - 200
        assert abs(after.drawdown - before.drawdown) < D("1e-9")
        assert after.equity == before.equity + moved
        assert after.equity - after.day_start_equity == before.equity - before.day_start_equity
        assert (after.realized_pnl, after.unrealized_pnl) == (before.realized_pnl, before.unrealized_pnl)
    await armed.market.step(count=2)
    (*_, told) = (message.equity for message in armed.brain.received if message.HasField("equity"))
    assert (told.net_deposits, D(told.confirmed_equity)) == ("1050", before.equity + 850)
    assert armed.session.reconciler.truth.score == 100
    armed.check_equal()


async def test_brain_follows_a_transfer_after_the_end_of_the_market(armed: Scene) -> None:
    """No step of lockstep follows that would bring it."""
    await hold_with_a_drawdown(armed)
    await armed.market.step(end=True)
    before = armed.session.valuer.value()
    assert (await transfer(armed, "a", "1000")).done

    def told() -> list[e.PlaceResponse]:
        return [one for one in armed.brain.received if one.HasField("equity") and one.equity.net_deposits == "1200"]

    await until(lambda: bool(told()), "the transfer at Brain")
    assert D(told()[-1].equity.equity) == before.equity + 1000
    assert len(told()) == 1, "and nothing is sent while nothing changes"


async def test_a_transfer_while_execution_is_away_is_settled_with_the_first_known_equity(stack: Stack) -> None:
    async with scene(stack, app=False) as made:
        first = ExecutionApp(made.settings)
        async with running(first):
            made.app = first
            await made.brain.start()
            await made.ready()
            await made.market.step(count=3)
            await made.arm()
            await hold_with_a_drawdown(made)
            before = made.session.valuer.value()
        await made.move_execution()
        assert (await transfer(made, "a", "-150")).done
        second = ExecutionApp(made.settings)
        async with running(second):
            made.app = second
            await made.ready()
            account = made.session.store.account
            assert account.ledger.net_deposits() == {"USDT": D(50)}
            await made.market.step(price=59600, count=3)
            after = made.session.valuer.value()
            assert abs(after.drawdown - before.drawdown) < D("1e-9")
            assert account.peak.unsettled == 0
            await made.brain.stop()


async def test_a_withdrawal_beyond_what_is_free_is_refused_and_moves_nothing(armed: Scene) -> None:
    await hold_with_a_drawdown(armed)
    refused = await transfer(armed, "a", "-199")
    assert (refused.done, refused.reason) == (False, c.REASON_INSUFFICIENT_MARGIN)
    assert armed.venue.venue.account().deposits == 200
    with pytest.raises(RpcError, match="amount: 0 is not allowed"):
        await transfer(armed, "b", "0")


async def test_a_rebase_needs_a_flat_disarmed_account_and_works_once(armed: Scene) -> None:
    await hold_with_a_drawdown(armed)
    held = await rebase(armed)
    assert (held.done, held.reason) == (False, c.REASON_PRECONDITION)
    assert [problem.split(":")[0] for problem in held.preconditions] == ["latch", "open positions", "working orders"]
    armed.brain.post(act=e.PostureAct(posture=c.POSTURE_FLATTEN, by="test", reason="crash", term=1, act_id=9))
    while armed.session.posture.latch.posture.name != "HALTED":
        await armed.market.step()
    with pytest.raises(RpcError, match="reason: '' is not allowed"):
        await rebase(armed, reason=" ")
    before = armed.session.valuer.value()
    assert before.drawdown > D("0.003"), "a flat account's drawdown does not shrink"
    done = await rebase(armed)
    assert done.done, done
    assert D(done.high_water_mark_before) == before.high_water_mark
    after = armed.session.valuer.value()
    assert (after.drawdown, after.high_water_mark) == (0, before.equity)
    assert after.day_start_equity == before.day_start_equity, "the day's loss stays"
    assert armed.session.posture.latch.posture.name == "HALTED", "arming is another act"
    again = await rebase(armed)
    assert (again.done, again.reason) == (False, c.REASON_NONCE_USED)
    assert any(
        message.HasField("equity") and message.equity.drawdown == "0" and D(message.equity.equity) == before.equity
        for message in armed.brain.received
    ), "Brain is told at once"


async def test_a_rebase_is_journalled_with_its_person(stack: Stack) -> None:
    async with scene(stack, armed=False) as made:
        await made.market.step(price=60000, count=2)
        assert (await rebase(made, "n7", "a drill")).done
        journal = made.session.store.journal
        assert journal.synced_sequence == journal.last_sequence
    records: list[Record] = []
    folder = Path(made.settings.state_dir) / "journal"
    journal, account, _, _ = open_journal(folder, lambda _: None, lambda _, record, __: records.append(record))
    journal.close()
    moves = [record.fact for record in records if isinstance(record.fact, PeakMove)]
    assert [(move.by, move.reason, move.nonce) for move in moves] == [("olaf (cli)", "a drill", "n7")]
    assert account.rebases == {"n7"}
