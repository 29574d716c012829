"""Execution is killed at each record of its journal and comes back: the venue's own records stay right."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from contextlib import AsyncExitStack
from decimal import Decimal

import pytest

from support.processes.execution_process import ExecutionProcess
from support.processes.execution_scene import Scene, scene
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.enums import OrderRole, OrderState, Posture
from titan.domain.protection import covered, open_lots
from titan.execution.app import ExecutionApp
from titan.runtime.process import running
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e

# Every boundary belongs to `make chaos`; a sample of them to `make test`.
EVERY = "TITAN_CHAOS" in os.environ


async def arm(made: Scene) -> None:
    """Arm as a person does: where no answer comes, repeat the act with another nonce."""
    for attempt in itertools.count(1):
        await made.ready()
        act = e.PostureAct(posture=c.POSTURE_ARMED, by="test", reason="t", nonce=f"n{attempt}", term=1, act_id=attempt)
        made.brain.post(act=act)
        await until(lambda number=attempt: made.answered(number) or made.brain.account is None, "answer or loss")
        if made.answered(attempt):
            return


async def story(made: Scene) -> None:
    """An entry, a resting entry that expires, part of an exit, the target: about forty records."""
    await made.market.step(count=3)
    await arm(made)
    made.brain.place("i1", quantity="0.004")
    await made.market.step(count=4)
    made.brain.place(
        "i2",
        order_type=c.ORDER_TYPE_LIMIT,
        time_in_force=c.TIME_IN_FORCE_GTC,
        limit_price="59500",
        event_time_ns=made.market.now_ns,
        ttl_ns=400_000_000,
    )
    await made.market.step(count=3)
    made.brain.exit("x1", "0.002")
    await made.market.step(count=5)
    await made.market.step(price=61100, count=6)


def check_venue(made: Scene) -> None:
    """Check the venue's records: these must hold wherever the process was killed."""
    made.check_equal()
    session = made.session
    sent = Counter(
        order.intent_id for order in session.store.account.orders.values() if order.order_role is OrderRole.ENTRY
    )
    assert all(count == 1 for count in sent.values()), "an entry is never sent twice"
    bought = sum(o.filled_quantity for o in made.venue_orders().values() if o.side.name == "BUY")
    assert bought in (Decimal(0), Decimal("0.004")), "none doubled"
    for lot in open_lots(session.store.account):
        assert covered(session.store.account, lot), "every open position has its stop"
    assert session.posture.latch.posture <= Posture.ARMED
    assert all(order.state is not OrderState.UNKNOWN for order in session.store.account.orders.values())


async def crash_and_recover(stack: Stack, after: str, at: int) -> tuple[Scene, bool]:
    """Play the story; Execution dies at the given point and is replaced. Return the scene, and whether it died."""
    async with AsyncExitStack() as closing:
        made = await closing.enter_async_context(scene(stack, app=False))
        first = ExecutionProcess(stack, made.settings, after, at)
        await first.start()
        closing.push_async_callback(first.end)
        await made.brain.start()
        closing.push_async_callback(made.brain.stop)

        died = asyncio.ensure_future(first.died())
        await asyncio.wait([died, asyncio.ensure_future(made.ready())], return_when=asyncio.FIRST_COMPLETED)
        playing = asyncio.ensure_future(play(made))
        await asyncio.wait([died, playing], return_when=asyncio.FIRST_COMPLETED)
        crashed = died.done()
        if not crashed:
            assert first.process is not None
            first.process.terminate()
            assert await died == 0, first.log()
        made.app = ExecutionApp(made.settings)
        await closing.enter_async_context(running(made.app))
        await playing
        app = made.app
        await until(lambda: not app.not_ready(), lambda: app.not_ready())
        check_venue(made)
        return made, crashed


async def play(made: Scene) -> None:
    await made.ready()
    await story(made)


async def test_the_story_without_a_crash(stack: Stack) -> None:
    made, crashed = await crash_and_recover(stack, "record", 0)
    assert not crashed
    assert made.venue_position() == 0


@pytest.mark.parametrize("at", range(1, 26, 1 if EVERY else 3))
async def test_killed_after_a_journal_record(stack: Stack, at: int) -> None:
    _, crashed = await crash_and_recover(stack, "record", at)
    assert crashed, "the story has fewer records than this"


@pytest.mark.parametrize("after", ["send", "before send", "sync"])
@pytest.mark.parametrize("at", range(1, 5) if EVERY else (1, 3))
async def test_killed_around_a_send(stack: Stack, after: str, at: int) -> None:
    _, crashed = await crash_and_recover(stack, after, at)
    assert crashed, "the story has fewer of these"


async def test_stopped_between_journal_and_send_while_another_takes_over(stack: Stack) -> None:
    async with AsyncExitStack() as closing:
        made = await closing.enter_async_context(scene(stack, app=False, lease_s=1.0))
        # The first send is the entry's.
        first = ExecutionProcess(stack, made.settings, "before send", 1, stop=True)
        await first.start()
        closing.push_async_callback(first.end)
        await made.brain.start()
        closing.push_async_callback(lambda: made.brain.stop())
        playing = asyncio.ensure_future(play(made))
        await until(first.stopped, "the first Execution is stopped")
        # Its sockets stay open; a second one serves Brain elsewhere, as a service's address would be moved.
        await made.move_execution()
        made.app = ExecutionApp(made.settings)
        await closing.enter_async_context(running(made.app))
        await playing
        first.resume()
        assert await first.died() == 1, "the one that lost the lease ends by itself"
        assert "lease of term 1 is lost" in first.log()
        check_venue(made)
        entry = made.session.store.account.first_results["i1", 1]
        assert entry not in made.venue_orders(), "the request that it was stopped in never reaches the venue"
        assert made.session.store.account.orders[str(entry)].state is OrderState.LOST
