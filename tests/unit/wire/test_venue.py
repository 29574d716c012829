"""Requests and updates of a venue cross the wire unchanged, and an invalid field is named."""

from __future__ import annotations

import re

import pytest

from support.venues.matching import PERP, D, send
from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.reasons import Reason
from titan.domain.venue import (
    AmendOrder,
    CancelOrder,
    OrderRequest,
    RequestKind,
    Transfer,
    VenueAccount,
    VenueHeartbeat,
    VenueMarker,
    VenueOrder,
    VenueOrderState,
    VenuePosition,
    VenueReject,
    VenueTrade,
)
from titan.v1 import venue_pb2 as pb
from titan.venues.base import VenueUpdate
from titan.wire import venue as wire

REQUESTS: list[OrderRequest] = [
    send("a", "buy", "0.001"),
    send("a", "sell", "1", limit="60000.1", tif="POST_ONLY", at_ms=7),
    send("a", "sell", "1", stop="59000", reduce_only=True),
    CancelOrder(client_order_id="a", market_time_ns=1, signed_at_ns=2, receive_window_ms=3),
    AmendOrder(client_order_id="a", market_time_ns=1, signed_at_ns=2, receive_window_ms=3, quantity=D("0.5")),
    AmendOrder(client_order_id="a", market_time_ns=1, signed_at_ns=2, receive_window_ms=3, trigger_price=D(5)),
]
UPDATES: list[VenueUpdate] = [
    VenueOrder(
        client_order_id="a",
        venue_order_id="p1",
        symbol=PERP,
        side=Side.SELL,
        type=OrderType.TAKE_PROFIT_MARKET,
        time_in_force=TimeInForce.GTC,
        quantity=D(2),
        reduce_only=True,
        state=VenueOrderState.CANCELED,
        market_time_ns=9,
        filled_quantity=D(1),
        average_price=D("60001.5"),
        trigger_price=D(60000),
        reason=Reason.NO_LIQUIDITY,
        message="NO_LIQUIDITY: quantity=2, filled=1",
    ),
    VenueTrade(
        sequence=3,
        trade_id="paper-3",
        client_order_id="a",
        symbol=PERP,
        side=Side.SELL,
        quantity=D(1),
        price=D("60001.5"),
        fee=D("30.00075"),
        fee_currency="USDT",
        maker=True,
        market_time_ns=9,
    ),
    VenueReject(
        client_order_id="a",
        request=RequestKind.AMEND,
        reason=Reason.UNKNOWN_ORDER,
        message="no",
        market_time_ns=4,
    ),
    VenueMarker(step=5, market_time_ns=6),
    VenueHeartbeat(wall_time_ns=7, last_trade_sequence=8),
    VenueHeartbeat(wall_time_ns=7, last_trade_sequence=8, deposits=D("120.5")),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_requests(request_: OrderRequest) -> None:
    assert wire.request_from_wire(wire.request_to_wire(request_)) == request_


@pytest.mark.parametrize("update", UPDATES, ids=lambda each: type(each).__name__)
def test_updates(update: VenueUpdate) -> None:
    assert wire.update_from_wire(wire.update_to_wire(update)) == update


@pytest.mark.parametrize(
    ("transfer_id", "amount", "problem"),
    [
        ("", "1", "transfer_id: ''"),
        ("x" * 65, "1", "allowed are 1 to 64 characters"),
        ("t", "", "amount: ''"),
        ("t", "1e3", "amount: '1e3'"),
        ("t", "0", "amount: 0 is not allowed"),
        ("t", "1000000001", "allowed are up to 1000000000"),
        ("t", "-1000000001", "allowed are up to 1000000000"),
    ],
)
def test_a_transfer_is_read_strictly(transfer_id: str, amount: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        wire.transfer_from_wire(pb.TransferRequest(transfer_id=transfer_id, amount=amount))
    read = wire.transfer_from_wire(pb.TransferRequest(transfer_id="t", amount="-0.5"))
    assert read == Transfer("t", D("-0.5"))


def test_account() -> None:
    account = VenueAccount(
        balances={"USDT": D("199.5"), "BTC": D("0.001")},
        positions=(VenuePosition(symbol=PERP, quantity=D("-0.5"), average_entry_price=D("60000.25")),),
        deposits=D(200),
        market_time_ns=1,
        wall_time_ns=2,
        last_trade_sequence=3,
    )
    assert wire.account_from_wire(wire.account_to_wire(account)) == account


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (pb.TradeRequest(), "message: None is no request; allowed are send, cancel and amend"),
        (
            pb.TradeRequest(send=pb.VenueSend(side=1, type=1, time_in_force=1, quantity="1e3")),
            r"send.quantity: '1e3' is not a canonical decimal",
        ),
        (pb.TradeRequest(send=pb.VenueSend()), r"send.side: 0 is not known; allowed are BUY, SELL"),
        (pb.TradeRequest(amend=pb.VenueAmend(quantity="x")), "amend.quantity: 'x' is not a canonical decimal"),
    ],
)
def test_requests_that_are_wrong(message: pb.TradeRequest, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        wire.request_from_wire(message)


def test_an_update_without_content() -> None:
    with pytest.raises(
        ValueError, match="message: None is no update; allowed are order, trade, reject, marker and heartbeat"
    ):
        wire.update_from_wire(pb.TradeResponse())


def test_states_have_the_numbers_of_the_contract() -> None:
    of_the_wire = {
        value.name.removeprefix("VENUE_ORDER_STATE_"): value.number
        for value in pb.VenueOrderState.DESCRIPTOR.values
        if value.number
    }
    assert of_the_wire == {state.name: state.value for state in VenueOrderState}
    assert [state.name for state in VenueOrderState if state.final] == ["FILLED", "CANCELED", "REJECTED", "EXPIRED"]
