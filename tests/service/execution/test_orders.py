"""Execution over real gRPC: accepted orders, refusals, and the requests that reach the venue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from support.processes.execution_neighbors import PERP
from support.processes.execution_scene import Scene, scene
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.enums import OrderRole, OrderState
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c

OTHER_HASH = "sha256:" + "0" * 64


@pytest.fixture
async def armed(stack: Stack) -> AsyncIterator[Scene]:
    async with scene(stack) as made:
        yield made


async def test_an_entry_is_filled_and_gets_its_stop_and_target(armed: Scene) -> None:
    armed.brain.place("i1")
    await armed.market.step(count=5)
    account = armed.session.store.account
    assert armed.venue_position() == Decimal("0.002")
    order_roles = {order.order_role: order for order in account.working.values()}
    assert {order_role: order.state for order_role, order in order_roles.items()} == {
        OrderRole.STOP: OrderState.ACKED,
        OrderRole.TARGET: OrderState.ACKED,
    }
    assert (order_roles[OrderRole.STOP].trigger_price, order_roles[OrderRole.STOP].quantity) == (
        Decimal(59000),
        Decimal("0.002"),
    )
    assert len(armed.brain.fills()) == 1
    armed.check_equal()


async def test_a_target_closes_the_trade_and_the_stop_is_canceled(armed: Scene) -> None:
    armed.brain.place("i1")
    await armed.market.step(count=4)
    await armed.market.step(price=61100, count=4)
    assert armed.venue_position() == 0
    assert armed.venue_working() == []
    (trip,) = armed.session.store.account.round_trips
    assert trip.realized_pnl > 0
    assert (trip.setup, trip.intent_id) == ("trap", "i1")
    equity = armed.session.valuer.value()
    assert equity.equity == Decimal(200) + trip.realized_pnl - trip.fees
    armed.check_equal()


async def test_a_stop_closes_the_trade(armed: Scene) -> None:
    armed.brain.place("i1")
    await armed.market.step(count=4)
    await armed.market.step(price=58900, count=4)
    assert (armed.venue_position(), armed.venue_working()) == (0, [])
    assert armed.session.store.account.round_trips[0].realized_pnl < 0
    armed.check_equal()


async def test_a_foreign_hash_opens_nothing_and_still_reduces(armed: Scene) -> None:
    armed.brain.place("i1")
    await armed.market.step(count=4)
    before = set(armed.venue_orders())
    armed.brain.place("i2", policy_hash=OTHER_HASH)
    refusal = await armed.brain.refusal("i2")
    assert refusal.reason == c.REASON_POLICY_HASH_MISMATCH
    assert OTHER_HASH in refusal.message
    assert armed.policy_hash in refusal.message
    await armed.market.step(count=2)
    assert set(armed.venue_orders()) == before, "nothing reached the venue"
    armed.brain.exit("x1", policy_hash=OTHER_HASH)
    await armed.market.step(count=4)
    assert armed.venue_position() == 0
    armed.check_equal()


async def test_a_brain_of_another_policy_opens_nothing(stack: Stack) -> None:
    async with scene(stack, connect=False) as made:
        made.brain.policy_hash = OTHER_HASH
        await made.brain.start()
        await made.ready()
        await made.market.step(count=3)
        await made.arm()
        made.brain.place("i1", policy_hash=made.policy_hash)
        refusal = await made.brain.refusal("i1")
        assert refusal.reason == c.REASON_POLICY_HASH_MISMATCH
        assert OTHER_HASH in refusal.message
        await made.market.step()
        assert made.venue_orders() == {}
        await made.brain.stop()


@pytest.mark.parametrize(
    ("description", "fields", "reason", "detail"),
    [
        ("no stop", {"stop_price": ""}, c.REASON_STOP_MISSING, "stop_price"),
        ("a stop on the wrong side", {"stop_price": "60900"}, c.REASON_INVALID_INTENT, "below the price"),
        ("an unknown symbol", {"symbol": "DOGE/USDT"}, c.REASON_UNKNOWN_SYMBOL, "DOGE/USDT"),
        ("a symbol without a price", {"symbol": "ETH/USDT:USDT"}, c.REASON_PRICE_STALE, "no price"),
        ("a negative size", {"quantity": "-1"}, c.REASON_INVALID_INTENT, "quantity: '-1'"),
        ("NaN", {"quantity": "NaN"}, c.REASON_INVALID_INTENT, "quantity: 'NaN'"),
        ("no size", {"quantity": ""}, c.REASON_INVALID_INTENT, "quantity: ''"),
        ("a float's spelling", {"quantity": "2e-3"}, c.REASON_INVALID_INTENT, "'2e-3'"),
        ("off the step", {"quantity": "0.0025"}, c.REASON_QUANTITY_STEP, "0.001"),
        ("below the minimum", {"quantity": "0.001"}, c.REASON_BELOW_MINIMUM, "100"),
        ("no side", {"side": 0}, c.REASON_INVALID_INTENT, "side: 0"),
        ("a limit order without a price", {"order_type": c.ORDER_TYPE_LIMIT}, c.REASON_INVALID_INTENT, "limit_price"),
        ("off the tick", {"order_type": c.ORDER_TYPE_LIMIT, "limit_price": "60000.01"}, c.REASON_PRICE_TICK, "0.1"),
        (
            "a trigger order as an entry",
            {"order_type": c.ORDER_TYPE_STOP_MARKET},
            c.REASON_INVALID_INTENT,
            "STOP_MARKET",
        ),
        ("too late", {"ttl_ns": 1}, c.REASON_EXPIRED, "ttl_ms"),
        (
            "reducing, with nothing to reduce",
            {"position_effect": b.POSITION_EFFECT_REDUCING},
            c.REASON_NOT_REDUCING,
            "can be reduced=0",
        ),
        ("a stale term", {"term": 0}, c.REASON_STALE_TERM, "term=0"),
    ],
)
async def test_refusals(stack: Stack, description: str, fields: dict[str, Any], reason: int, detail: str) -> None:
    async with scene(stack) as made:
        made.brain.place("i1", **fields)
        refusal = await made.brain.refusal("i1")
        assert refusal.reason == reason, f"{description}: {refusal}"
        assert detail in refusal.message
        await made.market.step(count=2)
        assert made.venue_orders() == {}


async def test_a_repeated_request_gets_the_first_result(armed: Scene) -> None:
    armed.brain.place("i1")
    armed.brain.place("i1")
    armed.brain.place("i2", stop_price="")
    first = await armed.brain.refusal("i2")
    armed.brain.place("i2")
    await until(lambda: len(armed.brain.refusals()) == 2, "the refusal again")
    assert armed.brain.refusals()[1].message == first.message
    await armed.market.step(count=4)
    entries = [order for order in armed.venue_orders().values() if not order.reduce_only]
    assert len(entries) == 1
    assert armed.venue_position() == Decimal("0.002")


async def test_orders_of_an_earlier_brain_are_refused_once_a_later_one_was_seen(armed: Scene) -> None:
    armed.brain.place("i1", term=7)
    armed.brain.place("i2", term=6)
    refusal = await armed.brain.refusal("i2")
    assert refusal.reason == c.REASON_STALE_TERM
    assert "6" in refusal.message
    assert "7" in refusal.message


async def test_an_unarmed_posture_opens_nothing_and_still_reduces(armed: Scene) -> None:
    armed.brain.place("i1")
    await armed.market.step(count=4)
    armed.brain.posture = c.POSTURE_CLOSE_ONLY
    armed.brain.post(heartbeat=armed.brain.heartbeat().heartbeat)
    armed.brain.place("i2")
    refusal = await armed.brain.refusal("i2")
    assert refusal.reason == c.REASON_POSTURE
    assert "CLOSE_ONLY" in refusal.message
    armed.brain.exit("x1")
    await armed.market.step(count=4)
    assert armed.venue_position() == 0


async def test_a_new_state_is_close_only(stack: Stack) -> None:
    async with scene(stack, armed=False) as made:
        made.brain.place("i1")
        assert (await made.brain.refusal("i1")).reason == c.REASON_POSTURE


async def test_entries_rest_until_their_time_is_over(armed: Scene) -> None:
    limit = {"order_type": c.ORDER_TYPE_LIMIT, "time_in_force": c.TIME_IN_FORCE_GTC, "limit_price": "59500"}
    armed.brain.place("i1", **limit, event_time_ns=armed.market.now_ns, ttl_ns=400_000_000)
    await armed.market.step(count=4)
    assert len(armed.venue_working()) == 1
    await armed.market.step(count=8)
    assert armed.venue_working() == []
    (order,) = armed.session.store.account.orders.values()
    assert (order.state, order.reason.name) == (OrderState.CANCELED, "EXPIRED")


@pytest.mark.parametrize("how", ["cancel_entries", "posture", "silence", "tighten"])
async def test_resting_entries_are_canceled(stack: Stack, how: str) -> None:
    async with scene(stack, brain_silence_s=1.5) as made:
        made.brain.place("i1", order_type=c.ORDER_TYPE_LIMIT, time_in_force=c.TIME_IN_FORCE_GTC, limit_price="59500")
        await made.market.step(count=3)
        assert len(made.venue_working()) == 1
        if how == "cancel_entries":
            made.brain.post(cancel_entries={"phase_id": "scavenger", "reason": "budget expired"})
        elif how == "posture":
            made.brain.posture = c.POSTURE_HALTED
        elif how == "silence":
            made.brain.beating = False
            await until(lambda: made.session.posture.brain_silent, "Brain is silent")
        else:
            from titan.runtime.rpc.client import RpcChannel
            from titan.runtime.rpc.contract import EXECUTION_TIGHTEN
            from titan.v1 import execution_pb2 as e

            channel = RpcChannel(made.stack.client("cli"), "execution")
            answer = await channel.call(
                EXECUTION_TIGHTEN, e.TightenRequest(posture=c.POSTURE_CLOSE_ONLY, by="me", reason="test")
            )
            await channel.close()
            assert (answer.result.done, answer.result.latch) == (True, c.POSTURE_CLOSE_ONLY)
        await until(lambda: made.session.sender.flight.cancels, "cancel in flight")
        made.brain.beating = True
        await made.market.step(count=3)
        assert made.venue_working() == []


async def test_a_reducing_quantity_must_fit_the_share_less_exits_in_flight(armed: Scene) -> None:
    armed.brain.place("i1", quantity="0.004")
    await armed.market.step(count=4)
    armed.brain.exit("x1", "0.003")
    armed.brain.exit("x2", "0.002")
    refusal = await armed.brain.refusal("x2")
    assert refusal.reason == c.REASON_NOT_REDUCING
    assert "can be reduced=0.001" in refusal.message
    armed.brain.exit("x3", "0.001", phase_id="hunter")
    assert (await armed.brain.refusal("x3")).reason == c.REASON_NOT_REDUCING
    armed.brain.exit("x4", "0.001")
    await armed.market.step(count=4)
    assert armed.venue_position() == 0
    assert armed.venue_working() == []
    armed.check_equal()


async def test_flatten_closes_everything_and_ends_halted(armed: Scene) -> None:
    armed.brain.place("i1")
    await armed.market.step(count=4)
    armed.brain.place("i2", order_type=c.ORDER_TYPE_LIMIT, time_in_force=c.TIME_IN_FORCE_GTC, limit_price="59500")
    await armed.market.step(count=2)
    armed.brain.post(act={"posture": c.POSTURE_FLATTEN, "by": "me", "reason": "panic", "term": 1, "act_id": 9})
    for _ in range(60):
        await armed.market.step()
        if armed.session.posture.latch.posture.name == "HALTED":
            break
    assert armed.session.posture.latch.posture.name == "HALTED"
    assert (armed.venue_position(), armed.venue_working()) == (0, [])

    def answers() -> list[Any]:
        return [message.act for message in armed.brain.received if message.act.act_id == 9]

    await until(lambda: len(answers()) == 2, "answered again when it is done")
    acts = answers()
    assert acts[0].open_positions == 1
    assert (acts[-1].latch, acts[-1].open_positions, acts[-1].working_orders) == (c.POSTURE_HALTED, 0, 0)
    armed.check_equal()


async def test_positions_equity_and_orders_are_listed(armed: Scene) -> None:
    from titan.runtime.rpc.client import RpcChannel
    from titan.runtime.rpc.contract import EXECUTION_GET_EQUITY, EXECUTION_LIST_ORDERS, EXECUTION_LIST_POSITIONS
    from titan.v1 import execution_pb2 as e

    armed.brain.place("i1")
    await armed.market.step(count=4)
    channel = RpcChannel(armed.stack.client("cli"), "execution")
    (position,) = (await channel.call(EXECUTION_LIST_POSITIONS, e.ListPositionsRequest())).positions
    assert (position.symbol, position.quantity, position.stop_price, position.target_price) == (
        PERP,
        "0.002",
        "59000",
        "61000",
    )
    assert [(share.phase_id, share.quantity) for share in position.shares] == [("scavenger", "0.002")]
    equity = (await channel.call(EXECUTION_GET_EQUITY, e.GetEquityRequest())).equity
    assert equity.known
    assert Decimal(equity.equity) < 200
    orders = (await channel.call(EXECUTION_LIST_ORDERS, e.ListOrdersRequest(limit=2))).orders
    assert [order.order_role for order in orders] == [2, 3] or [order.order_role for order in orders] == [3, 2]
    await channel.close()
