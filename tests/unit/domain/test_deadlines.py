"""Deadlines on the market clock: which orders are due for a cancel, and since when a lot has no working stop."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from titan.domain.account import Account
from titan.domain.deadlines import due_cancels, uncovered_lots, working_entries
from titan.domain.enums import OrderRole, OrderState, OrderType, PositionEffect, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Intake, Record
from titan.domain.orders import Fill, Order
from titan.domain.reasons import Reason
from titan.domain.venue_comparison import next_exit

D = Decimal
PERP = "BTC/USDT:USDT"
MS = 1_000_000


def take(account: Account, intent_id: str, ttl_ms: int = 0, at_ms: int = 0, **fields: Any) -> Order:
    """Take a resting order of 0.01, changed by ``fields``."""
    intake = Intake(
        **{
            "intent_id": intent_id,
            "phase_id": "scavenger",
            "attempt": 1,
            "position_effect": PositionEffect.OPENING,
            "symbol": PERP,
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "quantity": D("0.01"),
            "limit_price": D(60000),
            "policy_hash": "h",
            "term": 1,
            "event_time_ns": at_ms * MS,
            "ttl_ns": ttl_ms * MS,
            "stop_price": D(59000),
            **fields,
        }
    )
    change = account.apply(Record(intake, at_ms * MS))
    assert change.order is not None
    return change.order


def fill(account: Account, order: Order, at_ms: int) -> None:
    account.apply(
        Record(
            Fill(
                trade_id=f"t-{order.client_order_id}",
                client_order_id=order.client_order_id,
                intent_id=order.intent_id,
                phase_id=order.phase_id,
                order_role=order.order_role,
                symbol=PERP,
                side=order.side,
                quantity=order.quantity,
                price=D(60000),
                fee=D(0),
                fee_currency="USDT",
                maker=False,
                event_time_ns=at_ms * MS,
                policy_hash="h",
            ),
            at_ms * MS,
        )
    )


def due(account: Account, at_ms: int, entries_may_rest: bool = True, **requested: tuple[Reason, str]) -> dict[str, str]:
    """Intents of the orders that are due, with the reasons."""
    cancels = due_cancels(account, requested, entries_may_rest, at_ms * MS)
    return {each.order.intent_id: each.reason.name for each in cancels}


def test_an_order_is_due_when_its_time_to_live_ends() -> None:
    account = Account(PAPER_INSTRUMENTS)
    take(account, "short", ttl_ms=100)
    take(account, "long", ttl_ms=1000)
    take(account, "endless")
    assert due(account, 99) == {}
    assert due(account, 100) == {"short": "EXPIRED"}
    (cancel,) = due_cancels(account, {}, True, 100 * MS)
    assert cancel.message == "time to live of 100 ms ended"


def test_entries_are_due_where_none_may_rest_and_exits_are_not() -> None:
    account = Account(PAPER_INSTRUMENTS)
    fill(account, take(account, "held"), 0)
    take(account, "entry")
    take(account, "exit", side=Side.SELL, position_effect=PositionEffect.REDUCING)
    assert due(account, 1, entries_may_rest=False) == {"entry": "CANCELED_BY_POSTURE"}


def test_a_requested_cancel_is_due_again_with_its_first_reason() -> None:
    account = Account(PAPER_INSTRUMENTS)
    order = take(account, "entry")
    requested = {order.client_order_id: (Reason.LEASE_LOST, "why")}
    assert due(account, 1, entries_may_rest=False, **requested) == {"entry": "LEASE_LOST"}


def test_an_adopted_entry_is_due_since_nobody_would_end_it() -> None:
    account = Account(PAPER_INSTRUMENTS)
    order = take(account, "entry")
    adopted = msgspec.structs.replace(order, client_order_id="foreign", intent_id="adopted:foreign")
    account.apply(Record(adopted, 0))
    assert due(account, 1) == {"adopted:foreign": "EXPIRED"}


def test_entries_of_one_phase_or_of_all() -> None:
    account = Account(PAPER_INSTRUMENTS)
    take(account, "a")
    take(account, "b", phase_id="hunter")
    assert [order.intent_id for order in working_entries(account)] == ["a", "b"]
    assert [order.intent_id for order in working_entries(account, "hunter")] == ["b"]


def test_a_lot_is_uncovered_from_its_fill_until_its_stop_works() -> None:
    account = Account(PAPER_INSTRUMENTS)
    entry = take(account, "held")
    assert uncovered_lots(account, {}, 5 * MS) == []
    fill(account, entry, 5)
    (first,) = uncovered_lots(account, {}, 5 * MS)
    (later,) = uncovered_lots(account, {first.lot.intent_id: first.since_ns}, 9 * MS)
    assert (first.since_ns, later.since_ns) == (5 * MS, 5 * MS)
    stop = msgspec.structs.replace(
        entry,
        client_order_id="stop",
        order_role=OrderRole.STOP,
        side=Side.SELL,
        state=OrderState.SENT,
        filled_quantity=D(0),
    )
    account.apply(Record(stop, 10 * MS))
    assert len(uncovered_lots(account, {}, 10 * MS)) == 1, "sent is not working"
    account.apply(Record(msgspec.structs.replace(stop, state=OrderState.ACKED), 11 * MS))
    assert uncovered_lots(account, {}, 11 * MS) == []


def test_a_lost_exit_is_sent_again_only_while_there_is_something_to_reduce() -> None:
    account = Account(PAPER_INSTRUMENTS)
    fill(account, take(account, "held"), 0)
    order = take(account, "x1", side=Side.SELL, position_effect=PositionEffect.REDUCING)
    lost = msgspec.structs.replace(order, state=OrderState.LOST, message="absent")
    account.apply(Record(lost, 1 * MS))
    again = next_exit(account, lost, 7 * MS)
    assert again is not None
    assert (again.attempt, again.state, again.created_ns, again.message) == (2, OrderState.NEW, 7 * MS, "")
    assert again.client_order_id != lost.client_order_id
    too_much = msgspec.structs.replace(lost, quantity=D("0.011"))
    assert next_exit(account, too_much, 7 * MS) is None
