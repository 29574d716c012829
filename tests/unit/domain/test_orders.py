"""The order state machine: every state × event, and what a trade or amendment does to an order."""

from __future__ import annotations

import itertools
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.orders import (
    FINAL_STATES,
    ORDER_TABLE,
    Order,
    OrderEvent,
    OrderEventKind,
    TransitionError,
    apply,
    fill_kind,
    next_state,
)
from titan.domain.reasons import Reason

S, E = OrderState, OrderEventKind
D = Decimal


def an_order(state: OrderState = S.NEW, quantity: str = "1", filled: str = "0", average: str = "0") -> Order:
    return Order(
        client_order_id="t1",
        intent_id="i1",
        phase_id="scavenger",
        order_role=OrderRole.ENTRY,
        attempt=1,
        symbol="BTC/USDT:USDT",
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity=D(quantity),
        reduce_only=False,
        policy_hash="h",
        term=1,
        created_ns=10,
        updated_ns=10,
        state=state,
        filled_quantity=D(filled),
        average_price=D(average),
    )


# Independent of the table: each row is of the design, in words, with the events that a state allows.
ALLOWED: dict[OrderState, dict[OrderEventKind, OrderState]] = {
    S.NEW: {E.JOURNAL: S.JOURNALLED, E.ACK: S.ACKED, E.FILL_PART: S.PARTIAL, E.FILL_REST: S.FILLED},
    S.JOURNALLED: {
        E.SEND: S.SENT,
        E.ACK: S.ACKED,
        E.FILL_PART: S.PARTIAL,
        E.FILL_REST: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.REJECT: S.REJECTED,
        E.EXPIRE: S.EXPIRED,
        E.DOUBT: S.UNKNOWN,
    },
    S.SENT: {
        E.ACK: S.ACKED,
        E.FILL_PART: S.PARTIAL,
        E.FILL_REST: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.REJECT: S.REJECTED,
        E.EXPIRE: S.EXPIRED,
        E.DOUBT: S.UNKNOWN,
    },
    S.ACKED: {
        E.ACK: S.ACKED,
        E.AMEND: S.ACKED,
        E.FILL_PART: S.PARTIAL,
        E.FILL_REST: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.REJECT: S.REJECTED,
        E.EXPIRE: S.EXPIRED,
        E.DOUBT: S.UNKNOWN,
    },
    S.PARTIAL: {
        E.ACK: S.PARTIAL,
        E.AMEND: S.PARTIAL,
        E.FILL_PART: S.PARTIAL,
        E.FILL_REST: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
        E.DOUBT: S.UNKNOWN,
    },
    S.FILLED: {E.ACK: S.FILLED},
    S.CANCELED: {E.ACK: S.CANCELED, E.CANCEL: S.CANCELED, E.FILL_PART: S.CANCELED, E.FILL_REST: S.FILLED},
    S.REJECTED: {E.REJECT: S.REJECTED},
    S.EXPIRED: {E.ACK: S.EXPIRED, E.EXPIRE: S.EXPIRED, E.FILL_PART: S.EXPIRED, E.FILL_REST: S.FILLED},
    S.LOST: {
        E.ACK: S.ACKED,
        E.FILL_PART: S.PARTIAL,
        E.FILL_REST: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.REJECT: S.REJECTED,
        E.EXPIRE: S.EXPIRED,
    },
    S.UNKNOWN: {
        E.ACK: S.ACKED,
        E.FILL_PART: S.PARTIAL,
        E.FILL_REST: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.REJECT: S.REJECTED,
        E.EXPIRE: S.EXPIRED,
        E.LOSE: S.LOST,
        E.DOUBT: S.UNKNOWN,
    },
}


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(S, E)), ids=lambda value: value.name)
def test_every_state_and_event(state: OrderState, kind: OrderEventKind) -> None:
    wanted = ALLOWED[state].get(kind)
    if wanted is not None:
        assert next_state(state, kind) is wanted
    else:
        with pytest.raises(TransitionError, match=f"{state.name}.*{kind.name}"):
            next_state(state, kind)


def test_the_refusal_names_order_state_and_event() -> None:
    with pytest.raises(TransitionError, match=r"t1 \(ENTRY\).*SENT.*SEND"):
        apply(an_order(S.SENT), OrderEvent(kind=E.SEND, market_time_ns=11))


def test_an_order_is_sent_at_most_once() -> None:
    assert [state for state in S if (state, E.SEND) in ORDER_TABLE] == [S.JOURNALLED]


def test_lost_is_reached_only_by_asking() -> None:
    assert [state for (state, _), after in ORDER_TABLE.items() if after is S.LOST] == [S.UNKNOWN]


def test_final_states_end_only_by_reports_of_the_venue() -> None:
    told = {E.ACK, E.FILL_PART, E.FILL_REST, E.CANCEL, E.REJECT, E.EXPIRE}
    assert {kind for (state, kind) in ORDER_TABLE if state in FINAL_STATES} <= told


