"""The comparison that judges the kills sees each way in which a record can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from support.stack.both_accounts import BothAccounts, disagreements
from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.ledger import LedgerAccount
from titan.domain.orders import Fill, Order
from titan.domain.positions import Holding
from titan.domain.venue import VenueOrderState, VenueTrade
from titan.matching.state import PositionState, VenueState, WorkingOrder

ONE = Decimal(1)
SYMBOL = "BTCUSDT"


def our_order(
    name: str, order_role: OrderRole, side: Side, kind: OrderType, state: OrderState, filled: Decimal
) -> Order:
    return Order(
        client_order_id=name,
        intent_id="intent",
        phase_id="scavenger",
        order_role=order_role,
        attempt=1,
        symbol=SYMBOL,
        side=side,
        type=kind,
        time_in_force=TimeInForce.GTC,
        quantity=ONE,
        reduce_only=order_role is OrderRole.STOP,
        policy_hash="",
        term=1,
        created_ns=0,
        updated_ns=0,
        state=state,
        filled_quantity=filled,
    )


def their_order(order: Order, state: VenueOrderState) -> WorkingOrder:
    return WorkingOrder(
        client_order_id=order.client_order_id,
        venue_order_id=f"v-{order.client_order_id}",
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        quantity=order.quantity,
        limit_price=Decimal(0),
        trigger_price=Decimal(0),
        reduce_only=order.reduce_only,
        priority=1,
        updated_ns=0,
        state=state,
        filled_quantity=order.filled_quantity,
    )


def agreeing() -> BothAccounts:
    """An entry that is filled, its position, and the stop that covers it."""
    entry = our_order("entry", OrderRole.ENTRY, Side.BUY, OrderType.LIMIT, OrderState.FILLED, ONE)
    stop = our_order("stop", OrderRole.STOP, Side.SELL, OrderType.STOP_MARKET, OrderState.ACKED, Decimal(0))
    ours = Account({})
    ours.orders = {"entry": entry, "stop": stop}
    ours.holdings = {SYMBOL: Holding(ONE, Decimal(100), 0)}
    ours.fills = [
        Fill(
            trade_id="7",
            client_order_id="entry",
            intent_id="intent",
            phase_id="scavenger",
            order_role=OrderRole.ENTRY,
            symbol=SYMBOL,
            side=Side.BUY,
            quantity=ONE,
            price=Decimal(100),
            fee=Decimal("0.02"),
            fee_currency="USDT",
            maker=True,
            event_time_ns=0,
            policy_hash="",
        )
    ]
    trade = VenueTrade(
        sequence=1,
        trade_id="7",
        client_order_id="entry",
        symbol=SYMBOL,
        side=Side.BUY,
        quantity=ONE,
        price=Decimal(100),
        fee=Decimal("0.02"),
        fee_currency="USDT",
        maker=True,
        market_time_ns=0,
    )
    venue = VenueState(
        orders={
            "entry": their_order(entry, VenueOrderState.FILLED),
            "stop": their_order(stop, VenueOrderState.UNTRIGGERED),
        },
        trades=[trade],
        positions={SYMBOL: PositionState(ONE, Decimal(100))},
    )
    return BothAccounts(ours, venue, {})


def change_order(books: BothAccounts, name: str, copy_as: str = "", **changes: object) -> None:
    order = msgspec.structs.replace(books.ours.orders[name], **changes)
    books.ours.orders[copy_as or name] = order


def unbalance(books: BothAccounts) -> None:
    books.ours.ledger.balances[LedgerAccount.ASSETS, "USDT"] += ONE


def change_fill(books: BothAccounts, **changes: object) -> None:
    books.ours.fills[0] = msgspec.structs.replace(books.ours.fills[0], **changes)


def test_books_that_agree() -> None:
    assert disagreements(agreeing()) == []


@pytest.mark.parametrize(
    ("description", "doctor", "sentence"),
    [
        ("a trade that we missed", lambda b: b.ours.fills.clear(), "trade 7 of the venue is not booked"),
        ("a trade booked twice", lambda b: b.ours.fills.append(b.ours.fills[0]), "trade 7 is booked 2 times"),
        ("a trade that never was", lambda b: b.venue.trades.clear(), "trade 7 is booked, the venue has none"),
        ("a trade at another price", lambda b: change_fill(b, price=Decimal(101)), "trade 7: booked"),
        ("a trade with another fee", lambda b: change_fill(b, fee=Decimal(0)), "trade 7: booked"),
        (
            "an entry sent twice",
            lambda b: change_order(b, "entry", "again", client_order_id="again", state=OrderState.LOST),
            "intent intent has 2 entries",
        ),
        ("an order that we forgot", lambda b: b.ours.orders.pop("stop"), "order stop of the venue is unknown to us"),
        (
            "an order filled otherwise",
            lambda b: change_order(b, "entry", filled_quantity=Decimal("0.5")),
            "order entry: filled 0.5 here, 1 there",
        ),
        (
            "an order that works here only",
            lambda b: change_order(b, "entry", state=OrderState.ACKED),
            "order entry is ACKED here, FILLED there",
        ),
        (
            "an order that the venue never had",
            lambda b: b.venue.orders.pop("entry"),
            "order entry was sent and the venue never had it",
        ),
        ("a position that we lost", lambda b: b.ours.holdings.clear(), "position BTCUSDT: None here, 1 there"),
        ("a position that is gone", lambda b: b.venue.positions.clear(), "position BTCUSDT: Holding"),
        (
            "a stop that is missing",
            lambda b: (b.venue.orders.pop("stop"), b.ours.orders.pop("stop")),
            "position BTCUSDT 1 is covered by stops of 0 only",
        ),
        (
            "a stop that was canceled",
            lambda b: setattr(b.venue.orders["stop"], "state", VenueOrderState.CANCELED),
            "position BTCUSDT 1 is covered by stops of 0 only",
        ),
        (
            "a stop that is too small",
            lambda b: setattr(b.venue.orders["stop"], "quantity", Decimal("0.4")),
            "position BTCUSDT 1 is covered by stops of 0.4 only",
        ),
        (
            "a stop on the wrong side",
            lambda b: setattr(b.venue.orders["stop"], "side", Side.BUY),
            "position BTCUSDT 1 is covered by stops of 0 only",
        ),
        ("a ledger that does not balance", unbalance, "the ledger does not balance"),
    ],
)
def test_each_difference_is_seen(description: str, doctor: Callable[[BothAccounts], object], sentence: str) -> None:
    books = agreeing()
    doctor(books)
    assert any(line.startswith(sentence) for line in disagreements(books)), (description, disagreements(books))
