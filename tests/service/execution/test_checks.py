"""Execution checks itself against the venue, its lease, its journal and its stops: each check is made to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.processes.execution_neighbors import PERP
from support.processes.execution_scene import Scene, scene
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.enums import DriftClass, OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.venue import SendOrder, VenueOrder, VenueTrade
from titan.durable.journal.journal import JournalUnavailable
from titan.v1 import common_pb2 as c


@pytest.fixture
async def quick(stack: Stack) -> AsyncIterator[Scene]:
    """Reconcile every 0.3 s, and require a stop within 500 ms of market time."""
    async with scene(stack, reconcile_interval_s=0.3, stop_deadline_ms=500) as made:
        yield made


def drifts(made: Scene) -> dict[str, float]:
    """Drifts counted so far, by class."""
    counter = made.session.reconciler._drift_count
    return {label[0]: child._value.get() for label, child in counter._metrics.items()}


async def passes(made: Scene, count: int = 2) -> None:
    before = made.session.reconciler.truth.passes
    await until(lambda: made.session.reconciler.truth.passes >= before + count, "passes of reconciliation")


async def test_clean_passes_keep_the_truth_at_100(quick: Scene) -> None:
    quick.brain.place("i1")
    await quick.market.step(count=4)
    await passes(quick)
    truth = quick.session.reconciler.truth
    assert (truth.known, truth.score, truth.unresolved, drifts(quick)) == (True, 100, 0, {})
    assert truth.ours_sha256 == truth.venues_sha256


async def test_a_fill_that_the_stream_swallowed_is_fetched_and_counted(quick: Scene) -> None:
    receive = quick.session.venue_updates.receive
    swallowed: list[object] = []

    def swallow_first_trade(update: Any) -> None:
        if isinstance(update, VenueTrade) and not swallowed:
            swallowed.append(update)
            return
        receive(update)

    quick.session.venue_updates.receive = swallow_first_trade  # type: ignore[method-assign]
    await quick.restart_venue_stream()
    quick.brain.place("i1")
    await quick.market.step(count=4)
    await until(lambda: drifts(quick) == {"MISSED_FILL": 1}, lambda: drifts(quick))
    assert len(swallowed) == 1
    assert quick.session.reconciler.truth.score in (80, 85)
    await quick.market.step(count=3)
    quick.check_equal()
    assert len(quick.venue_working()) == 2, "stop and target, also for a fill that had to be fetched"


async def test_what_the_venue_reports_of_a_step_waits_until_the_step_has_begun_here(quick: Scene) -> None:
    market, session = quick.market, quick.session
    quick.brain.place("i1")
    await until(quick.venue_working, "the order is at the venue")
    market.begin(to=("papervenue",))
    await until(lambda: session.venue_updates.streamed, "the trade has been received")
    assert not session.store.account.fills, "it is of a step that has not begun"
    market.send_to("execution")
    await market.finished()
    children = [each for each in session.store.account.orders.values() if each.order_role.name in ("STOP", "TARGET")]
    assert [each.created_ns for each in children] == [market.now_ns] * 2
    await market.step(count=2)
    quick.check_equal()
    assert drifts(quick) == {}


def foreign_order(made: Scene, **fields: Any) -> SendOrder:
    return msgspec.structs.replace(
        SendOrder(
            client_order_id="somebodyelse",
            symbol=PERP,
            side=Side.BUY,
            type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            quantity=Decimal("0.002"),
            market_time_ns=made.market.now_ns,
            signed_at_ns=made.session.sender.wall_ns(),
            receive_window_ms=1000,
        ),
        **fields,
    )


async def test_a_position_that_is_not_ours_is_adopted_and_critical(quick: Scene) -> None:
    assert quick.venue.venue.request(foreign_order(quick)) is None
    await quick.market.step(count=3)
    await until(lambda: drifts(quick), "a drift")
    assert drifts(quick) == {"UNTRACKED": 1}
    assert quick.session.reconciler.truth.score in (60, 65)
    quick.check_equal()
    quick.brain.exit("x1")
    assert (await quick.brain.refusal("x1")).reason == c.REASON_NOT_REDUCING, "a share of nobody belongs to no phase"


async def test_an_order_that_is_not_ours_is_adopted_and_canceled(quick: Scene) -> None:
    order = foreign_order(quick, type=OrderType.LIMIT, time_in_force=TimeInForce.GTC, limit_price=Decimal(59500))
    assert quick.venue.venue.request(order) is None
    await quick.market.step(count=2)
    await until(lambda: drifts(quick) == {"ORPHAN_ORDER": 1}, lambda: drifts(quick))
    await quick.market.step(count=3)
    assert quick.venue_working() == []
    quick.check_equal()


@pytest.mark.parametrize(
    ("description", "quantity", "kind"),
    [
        ("the venue lost it", None, DriftClass.GHOST),
        ("the venue has less", "0.001", DriftClass.SIZE_MISMATCH),
        ("the venue has more", "0.003", DriftClass.SIZE_MISMATCH),
    ],
)
async def test_a_position_that_the_venue_changed_is_adopted(
    quick: Scene, description: str, quantity: str | None, kind: DriftClass
) -> None:
    quick.brain.place("i1")
    await quick.market.step(count=4)
    positions = quick.venue.venue.engine.state.positions
    before = positions.pop(PERP)
    if quantity is not None:
        positions[PERP] = msgspec.structs.replace(before, quantity=Decimal(quantity))
    await until(lambda: kind.name in drifts(quick), lambda: f"{description}: {drifts(quick)}")
    assert quick.session.store.account.holdings[PERP].quantity == Decimal(quantity or 0)
    assert quick.session.store.account.ledger.balanced


async def test_a_balance_that_differs_is_adopted(quick: Scene) -> None:
    state = quick.venue.venue.engine.state
    state.balances["USDT"] -= 3
    await until(lambda: drifts(quick) == {"BALANCE": 1}, lambda: drifts(quick))
    assert quick.session.store.account.ledger.assets()["USDT"] == 197
    await passes(quick, 1)
    assert quick.session.valuer.value().equity == 197


async def test_a_deposit_is_no_profit(quick: Scene) -> None:
    state = quick.venue.venue.engine.state
    state.balances["USDT"] += 50
    state.deposits += 50
    await until(lambda: quick.session.valuer.value().equity == 250, "the deposit")
    equity = quick.session.valuer.value()
    assert (equity.high_water_mark, equity.day_start_equity, equity.drawdown) == (250, 250, 0)
    assert drifts(quick) == {}


async def test_silence_lowers_the_truth_score(quick: Scene) -> None:
    quick.session.venue_updates.last_answer_monotonic_ns -= 14_000_000_000
    quick.session.reconciler.charge_silence()
    assert quick.session.reconciler.truth.score in (95, 96, 97)


async def test_a_position_without_a_working_stop_is_flattened_in_time(quick: Scene) -> None:
    send = quick.session.venue.send_order
    quick.session.venue.send_order = (  # type: ignore[method-assign]
        lambda request: True if request.type is OrderType.STOP_MARKET else send(request)
    )
    quick.brain.place("i1")
    await quick.market.step(count=8)
    assert quick.venue_position() == Decimal("0.002"), "not before the deadline"
    await quick.market.step(count=10)
    assert quick.venue_position() == 0
    (flatten,) = (
        order for order in quick.session.store.account.orders.values() if order.order_role is OrderRole.FLATTEN
    )
    assert flatten.state is OrderState.FILLED


async def test_a_stop_that_the_price_has_passed_closes_at_once(quick: Scene) -> None:
    quick.brain.place("i1")
    await quick.market.step(count=2)
    # Filled now; the stop is on its way while the price falls through it.
    await quick.market.step(price=58000, count=5)
    assert quick.venue_position() == 0
    quick.check_equal()


async def test_an_exit_that_never_arrived_is_sent_again_after_the_proof_and_an_entry_is_not(quick: Scene) -> None:
    quick.brain.place("i1")
    await quick.market.step(count=4)
    quick.session.venue.send_order = lambda _request: True  # type: ignore[method-assign]
    quick.brain.exit("x1")
    quick.brain.place("i2")
    await until(lambda: len(quick.brain.orders("i2")) >= 1, "both are recorded as sent")
    del quick.session.venue.send_order
    await quick.restart_venue_stream()
    account = quick.session.store.account
    await until(
        lambda: (account.next_attempt("x1", OrderRole.EXIT), account.next_attempt("i2", OrderRole.ENTRY)) == (3, 2),
        "a resend",
    )
    await quick.market.step(count=4)
    states = {
        (order.intent_id, order.attempt): order.state
        for order in account.orders.values()
        if order.order_role in (OrderRole.EXIT, OrderRole.ENTRY)
    }
    assert states == {
        ("i1", 1): OrderState.FILLED,
        ("x1", 1): OrderState.LOST,
        ("x1", 2): OrderState.FILLED,
        ("i2", 1): OrderState.LOST,
    }
    quick.check_equal()


async def test_a_higher_term_ends_this_execution_and_nothing_more_is_sent(quick: Scene) -> None:
    term = quick.session.lease.term
    folder = Path(quick.settings.state_dir) / "lease"
    (folder / f"term-{term + 1}").touch()
    assert quick.app is not None
    assert f"term {term + 1} has taken over" in await quick.app.failed()
    before = len(quick.venue_orders())
    quick.brain.place("i1")
    refusal = await quick.brain.refusal("i1")
    assert refusal.reason == c.REASON_LEASE_LOST
    await quick.market.step(count=2)
    assert len(quick.venue_orders()) == before


async def test_a_journal_that_does_not_sync_sends_nothing_and_ends(quick: Scene) -> None:
    def broken(*, mark: bool) -> None:
        quick.session.store.journal.failed = "journal: cannot sync: Input/output error"
        raise JournalUnavailable("journal: cannot sync: Input/output error")

    quick.session.store.journal.sync = broken  # type: ignore[method-assign]
    quick.brain.place("i1")
    refusal = await quick.brain.refusal("i1")
    assert refusal.reason == c.REASON_JOURNAL_UNAVAILABLE
    assert quick.app is not None
    assert "cannot sync" in await quick.app.failed()
    # It is stopping by now, and still names the cause.
    quick.brain.place("i2")
    refusal = await quick.brain.refusal("i2")
    assert refusal.reason == c.REASON_JOURNAL_UNAVAILABLE
    assert "Input/output error" in refusal.message
    assert quick.venue_orders() == {}


async def test_without_space_nothing_opens_and_a_position_can_be_closed(quick: Scene) -> None:
    quick.brain.place("i1")
    await quick.market.step(count=4)
    quick.session.store.journal.space_problem = "journal: cannot reserve space: No space left on device"
    quick.brain.place("i2")
    refusal = await quick.brain.refusal("i2")
    assert refusal.reason == c.REASON_JOURNAL_UNAVAILABLE
    assert "No space left" in refusal.message
    quick.brain.exit("x1")
    await quick.market.step(count=4)
    assert quick.venue_position() == 0


async def test_an_order_is_durable_before_it_is_sent_to_the_venue(quick: Scene) -> None:
    journal, send = quick.session.store.journal, quick.session.venue.send_order
    unsynced: list[str] = []

    def watch(request: SendOrder) -> bool:
        if journal.synced_sequence != journal.last_sequence and request.type is not OrderType.TAKE_PROFIT_MARKET:
            unsynced.append(request.client_order_id)
        return send(request)

    quick.session.venue.send_order = watch  # type: ignore[method-assign]
    before = journal.syncs
    quick.brain.place("i1")
    await until(lambda: quick.brain.orders("i1"), "the order is reported")
    assert journal.syncs == before + 1, "one sync an order"
    await quick.market.step(count=4)
    assert unsynced == []


async def test_an_impossible_order_from_the_venue_changes_nothing(quick: Scene) -> None:
    quick.brain.place("i1")
    await quick.market.step(count=4)
    order = next(o for o in quick.venue_orders().values() if not o.reduce_only)
    reported: VenueOrder = order.to_update()
    rejected = msgspec.structs.replace(reported, state=type(reported.state).REJECTED)
    quick.session.venue_updates.receive(rejected)
    await passes(quick, 1)
    assert quick.session.store.account.orders[order.client_order_id].state is OrderState.FILLED
    assert drifts(quick) == {}


async def test_orders_that_queue_are_all_journalled_synced_and_sent(stack: Stack) -> None:
    """The number that shares a sync depends on the machine; tests/unit/execution tests that orders share one."""
    # Without passes in between: a pass acknowledges orders that a slow machine took long for.
    async with scene(stack) as made:
        journal = made.session.store.journal
        for number in range(30):
            made.brain.place(
                f"i{number}",
                quantity="0.002",
                order_type=c.ORDER_TYPE_LIMIT,
                limit_price="59500",
                time_in_force=c.TIME_IN_FORCE_GTC,
            )
        await until(lambda: len({order.intent_id for order in made.brain.orders()}) == 30, "all are sent")
        intakes = [order.client_order_id for order in made.session.store.account.working.values()]
        assert len(intakes) == len(set(intakes)) == 30
        await until(lambda: journal.synced_sequence == journal.last_sequence, "the line is idle and all is durable")
        assert all(order.state is OrderState.SENT for order in made.session.store.account.working.values())


async def test_a_cancel_that_was_lost_with_its_stream_is_requested_again(quick: Scene) -> None:
    quick.brain.place("i1", order_type=c.ORDER_TYPE_LIMIT, limit_price="59500", time_in_force=c.TIME_IN_FORCE_GTC)
    await quick.market.step(count=3)
    quick.session.venue.cancel_order = lambda _request: True  # type: ignore[method-assign]
    quick.brain.post(cancel_entries={"phase_id": "scavenger", "reason": "budget expired"})
    await until(lambda: quick.session.sender.flight.cancels, "recorded as sent")
    del quick.session.venue.cancel_order
    await quick.market.step(count=3)
    assert len(quick.venue_working()) == 1
    await quick.restart_venue_stream()
    await quick.market.step(count=4)
    assert quick.venue_working() == []
