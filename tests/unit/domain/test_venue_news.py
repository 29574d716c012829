"""The effect of a venue's reports on an order of ours."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.orders import Order, TransitionError
from titan.domain.reasons import Reason
from titan.domain.venue import RequestKind, VenueOrder, VenueOrderState, VenueReject, VenueTrade
from titan.domain.venue_news import after_reject, after_venue_order, fill_from_trade

D = Decimal
S, V = OrderState, VenueOrderState

ORDER = Order(
    client_order_id="t1",
    intent_id="i1",
    phase_id="p",
    order_role=OrderRole.STOP,
    attempt=1,
    symbol="BTC/USDT:USDT",
    side=Side.SELL,
    type=OrderType.STOP_MARKET,
    time_in_force=TimeInForce.GTC,
    quantity=D(10),
    reduce_only=True,
    policy_hash="h",
    term=1,
    created_ns=1,
    updated_ns=1,
    trigger_price=D(90),
    state=S.SENT,
)


def told(state: VenueOrderState, **fields: Any) -> VenueOrder:
    return VenueOrder(
        **{
            "client_order_id": "t1",
            "venue_order_id": "v1",
            "symbol": ORDER.symbol,
            "side": Side.SELL,
            "type": OrderType.STOP_MARKET,
            "time_in_force": TimeInForce.GTC,
            "quantity": D(10),
            "reduce_only": True,
            "state": state,
            "market_time_ns": 5,
            "trigger_price": D(90),
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("description", "before", "filled", "news", "after", "quantity"),
    [
        ("on its way", S.SENT, 0, told(V.PENDING), S.ACKED, 10),
        ("it waits for its trigger", S.SENT, 0, told(V.UNTRIGGERED), S.ACKED, 10),
        ("found by asking", S.UNKNOWN, 0, told(V.OPEN), S.ACKED, 10),
        ("a doubted partial, found", S.UNKNOWN, 4, told(V.OPEN), S.PARTIAL, 10),
        ("found after a crash before SENT", S.JOURNALLED, 0, told(V.OPEN), S.ACKED, 10),
        ("given up too early", S.LOST, 0, told(V.OPEN), S.ACKED, 10),
        ("filled: trades say so, not this", S.SENT, 0, told(V.FILLED, filled_quantity=D(10)), S.ACKED, 10),
        ("filled, and the trades are here", S.FILLED, 10, told(V.FILLED, filled_quantity=D(10)), S.FILLED, 10),
        ("canceled", S.ACKED, 0, told(V.CANCELED), S.CANCELED, 10),
        ("canceled, never acknowledged", S.SENT, 0, told(V.CANCELED), S.CANCELED, 10),
        ("told again", S.CANCELED, 0, told(V.CANCELED), S.CANCELED, 10),
        ("rejected on arrival", S.SENT, 0, told(V.REJECTED), S.REJECTED, 10),
        ("rejected at its trigger", S.ACKED, 0, told(V.REJECTED), S.REJECTED, 10),
        ("expired", S.ACKED, 0, told(V.EXPIRED), S.EXPIRED, 10),
        ("amended", S.ACKED, 0, told(V.UNTRIGGERED, quantity=D(7)), S.ACKED, 7),
        (
            "shrunk to the holding, filled",
            S.PARTIAL,
            4,
            told(V.FILLED, quantity=D(4), filled_quantity=D(4)),
            S.FILLED,
            4,
        ),
        ("older than its trades", S.PARTIAL, 4, told(V.OPEN, quantity=D(3)), S.PARTIAL, 10),
        (
            "another trigger, older than its trades",
            S.PARTIAL,
            4,
            told(V.OPEN, quantity=D(3), trigger_price=D(91)),
            S.PARTIAL,
            10,
        ),
    ],
)
def test_orders_as_reported(
    description: str, before: OrderState, filled: int, news: VenueOrder, after: OrderState, quantity: int
) -> None:
    order = msgspec.structs.replace(ORDER, state=before, filled_quantity=D(filled))
    result = after_venue_order(order, news)
    assert (result.state, result.quantity) == (after, D(quantity)), description
    assert result.filled_quantity == D(filled), "fills come from trades only"


def test_what_cannot_be_is_refused() -> None:
    partial = msgspec.structs.replace(ORDER, state=S.PARTIAL, filled_quantity=D(4))
    with pytest.raises(TransitionError, match=r"PARTIAL.*REJECT"):
        after_venue_order(partial, told(V.REJECTED))


@pytest.mark.parametrize(
    ("description", "venue", "kept"),
    [
        ("the venue has no reason of its own: ours", Reason.OK, (Reason.EXPIRED, "ttl")),
        ("the venue's reason is true", Reason.POSITION_CLOSED, (Reason.POSITION_CLOSED, "gone")),
    ],
)
def test_why_it_was_canceled(description: str, venue: Reason, kept: tuple[Reason, str]) -> None:
    order = msgspec.structs.replace(ORDER, state=S.ACKED)
    after = after_venue_order(order, told(V.CANCELED, reason=venue, message="gone"), (Reason.EXPIRED, "ttl"))
    assert (after.reason, after.message) == kept, description


@pytest.mark.parametrize(
    ("reason", "state"),
    [(Reason.RECEIVE_WINDOW, S.REJECTED), (Reason.DUPLICATE_ORDER, S.UNKNOWN)],
)
def test_a_refused_send(reason: Reason, state: OrderState) -> None:
    reject = VenueReject(client_order_id="t1", request=RequestKind.SEND, reason=reason, message="no", market_time_ns=5)
    assert after_reject(ORDER, reject).state is state


def test_a_trade_becomes_a_fill_of_the_order() -> None:
    trade = VenueTrade(
        sequence=7,
        trade_id="v7",
        client_order_id="t1",
        symbol=ORDER.symbol,
        side=Side.SELL,
        quantity=D(3),
        price=D(89),
        fee=D("0.1"),
        fee_currency="USDT",
        maker=False,
        market_time_ns=5,
    )
    fill = fill_from_trade(ORDER, trade)
    assert (fill.intent_id, fill.order_role, fill.quantity, fill.price, fill.venue_sequence) == (
        "i1",
        OrderRole.STOP,
        D(3),
        D(89),
        7,
    )
