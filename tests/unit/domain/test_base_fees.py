"""Fees in base and in a third currency: what is held, what its stop covers, and what is never counted at par."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderType, PositionEffect, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Deposit, Intake, Record
from titan.domain.ledger import LedgerAccount
from titan.domain.numbers import is_multiple
from titan.domain.orders import Fill
from titan.domain.protection import InFlight, Place, plan_protection
from titan.risk.mirror import AccountMirror
from titan.wire.orders import fill_from_wire, fill_to_wire

D = Decimal
PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
KEY = ("scavenger", SPOT)


class Book:
    """An account, and Brain's shares of the same fills as they arrive over the wire."""

    def __init__(self) -> None:
        self.account = Account(PAPER_INSTRUMENTS)
        self.mirror = AccountMirror()
        self.number = 0
        self.account.apply(Record(Deposit(asset="USDT", amount=D(5000), reference="start"), 1))

    def trade(self, side: Side, quantity: str, fee: str, currency: str, symbol: str = SPOT) -> Any:
        self.number += 1
        opening = side is Side.BUY
        intake = Intake(
            intent_id=f"i{self.number}",
            phase_id="scavenger",
            attempt=1,
            position_effect=PositionEffect.OPENING if opening else PositionEffect.REDUCING,
            symbol=symbol,
            side=side,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            quantity=D(quantity),
            policy_hash="h",
            term=1,
            event_time_ns=1,
            stop_price=D(50000) if opening else D(0),
            target_price=D(70000) if opening else D(0),
        )
        order = self.account.apply(Record(intake, 5)).order
        assert order is not None
        fill = Fill(
            trade_id=f"v{self.number}",
            client_order_id=order.client_order_id,
            intent_id=order.intent_id,
            phase_id="scavenger",
            order_role=order.order_role,
            symbol=symbol,
            side=side,
            quantity=D(quantity),
            price=D(60000),
            fee=D(fee),
            fee_currency=currency,
            maker=False,
            event_time_ns=5,
            policy_hash="h",
        )
        change = self.account.apply(Record(fill, 5))
        assert change.fill is not None
        self.mirror.on_fill(fill_from_wire(fill_to_wire(change.fill)))
        return change

    @property
    def held(self) -> Decimal:
        """The phase's share, which equals the net position and Brain's view of it."""
        share = self.account.shares[KEY].quantity
        assert share == self.account.holdings[SPOT].quantity
        assert share == sum((one.quantity for one in self.mirror.shares_of_phase("scavenger")), D(0))
        assert share == sum((lot.quantity for lot in self.account.lots[KEY]), D(0))
        return share


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_spot_purchase_holds_what_its_fee_in_base_leaves(book: Book) -> None:
    change = book.trade(Side.BUY, "0.01", "0.00001", "BTC")
    assert book.held == D("0.00999")
    assert (change.fill.quantity, change.order.filled_quantity) == (D("0.01"), D("0.01")), "the order is filled whole"
    assert book.account.ledger.assets()["BTC"] == D("0.00999")
    assert book.account.fees == D("0.6"), "in quote units, at the fill's price"
    orders = [one.order for one in plan_protection(book.account, InFlight(), 10, 1) if isinstance(one, Place)]
    assert {one.quantity for one in orders if one.order_role is OrderRole.STOP} == {D("0.00999")}
    trip = book.trade(Side.SELL, "0.00999", "0.5994", "USDT").round_trip
    assert (trip.quantity, trip.realized_pnl, trip.fees) == (D("0.00999"), D(0), D("1.1994"))
    assert book.held == 0


def test_what_is_left_below_a_step_joins_the_next_fill(book: Book) -> None:
    book.trade(Side.BUY, "0.01", "0.0000075", "BTC")
    assert book.held == D("0.00999")
    assert book.account.ledger.assets()["BTC"] == D("0.0099925")
    book.trade(Side.BUY, "0.01", "0.0000075", "BTC")
    assert book.held == D("0.01998")
    book.trade(Side.BUY, "0.01", "0.0000025", "BTC")
    assert book.held == D("0.02998"), "0.0000025 of each of the three, less than a step"
    book.trade(Side.BUY, "0.01", "0.0000025", "BTC")
    assert book.held == D("0.03998")


def test_a_fee_in_a_third_currency_is_never_counted_at_par(book: Book) -> None:
    for symbol in (SPOT, PERP):
        book.trade(Side.BUY, "0.01", "0.001", "BNB", symbol)
    account = book.account
    assert account.fees == 0
    assert account.other_fees == {"BNB": D("0.002")}
    assert account.ledger.balance(LedgerAccount.FEES, "BNB") == D("0.002")
    assert account.ledger.assets()["BNB"] == D("-0.002")
    assert account.ledger.balanced
    assert account.shares[KEY].quantity == D("0.01")


@given(
    trades=st.lists(
        st.tuples(st.booleans(), st.integers(1, 900), st.integers(0, 20), st.sampled_from(["BTC", "USDT", "BNB"])),
        max_size=12,
    )
)
def test_a_share_never_exceeds_what_the_ledger_holds(trades: list[tuple[bool, int, int, str]]) -> None:
    book = Book()
    book.trade(Side.BUY, "0.001", "0", "USDT")
    for buys, steps, fee_bps, currency in trades:
        quantity = D(steps) * D("0.00001")
        if not buys:
            quantity = min(quantity, book.held)
        if not quantity:
            continue
        fee = quantity * fee_bps / 10_000
        if not buys and currency == "BTC":
            fee = min(fee, book.account.ledger.assets().get("BTC", D(0)) - quantity)
        book.trade(Side.BUY if buys else Side.SELL, str(quantity), f"{fee:f}", currency)
        assets = book.account.ledger.assets().get("BTC", D(0))
        assert 0 <= book.held <= assets < book.held + D("0.00001")
        assert is_multiple(book.held, PAPER_INSTRUMENTS[SPOT].quantity_step)
        assert book.account.ledger.balanced


def test_a_fill_goes_over_the_wire_with_the_quantity_that_it_moves(book: Book) -> None:
    fill = book.trade(Side.BUY, "0.01", "0.00001", "BTC").fill
    assert fill_from_wire(fill_to_wire(fill)).position_change == D("0.00999")
    plain = msgspec.structs.replace(fill, position_quantity=None)
    assert fill_to_wire(plain).position_quantity == ""
    assert fill_from_wire(fill_to_wire(plain)).position_change == D("0.01")