@pytest.mark.parametrize(
    ("description", "order", "event", "state", "filled", "average"),
    [
        ("a first part", an_order(S.ACKED), ("0.4", "100"), S.PARTIAL, "0.4", "100"),
        (
            "the rest, at another price",
            an_order(S.PARTIAL, filled="0.5", average="100"),
            ("0.5", "102"),
            S.FILLED,
            "1",
            "101",
        ),
        ("a fill before the acknowledgement", an_order(S.SENT), ("1", "100"), S.FILLED, "1", "100"),
        ("a late fill after the cancel", an_order(S.CANCELED), ("0.4", "100"), S.CANCELED, "0.4", "100"),
        ("a late fill of everything", an_order(S.CANCELED), ("1", "100"), S.FILLED, "1", "100"),
    ],
)
def test_fills(
    description: str, order: Order, event: tuple[str, str], state: OrderState, filled: str, average: str
) -> None:
    quantity, price = map(D, event)
    after = apply(order, OrderEvent(kind=fill_kind(order, quantity), quantity=quantity, price=price, market_time_ns=12))
    assert (after.state, after.filled_quantity, after.average_price) == (state, D(filled), D(average)), description
    assert after.updated_ns == 12


@pytest.mark.parametrize(
    ("description", "kind", "quantity"),
    [
        ("more than is left", E.FILL_REST, "1.5"),
        ("a part that is all", E.FILL_PART, "1"),
        ("a rest that leaves something", E.FILL_REST, "0.5"),
        ("nothing", E.FILL_PART, "0"),
        ("less than nothing", E.FILL_PART, "-0.1"),
    ],
)
def test_a_trade_that_does_not_fit_is_refused(description: str, kind: OrderEventKind, quantity: str) -> None:
    with pytest.raises(TransitionError, match="does not fit"):
        apply(an_order(S.ACKED), OrderEvent(kind=kind, quantity=D(quantity), price=D(100), market_time_ns=12))


def test_an_end_keeps_its_reason_and_later_news_do_not_erase_it() -> None:
    ended = apply(an_order(S.ACKED), OrderEvent(kind=E.CANCEL, market_time_ns=12, reason=Reason.EXPIRED, message="ttl"))
    assert (ended.state, ended.reason, ended.message) == (S.CANCELED, Reason.EXPIRED, "ttl")
    late = apply(ended, OrderEvent(kind=E.ACK, market_time_ns=13, venue_order_id="v1"))
    assert (late.reason, late.venue_order_id) == (Reason.EXPIRED, "v1")


def test_amendments_change_what_they_name() -> None:
    amended = apply(an_order(S.ACKED), OrderEvent(kind=E.AMEND, quantity=D("0.6"), market_time_ns=12))
    assert (amended.quantity, amended.limit_price, amended.state) == (D("0.6"), D(0), S.ACKED)
    with pytest.raises(TransitionError, match="below"):
        apply(an_order(S.PARTIAL, filled="0.5"), OrderEvent(kind=E.AMEND, quantity=D("0.4"), market_time_ns=12))


def test_an_order_shrunk_to_its_fills_is_finished() -> None:
    shrunk = apply(
        an_order(S.PARTIAL, filled="0.4", average="100"), OrderEvent(kind=E.AMEND, quantity=D("0.4"), market_time_ns=1)
    )
    assert shrunk.state is S.FILLED


def test_a_doubted_partial_comes_back_as_partial() -> None:
    doubted = apply(an_order(S.PARTIAL, filled="0.4"), OrderEvent(kind=E.DOUBT, market_time_ns=12))
    assert doubted.state is S.UNKNOWN
    assert apply(doubted, OrderEvent(kind=E.ACK, market_time_ns=13)).state is S.PARTIAL


@given(st.lists(st.tuples(st.sampled_from(list(E)), st.integers(1, 12)), max_size=40))
def test_no_history_breaks_the_invariants(history: list[tuple[OrderEventKind, int]]) -> None:
    order = an_order(quantity="10")
    for kind, size in history:
        quantity = D(size) if kind in (E.FILL_PART, E.FILL_REST, E.AMEND) else D(0)
        before = order
        try:
            order = apply(order, OrderEvent(kind=kind, quantity=quantity, price=D(100), market_time_ns=20))
        except TransitionError:
            assert order == before
        assert D(0) <= order.filled_quantity <= order.quantity
        assert order.filled_quantity >= before.filled_quantity, "money that moved does not come back"
        assert (order.state is S.FILLED) == (order.filled_quantity == order.quantity)
        if order.state is S.LOST:
            assert before.state in (S.UNKNOWN, S.LOST)
        assert msgspec.structs.replace(order) == order
