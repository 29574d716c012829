"""The stop obligation: what must be sent, seen from the account alone."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderType, PositionEffect, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Intake, Record
from titan.domain.orders import Fill, Order, OrderEvent, OrderEventKind, apply
from titan.domain.protection import (
    FLATTEN_RETRY_NS,
    MAX_ATTEMPTS,
    REFUSED_FLATTEN_RETRY_NS,
    Amend,
    Cancel,
    InFlight,
    Place,
    Step,
    covered,
    flatten_lot,
    open_lots,
    plan_protection,
)
from titan.domain.reasons import Reason

D = Decimal
PERP = "BTC/USDT:USDT"
E = OrderEventKind


class Scene:
    """A long of 0.01 by one entry, filled as far as given."""

    def __init__(self, target: str = "70000") -> None:
        self.account = Account(PAPER_INSTRUMENTS)
        self.flight = InFlight()
        self.now_ns = 10
        self.trades = 0
        intake = Intake(
            intent_id="i1",
            phase_id="scavenger",
            attempt=1,
            position_effect=PositionEffect.OPENING,
            symbol=PERP,
            side=Side.BUY,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            quantity=D("0.01"),
            policy_hash="h",
            term=1,
            event_time_ns=1,
            stop_price=D(50000),
            target_price=D(target),
        )
        change = self.account.apply(Record(intake, self.now_ns))
        assert change.order is not None
        self.entry = change.order.client_order_id

    def fill(self, order_id: str, quantity: str, price: str = "60000") -> None:
        self.trades += 1
        order = self.account.orders[order_id]
        fill = Fill(
            trade_id=f"v{self.trades}",
            client_order_id=order_id,
            intent_id=order.intent_id,
            phase_id=order.phase_id,
            order_role=order.order_role,
            symbol=PERP,
            side=order.side,
            quantity=D(quantity),
            price=D(price),
            fee=D(0),
            fee_currency="USDT",
            maker=False,
            event_time_ns=self.now_ns,
            policy_hash="h",
        )
        self.account.apply(Record(fill, self.now_ns))

    def plan(self) -> list[Step]:
        return plan_protection(self.account, self.flight, self.now_ns, 3)

    def happen(self, order: Order, *kinds: OrderEventKind, reason: Reason = Reason.OK) -> Order:
        for kind in kinds:
            order = apply(order, OrderEvent(kind=kind, market_time_ns=self.now_ns, reason=reason))
        self.account.apply(Record(order, self.now_ns))
        return order

    def send_all(self, *kinds: OrderEventKind, reason: Reason = Reason.OK) -> dict[OrderRole, Order]:
        """Take every Place of the plan to the venue, and let ``kinds`` happen to it there."""
        return {
            step.order.order_role: self.happen(step.order, E.JOURNAL, E.SEND, *kinds, reason=reason)
            for step in self.plan()
            if isinstance(step, Place)
        }


def summary(steps: list[Step]) -> list[tuple[object, ...]]:
    told: list[tuple[object, ...]] = []
    for step in steps:
        if isinstance(step, Place):
            told.append(
                ("place", step.order.order_role, step.order.type, step.order.quantity, step.order.trigger_price)
            )
        elif isinstance(step, Amend):
            told.append(("amend", step.order.order_role, step.quantity))
        else:
            told.append(("cancel", step.order.order_role, step.reason))
    return told


def test_nothing_before_a_fill() -> None:
    assert Scene().plan() == []


def test_stop_first_then_target_for_what_is_filled() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.004")
    assert summary(scene.plan()) == [
        ("place", OrderRole.STOP, OrderType.STOP_MARKET, D("0.004"), D(50000)),
        ("place", OrderRole.TARGET, OrderType.TAKE_PROFIT_MARKET, D("0.004"), D(70000)),
    ]
    stop = scene.plan()[0]
    assert isinstance(stop, Place)
    assert (stop.order.side, stop.order.reduce_only, stop.order.term) == (Side.SELL, True, 3)


def test_the_plan_is_the_same_until_something_happens_and_then_empty() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    assert scene.plan() == scene.plan()
    scene.send_all()
    assert scene.plan() == [], "sent, not acknowledged: wait"
    for order in list(scene.account.working.values()):
        if order.order_role is not OrderRole.ENTRY:
            scene.happen(order, E.ACK)
    assert scene.plan() == []


def test_the_quantity_follows_partial_fills_once_the_venue_has_the_stop() -> None:
    scene = Scene(target="0")
    scene.fill(scene.entry, "0.004")
    stop = scene.send_all()[OrderRole.STOP]
    scene.fill(scene.entry, "0.006")
    assert scene.plan() == []
    scene.happen(stop, E.ACK)
    assert summary(scene.plan()) == [("amend", OrderRole.STOP, D("0.01"))]
    scene.flight.amends[stop.client_order_id] = D("0.01")
    assert scene.plan() == [], "an amendment in flight is not made twice"


def test_a_refused_amendment_is_replaced_new_before_old() -> None:
    scene = Scene(target="0")
    scene.fill(scene.entry, "0.004")
    stop = scene.send_all(E.ACK)[OrderRole.STOP]
    scene.fill(scene.entry, "0.006")
    scene.flight.stubborn.add(stop.client_order_id)
    assert summary(scene.plan()) == [
        ("place", OrderRole.STOP, OrderType.STOP_MARKET, D("0.01"), D(50000)),
        ("cancel", OrderRole.STOP, Reason.OK),
    ]


@pytest.mark.parametrize("closing", [OrderRole.STOP, OrderRole.TARGET])
def test_when_one_closes_the_other_is_canceled(closing: OrderRole) -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    orders = scene.send_all(E.ACK)
    scene.fill(orders[closing].client_order_id, "0.01")
    other = OrderRole.TARGET if closing is OrderRole.STOP else OrderRole.STOP
    assert summary(scene.plan()) == [("cancel", other, Reason.POSITION_CLOSED)]
    scene.flight.cancels.add(orders[other].client_order_id)
    assert scene.plan() == []


def test_after_part_of_the_target_both_follow_what_is_left() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    orders = scene.send_all(E.ACK)
    scene.fill(orders[OrderRole.TARGET].client_order_id, "0.003")
    assert summary(scene.plan()) == [("amend", OrderRole.STOP, D("0.007"))], "the target's own rest is right already"


@pytest.mark.parametrize("order_role", [OrderRole.STOP, OrderRole.TARGET])
def test_a_trigger_that_is_passed_already_closes_at_market(order_role: OrderRole) -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    for step in scene.plan():
        assert isinstance(step, Place)
        if step.order.order_role is order_role:
            scene.happen(step.order, E.JOURNAL, E.SEND, E.REJECT, reason=Reason.WOULD_TRIGGER)
        else:
            scene.happen(step.order, E.JOURNAL, E.SEND, E.ACK)
    assert summary(scene.plan()) == [("place", OrderRole.FLATTEN, OrderType.MARKET, D("0.01"), D(0))]


@pytest.mark.parametrize(("order_role", "then"), [(OrderRole.STOP, OrderRole.FLATTEN), (OrderRole.TARGET, None)])
def test_refusals_are_tried_again_up_to_a_limit(order_role: OrderRole, then: OrderRole | None) -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    attempts = 0
    while True:
        places = {step.order.order_role: step.order for step in scene.plan() if isinstance(step, Place)}
        other = next(
            (
                order
                for name, order in places.items()
                if name in (OrderRole.STOP, OrderRole.TARGET) and name is not order_role
            ),
            None,
        )
        if other is not None:
            scene.happen(other, E.JOURNAL, E.SEND, E.ACK)
        if order_role not in places:
            break
        attempts += 1
        scene.happen(places[order_role], E.JOURNAL, E.SEND, E.REJECT, reason=Reason.VENUE_ERROR)
    assert attempts == MAX_ATTEMPTS
    assert [step.order.order_role for step in scene.plan() if isinstance(step, Place)] == ([then] if then else [])


def test_a_lot_is_covered_only_by_stops_that_work_at_the_venue() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    (lot,) = open_lots(scene.account)
    assert not covered(scene.account, lot)
    stop = scene.send_all()[OrderRole.STOP]
    assert not covered(scene.account, lot), "sent is not working"
    scene.happen(stop, E.ACK)
    assert covered(scene.account, lot)
    scene.happen(msgspec.structs.replace(scene.account.orders[stop.client_order_id], quantity=D("0.009")))
    assert not covered(scene.account, lot)


def test_flattening_is_not_doubled_and_is_repeated_when_it_got_nothing() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    (lot,) = open_lots(scene.account)
    first = flatten_lot(scene.account, lot, scene.now_ns, 3)
    assert first is not None
    order = scene.happen(first.order, E.JOURNAL, E.SEND)
    assert flatten_lot(scene.account, lot, scene.now_ns + 10**12, 3) is None, "under way"
    scene.happen(order, E.REJECT, reason=Reason.NO_LIQUIDITY)
    assert flatten_lot(scene.account, lot, scene.now_ns + FLATTEN_RETRY_NS - 1, 3) is None
    again = flatten_lot(scene.account, lot, scene.now_ns + FLATTEN_RETRY_NS, 3)
    assert again is not None
    assert again.order.attempt == 2


def test_a_flatten_that_the_venue_has_nothing_for_waits_for_a_reconciliation() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    (lot,) = open_lots(scene.account)
    first = flatten_lot(scene.account, lot, scene.now_ns, 3)
    assert first is not None
    scene.happen(first.order, E.JOURNAL, E.SEND, E.REJECT, reason=Reason.NOT_REDUCING)
    assert flatten_lot(scene.account, lot, scene.now_ns + REFUSED_FLATTEN_RETRY_NS - 1, 3) is None
    again = flatten_lot(scene.account, lot, scene.now_ns + REFUSED_FLATTEN_RETRY_NS, 3)
    assert again is not None, "a position that is still there is never given up"


def test_a_cancel_waits_for_nothing_but_not_for_the_unknown() -> None:
    scene = Scene()
    scene.fill(scene.entry, "0.01")
    orders = scene.send_all(E.ACK)
    scene.happen(orders[OrderRole.TARGET], E.DOUBT)
    scene.fill(orders[OrderRole.STOP].client_order_id, "0.01")
    assert not [step for step in scene.plan() if isinstance(step, Cancel)], "UNKNOWN is asked, not canceled blindly"
