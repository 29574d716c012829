"""Execution's reports: fills, refusals and its absence, in reservations, budgets and positions."""

from __future__ import annotations

from decimal import Decimal

from support.processes.brain_scene import PERP, START_NS, scene, until
from support.stack.local_processes import Stack
from titan.runtime.rpc.contract import BRAIN_GET_BRAIN
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o


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
        await until(lambda: made.app.risk_state.symbols[PERP].net, "the position")
        await made.execution.server.stop(0)
        await until(lambda: not made.app.risk_state.execution_connected, "execution away")
        opening = await made.phase.submit()
        assert opening.reason == c.REASON_EXECUTION_AWAY
        closing = await made.phase.submit(
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
        decision = await made.phase.submit()
        fill = o.Fill(
            trade_id="1",
            client_order_id="t1",
            intent_id=decision.intent_id,
            phase_id="scavenger",
            order_role=o.ORDER_ROLE_ENTRY,
            symbol=PERP,
            side=c.SIDE_BUY,
            quantity=decision.quantity,
            price="61234.6",
            fee="0.3",
            fee_currency="USDT",
            realized_pnl="0",
            event_time_ns=START_NS,
        )
        made.execution.post(fill=fill, sequence=7)
        made.execution.post(fill=fill, sequence=7)  # reported twice, applied once
        await until(lambda: made.phase.of("fill"), "the fill at the phase")
        held = made.app.risk_state.symbols[PERP]
        assert held.net == Decimal(decision.quantity)
        (lot,) = made.app.risk_state.mirror.lots_of(PERP)
        assert (lot.stop_price, lot.target_price) == (Decimal("61112.1"), Decimal("61540.8"))
        assert not made.app.risk_state.reservations.entries
        phase = made.phase
        await until(lambda: phase.of("positions") and phase.of("positions")[-1].positions, "the position at the phase")
        assert made.phase.of("positions")[-1].positions[0].shares[0].quantity == decision.quantity
        exit_fill = o.Fill()
        exit_fill.CopyFrom(fill)
        exit_fill.trade_id, exit_fill.order_role, exit_fill.side, exit_fill.price = (
            "2",
            o.ORDER_ROLE_STOP,
            c.SIDE_SELL,
            "61112",
        )
        made.execution.post(fill=exit_fill, sequence=8)
        await until(lambda: len(made.phase.of("fill")) == 2, "the stop's fill")
        assert held.net == 0
        (record,) = made.app.risk_state.phases["scavenger"].history.by_setup.values()
        assert (record.trades, round(record.mean_r, 2)) == (1, -1.0)
        await until(lambda: not phase.of("positions")[-1].positions, "no position at the phase")


async def test_a_refusal_of_execution_frees_the_reservation(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        decision = await made.phase.submit()
        assert made.app.risk_state.gross_notional > 0
        made.execution.post(
            refusal=e.PlaceRefusal(intent_id=decision.intent_id, reason=c.REASON_JOURNAL_UNAVAILABLE, message="full")
        )
        await until(lambda: made.app.risk_state.gross_notional == 0, "the reservation freed")
        assert not made.app.execution.pending


async def test_an_expired_budget_cancels_the_resting_entries(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        await made.phase.close()
        await until(lambda: not made.app.risk_state.phases["scavenger"].connected, "the phase is disconnected")
        made.market.post_step(jump_ns=11_000_000_000)
        await until(
            lambda: [one.phase_id for one in made.execution.of("cancel_entries")][-1:] == ["scavenger"], "the cancel"
        )


async def test_a_frozen_execution_leaves_its_equity_with_an_age(stack: Stack) -> None:
    """Execution's stream stands, and market time runs on without its markers."""
    async with scene(stack) as made:
        await made.armed()
        made.market.post_step(jump_ns=12_000_000_000)
        await until(lambda: made.app.now_ns() >= made.market.now_ns, "market time")
        frozen = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert (frozen.equity.known, frozen.equity_as_of_ns) == (True, START_NS)
        assert frozen.market_time_ns - frozen.equity_as_of_ns >= 12_000_000_000
        made.execution.post(marker=c.StepMarker(step=made.market.step, market_time_ns=made.market.now_ns))
        await until(lambda: made.app.execution.reported_ns == made.market.now_ns, "the marker")
        thawed = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert thawed.equity_as_of_ns == made.market.now_ns
