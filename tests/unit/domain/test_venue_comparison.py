"""Comparing accounts: each class of drift, and none where there is none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from titan.domain.account import Account
from titan.domain.enums import DriftClass, OrderRole, OrderState, OrderType, PositionEffect, Side, TimeInForce
from titan.domain.ids import client_order_id
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Adoption, Deposit, Intake, Record
from titan.domain.truth import Drift
from titan.domain.venue import VenueAccount, VenueOrder, VenueOrderState, VenuePosition
from titan.domain.venue_comparison import adoptions, compare, foreign_account, recognize

D = Decimal
PERP = "BTC/USDT:USDT"


def a_book(quantity: str = "0.01", cash: str = "200") -> Account:
    account = Account(PAPER_INSTRUMENTS)
    account.apply(Record(Deposit(asset="USDT", amount=D(cash), reference="start"), 1))
    if D(quantity):
        account.apply(Record(Adoption(symbol=PERP, quantity=D(quantity), average_entry_price=D(60000)), 1))
    return account


def an_account(quantity: str = "0.01", cash: str = "200") -> VenueAccount:
    return VenueAccount(
        balances={"USDT": D(cash)},
        positions=(VenuePosition(symbol=PERP, quantity=D(quantity), average_entry_price=D(60000)),)
        if D(quantity)
        else (),
        deposits=D(200),
        market_time_ns=1,
        wall_time_ns=1,
        last_trade_sequence=1,
    )


def an_order(order_id: str, **fields: Any) -> VenueOrder:
    return VenueOrder(
        **{
            "client_order_id": order_id,
            "venue_order_id": "v1",
            "symbol": PERP,
            "side": Side.SELL,
            "type": OrderType.STOP_MARKET,
            "time_in_force": TimeInForce.GTC,
            "quantity": D("0.01"),
            "reduce_only": True,
            "state": VenueOrderState.UNTRIGGERED,
            "market_time_ns": 1,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("description", "ours", "venue_account", "orders", "classes"),
    [
        ("equal", a_book(), an_account(), (), []),
        ("rounding of an average is no drift", a_book(), an_account(cash="200.0000005"), (), []),
        ("both flat", a_book("0"), an_account("0"), (), []),
        ("only ours", a_book(), an_account("0"), (), [DriftClass.GHOST]),
        ("only the venue's", a_book("0"), an_account(), (), [DriftClass.UNTRACKED]),
        ("sizes", a_book(), an_account("0.02"), (), [DriftClass.SIZE_MISMATCH]),
        ("cash", a_book(), an_account(cash="199.9"), (), [DriftClass.BALANCE]),
        ("an order of nobody's", a_book(), an_account(), (an_order("x"),), [DriftClass.ORPHAN_ORDER]),
        (
            "all of it",
            a_book(),
            an_account("0", "1"),
            (an_order("x"),),
            [DriftClass.GHOST, DriftClass.BALANCE, DriftClass.ORPHAN_ORDER],
        ),
    ],
)
def test_drifts(
    description: str,
    ours: Account,
    venue_account: VenueAccount,
    orders: tuple[VenueOrder, ...],
    classes: list[DriftClass],
) -> None:
    result = compare(ours, venue_account, orders)
    assert [drift.drift_class for drift in result.drifts] == classes, description
    for adoption in adoptions(result.drifts, venue_account, ours):
        ours.apply(Record(adoption, 2))
    again = compare(ours, venue_account, ())
    assert not again.drifts, "what was adopted is equal"
    assert ours.ledger.balanced


def test_evidence_is_equal_for_equal_accounts_and_other_for_others() -> None:
    same = compare(a_book(), an_account(), ())
    assert same.ours_sha256 == same.venues_sha256
    other = compare(a_book(), an_account("0.02"), ())
    assert other.ours_sha256 == same.ours_sha256 != other.venues_sha256


def test_what_was_found_on_the_way_comes_first() -> None:
    missed = Drift(drift_class=DriftClass.MISSED_FILL, symbol="", ours="", venues="trade 3")
    assert compare(a_book(), an_account(), (), [missed]).drifts == (missed,)


def test_an_order_of_ours_that_the_journal_lost_is_recognized_by_its_id() -> None:
    account = a_book()
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
    )
    account.apply(Record(intake, 1))
    stop = recognize(account, an_order(client_order_id("i1", OrderRole.STOP, 2)), 4)
    assert (stop.intent_id, stop.phase_id, stop.order_role, stop.attempt, stop.state) == (
        "i1",
        "scavenger",
        OrderRole.STOP,
        2,
        OrderState.NEW,
    )
    foreign = recognize(account, an_order("x", reduce_only=False), 4)
    assert (foreign.intent_id, foreign.phase_id, foreign.order_role) == ("adopted:x", "", OrderRole.ENTRY)


@pytest.mark.parametrize(
    ("description", "venue_last", "booked_last", "listed_last", "problem"),
    [
        ("as ours", 5, 5, 5, ""),
        ("a trade came while it was asked", 5, 5, 6, ""),
        ("both new", 0, 0, 0, ""),
        ("trades that were fetched", 7, 5, 7, ""),
        ("deleted", 0, 5, 5, "the venue's last trade is 0, ours is 5: another account, or it was reset; restore"),
        ("its list is short", 7, 5, 5, "the venue's last trade is 7, and the last that it lists is 5; restore"),
    ],
)
def test_an_account_that_can_never_be_ours(
    description: str, venue_last: int, booked_last: int, listed_last: int, problem: str
) -> None:
    found = foreign_account(venue_last, booked_last, listed_last)
    assert found.startswith(problem), description
    assert bool(found) is bool(problem)
