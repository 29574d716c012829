"""Brain follows Execution's word: which order reduces, when a reservation ends, and what the account contains."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from support.risk.scene import HASH, NOW, PERP, close, decide, hold, intent, risk_state, stop_order
from titan.domain.decisions import Decision
from titan.domain.enums import OrderRole, OrderState, OrderType, PositionEffect, Side, TimeInForce
from titan.domain.intents import Intent
from titan.domain.lots import Lot
from titan.domain.mirror_digest import digest, mirror_lines, reported_orders
from titan.domain.orders import Fill, Order
from titan.domain.positions import PhaseShare, Position, RoundTrip
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_DAY
from titan.domain.trip_results import NO_RECORD, TripResults
from titan.risk.engine import reserve
from titan.risk.state import RiskState
from titan.risk.state_updater import AccountReport, StateUpdater

D = Decimal


def order(intent_id: str, order_role: OrderRole, side: Side, quantity: str, **changed: Any) -> Order:
    common: dict[str, Any] = {
        "client_order_id": f"t-{intent_id}",
        "intent_id": intent_id,
        "phase_id": "scavenger",
        "order_role": order_role,
        "attempt": 1,
        "symbol": PERP,
        "side": side,
        "type": OrderType.MARKET,
        "time_in_force": TimeInForce.IOC,
        "quantity": D(quantity),
        "reduce_only": order_role is not OrderRole.ENTRY,
        "policy_hash": HASH,
        "term": 1,
        "created_ns": NOW,
        "updated_ns": NOW,
        "state": OrderState.SENT,
    }
    return Order(**{**common, **changed})


def fill(of: Order, quantity: str, trade_id: str = "1") -> Fill:
    return Fill(
        trade_id=trade_id,
        client_order_id=of.client_order_id,
        intent_id=of.intent_id,
        phase_id=of.phase_id,
        order_role=of.order_role,
        symbol=of.symbol,
        side=of.side,
        quantity=D(quantity),
        price=D("61234.5"),
        fee=D("0.1"),
        fee_currency="USDT",
        maker=False,
        event_time_ns=NOW,
        policy_hash=HASH,
    )


def ended(of: Order, state: OrderState, filled: str) -> Order:
    return order(
        of.intent_id,
        of.order_role,
        of.side,
        str(of.quantity),
        state=state,
        filled_quantity=D(filled),
        phase_id=of.phase_id,
    )


def opposing(number: int) -> Intent:
    """An OPEN SELL whose size is bounded to 0.002."""
    return intent(
        intent_id=f"open-sell-{number}",
        side=Side.SELL,
        reference_price=D("61234.5"),
        stop_price=D("61357"),
        target_price=D("60928.3"),
        max_notional=D(130),
        event_time_ns=NOW + number,
    )


def approved(made: RiskState, requested: Intent) -> Decision:
    decision = decide(made, requested)
    assert decision.approved, decision.message
    reserve(made, requested, decision)
    made.refresh()
    return decision


def test_opens_against_the_phase_s_own_position_reduce_it_and_end() -> None:
    made = hold(risk_state(), "0.02")
    for number in range(6):
        decision = approved(made, opposing(number))
        assert (decision.position_effect, decision.quantity) == (PositionEffect.REDUCING, D("0.002"))
        assert "stop and target do not apply" in decision.guards[0].value, "it is said, not dropped in silence"
        sent = order(decision.intent_id, OrderRole.EXIT, Side.SELL, "0.002")
        made.on_order(sent)
        made.on_fill(fill(sent, "0.002", str(number)))
        made.on_order(ended(sent, OrderState.FILLED, "0.002"))
        made.refresh()
    assert (made.reservations.entries, made.reservations.exits) == ({}, {})
    assert made.symbols[PERP].net == D("0.008")


def test_an_open_that_exceeds_the_position_opens_and_takes_it_back_first() -> None:
    made = hold(risk_state(), "0.001")
    decision = approved(made, opposing(0))
    assert (decision.position_effect, decision.guards[0].value) == (PositionEffect.OPENING, "lane=OPENING")
    sent = order(decision.intent_id, OrderRole.ENTRY, Side.SELL, "0.002")
    made.on_fill(fill(sent, "0.002"))
    (lot,) = made.mirror.lots_of(PERP)
    assert (lot.quantity, lot.stop_price) == (D("-0.001"), D(61357))


def test_the_exits_in_flight_are_taken_off_for_both_kinds_of_intent() -> None:
    made = hold(risk_state(), "0.003")
    approved(made, close("0.002", intent_id="exit"))
    assert not decide(made, close("0.002")).approved
    assert decide(made, opposing(0)).position_effect is PositionEffect.OPENING


def test_execution_s_word_moves_the_reservation_when_a_fill_raced_the_decision() -> None:
    """Brain decided while the position was smaller than the order: Execution, which has the fill, sends an exit."""
    made = risk_state()
    decision = approved(made, opposing(0))
    assert decision.position_effect is PositionEffect.OPENING
    raced = order("raced", OrderRole.ENTRY, Side.BUY, "0.02")
    made.on_order(raced)
    made.on_fill(fill(raced, "0.02"))
    sent = order(decision.intent_id, OrderRole.EXIT, Side.SELL, str(decision.quantity))
    made.on_order(sent)
    assert list(made.reservations.exits) == [decision.intent_id]
    assert decision.intent_id not in made.reservations.entries
    made.on_fill(fill(sent, str(decision.quantity), "2"))
    made.on_order(ended(sent, OrderState.FILLED, str(decision.quantity)))
    assert (made.reservations.entries, made.reservations.exits) == ({}, {})


def test_an_exit_that_execution_sends_again_is_reserved_again() -> None:
    made = hold(risk_state(), "0.002")
    approved(made, close("0.002", intent_id="exit"))
    first = order("exit", OrderRole.EXIT, Side.SELL, "0.002")
    made.on_order(first)
    made.on_order(ended(first, OrderState.LOST, "0"))
    assert not made.reservations.exits
    made.on_order(order("exit", OrderRole.EXIT, Side.SELL, "0.002", client_order_id="t-exit-2", attempt=2))
    made.on_order(ended(first, OrderState.LOST, "0"))
    assert made.reservations.exits["exit"].client_order_id == "t-exit-2"
    made.refresh()
    assert not decide(made, close("0.002")).approved, "the position is already being closed"


def test_a_flatten_reserves_what_it_closes() -> None:
    made = hold(risk_state(), "0.002")
    made.on_order(order("held-scavenger-BTC/USDT:USDT-0", OrderRole.FLATTEN, Side.SELL, "0.002"))
    made.refresh()
    assert decide(made, close("0.002")).reason is Reason.NOTHING_TO_REDUCE


def report(
    sequence: int, working: list[Order], quantity: str = "0", results: TripResults | None = None
) -> AccountReport:
    net = D(quantity)
    share = PhaseShare(phase_id="scavenger", quantity=net, average_entry_price=D("61234.5"), intent_id="i")
    lot = Lot(intent_id="i", phase_id="scavenger", symbol=PERP, quantity=net, stop_price=D(61000))
    position = Position(symbol=PERP, quantity=net, average_entry_price=D("61234.5"), shares=(share,), lots=(lot,))
    return AccountReport(
        sequence=sequence,
        working=working,
        positions=[position] if net else [],
        open_trips=[],
        terms={},
        round_trips=[],
        results=results or TripResults(),
        equity=None,
        truth=None,
        reconciled=True,
        policy_hash=HASH,
    )


@pytest.mark.parametrize("role", [OrderRole.ENTRY, OrderRole.EXIT])
def test_a_reservation_ends_with_the_account_that_contains_its_order(role: OrderRole) -> None:
    """Whatever the order's age: the account says so by answering it, and not by a list of the day's intents."""
    made = risk_state() if role is OrderRole.ENTRY else hold(risk_state(), "0.002")
    requested = intent() if role is OrderRole.ENTRY else close("0.002")
    decision = approved(made, requested)
    updater = StateUpdater(made)
    held = str(decision.quantity) if role is OrderRole.ENTRY else "0"
    updater.on_account(report(5, [], held), unanswered=frozenset())
    made.refresh()
    assert (made.reservations.entries, made.reservations.exits) == ({}, {})
    assert made.gross_notional == D(held) * made.symbols[PERP].mid
    assert made.entries_open(PERP) == 0


def test_an_order_that_execution_does_not_have_stays_reserved() -> None:
    made = risk_state()
    decision = approved(made, intent())
    StateUpdater(made).on_account(report(5, []), unanswered=frozenset({decision.intent_id}))
    made.refresh()
    assert made.gross_notional == decision.notional


def test_events_that_the_account_contains_change_nothing() -> None:
    made = risk_state()
    updater = StateUpdater(made)
    working = order("i", OrderRole.ENTRY, Side.BUY, "0.004", state=OrderState.PARTIAL, filled_quantity=D("0.002"))
    updater.on_account(report(5, [working], "0.002"), frozenset())
    assert not updater.on_fill(fill(working, "0.002"), 5)
    made.on_order(order("i", OrderRole.ENTRY, Side.BUY, "0.004"), 4)
    assert made.reservations.entries["i"].remaining_quantity == D("0.002")
    assert made.symbols[PERP].net == D("0.002")
    assert updater.on_fill(fill(working, "0.002", "2"), 6)
    made.on_order(ended(working, OrderState.FILLED, "0.004"), 6)
    assert (made.symbols[PERP].net, made.reservations.entries) == (D("0.004"), {})


def test_totals_over_all_trips_survive_a_reconnect() -> None:
    """What 900 trips showed stays, although the account sends the last ones only: it was rebuilt from 500 once."""
    results = TripResults()
    record = NO_RECORD
    for number in range(900):
        won = number < 400
        results.add(
            RoundTrip(
                intent_id=f"i{number}",
                phase_id="scavenger",
                setup="breakout",
                symbol=PERP,
                side=Side.BUY,
                quantity=D("0.01"),
                entry_price=D(1),
                exit_price=D(1),
                realized_pnl=D(3) if won else D(-1),
                fees=D("0.5"),
                opened_ns=NOW,
                closed_ns=NOW + number,
                risk=D(2),
            )
        )
        record = record.after(1.5 if won else -0.5)
    made = risk_state()
    StateUpdater(made).on_account(report(5, [], results=results), frozenset())
    history = made.phases["scavenger"].history
    assert history.by_setup["breakout"] == record
    assert (record.trades, round(record.weight)) == (900, 144)
    assert history.day_result(NOW) == 400 * D("2.5") - 500 * D("1.5")
    assert history.day_result(NOW + NS_PER_DAY) == 0
    assert made.phases["hunter"].history.by_setup == {}


def test_the_digest_is_that_of_execution_s_account_and_tells_every_part_apart() -> None:
    made = hold(risk_state(), "0.02")
    working = order("i", OrderRole.ENTRY, Side.BUY, "0.004", state=OrderState.ACKED)
    made.on_order(working)
    (lot,) = made.mirror.lots_of(PERP)
    theirs = reported_orders([working, stop_order(lot)])
    before = digest(made.mirror.lines())
    assert before == digest(mirror_lines(made.mirror.positions, theirs))
    changes = [
        lambda: made.on_order(stop_order(lot, quantity=D("0.01"))),
        lambda: made.on_order(order("i", OrderRole.ENTRY, Side.BUY, "0.004", filled_quantity=D("0.001"))),
        lambda: made.on_order(ended(working, OrderState.CANCELED, "0")),
        lambda: made.on_fill(fill(working, "0.001")),
    ]
    seen = {before}
    for change in changes:
        change()
        seen.add(digest(made.mirror.lines()))
    assert len(seen) == len(changes) + 1


def test_a_decision_that_execution_has_not_reported_is_not_in_the_digest() -> None:
    made = risk_state()
    before = made.mirror.lines()
    approved(made, intent())
    assert made.mirror.lines() == before
    journalled = order(intent().intent_id, OrderRole.ENTRY, Side.BUY, "0.01", state=OrderState.JOURNALLED)
    made.on_order(journalled)
    assert made.mirror.lines() == before == mirror_lines(made.mirror.positions, reported_orders([journalled]))


def test_nothing_opens_while_the_mirror_differs_and_everything_closes() -> None:
    made = hold(risk_state(), "0.02")
    made.mirror_problem = "mirror=differs from Execution's account at sequence 9"
    decision = decide(made)
    assert (decision.approved, decision.reason) == (False, Reason.UNRESOLVED_DRIFT)
    assert "at sequence 9" in decision.message
    assert decide(made, close("0.02")).approved
    StateUpdater(made).on_account(report(12, [], "0.02"), frozenset())
    assert decide(made).approved
