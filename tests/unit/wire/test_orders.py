"""Records cross the wire unchanged; a value that is not canonical is refused with its field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from titan.domain.enums import DriftClass, OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.orders import Fill, Order
from titan.domain.positions import PhaseShare, Position, RoundTrip
from titan.domain.reasons import Reason
from titan.domain.truth import Drift, TruthSnapshot
from titan.v1 import order_pb2
from titan.wire import orders as wire

D = Decimal

ORDER = Order(
    client_order_id="t1",
    intent_id="i1",
    phase_id="p",
    order_role=OrderRole.STOP,
    attempt=2,
    symbol="BTC/USDT:USDT",
    side=Side.SELL,
    type=OrderType.STOP_MARKET,
    time_in_force=TimeInForce.GTC,
    quantity=D("0.010"),
    reduce_only=True,
    policy_hash="h",
    term=7,
    created_ns=1,
    updated_ns=2,
    limit_price=D("1.5"),
    trigger_price=D(60000),
    state=OrderState.PARTIAL,
    filled_quantity=D("0.001"),
    average_price=D("59999.123456789012"),
    reason=Reason.EXPIRED,
    message="m",
    venue_order_id="v1",
)
FILL = Fill(
    trade_id="v1",
    client_order_id="t1",
    intent_id="i1",
    phase_id="p",
    order_role=OrderRole.ENTRY,
    symbol="BTC/USDT:USDT",
    side=Side.BUY,
    quantity=D("0.01"),
    price=D(60000),
    fee=D("-0.1"),
    fee_currency="USDT",
    maker=True,
    event_time_ns=3,
    policy_hash="h",
    realized_pnl=D("-1.25"),
    venue_sequence=9,
)
POSITION = Position(
    symbol="s",
    quantity=D("-0.01"),
    average_entry_price=D(60000),
    realized_pnl=D(1),
    mark_price=D(61000),
    unrealized_pnl=D(-10),
    stop_price=D(62000),
    stop_quantity=D("0.01"),
    target_price=D(50000),
    opened_ns=1,
    updated_ns=2,
    shares=(PhaseShare(phase_id="p", quantity=D("-0.01"), average_entry_price=D(60000), intent_id="i"),),
)
EQUITY = Equity(
    known=True,
    equity=D(201),
    unconfirmed=D("0.5"),
    net_deposits=D(190),
    oldest_mark_ns=4,
    cash=D(200),
    unrealized_pnl=D(1),
    realized_pnl=D(3),
    fees=D("0.5"),
    day_start_equity=D(200),
    high_water_mark=D(202),
    drawdown=D("0.004950495049"),
    margin_used=D(30),
    market_time_ns=5,
)
TRUTH = TruthSnapshot(
    known=True,
    score=60,
    drifts=(Drift(drift_class=DriftClass.GHOST, symbol="s", ours="1", venues="0", resolved=True, repair="adopted"),),
    unresolved=1,
    ours_sha256="a",
    venues_sha256="b",
    market_time_ns=3,
    passes=4,
)
TRIP = RoundTrip(
    intent_id="i",
    phase_id="p",
    setup="trap",
    symbol="s",
    side=Side.SELL,
    quantity=D(1),
    entry_price=D(100),
    exit_price=D(99),
    realized_pnl=D(1),
    fees=D("0.1"),
    opened_ns=1,
    closed_ns=2,
)


@pytest.mark.parametrize(
    ("record", "there", "back"),
    [
        (ORDER, wire.order_to_wire, wire.order_from_wire),
        (FILL, wire.fill_to_wire, wire.fill_from_wire),
        (POSITION, wire.position_to_wire, wire.position_from_wire),
        (EQUITY, wire.equity_to_wire, wire.equity_from_wire),
        (TRUTH, wire.truth_to_wire, wire.truth_from_wire),
        (TRIP, wire.round_trip_to_wire, wire.round_trip_from_wire),
    ],
    ids=lambda value: type(value).__name__,
)
def test_round_trip(record: Any, there: Any, back: Any) -> None:
    message = there(record)
    assert back(type(message).FromString(message.SerializeToString())) == record


def test_an_execution_that_confirms_no_price_confirms_its_equity() -> None:
    message = wire.equity_to_wire(EQUITY)
    message.ClearField("confirmed_equity")
    assert wire.equity_from_wire(message).confirmed_equity == D(201)


def test_unknown_equity_carries_no_numbers() -> None:
    message = wire.equity_to_wire(Equity(known=False, reason="no price", market_time_ns=5))
    assert (message.known, message.reason, message.equity, message.cash) == (False, "no price", "", "")
    assert not wire.equity_from_wire(message).known


def test_a_decimal_in_another_spelling_is_refused_with_its_field() -> None:
    with pytest.raises(ValueError, match=r"order\.quantity: '1e3'"):
        wire.order_from_wire(order_pb2.Order(order_role=1, side=1, type=1, time_in_force=1, state=1, quantity="1e3"))


def test_an_enumeration_without_a_name_is_refused() -> None:
    allowed = "ENTRY, STOP, TARGET, EXIT, FLATTEN"
    with pytest.raises(ValueError, match=rf"order\.order_role: 0 is not known; allowed are {allowed}"):
        wire.order_from_wire(order_pb2.Order())
