"""Net position = sum of the shares, all of one sign: the check, the drift and its repair."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.domain.account import Account
from titan.domain.enums import DriftClass, OrderRole, OrderState, OrderType, PositionEffect, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.journal_records import Adoption, Intake, Record
from titan.domain.orders import Fill, Order
from titan.domain.positions import NOBODY, HeldPositions, Holding
from titan.domain.protection import InFlight, open_lots, plan_protection
from titan.domain.venue import VenueAccount, VenuePosition
from titan.domain.venue_comparison import adoptions, compare

D = Decimal
PERP = "BTC/USDT:USDT"


def entered(account: Account, phase_id: str) -> None:
    """Let a phase buy 0.01 with a stop."""
    intake = Intake(
        intent_id=f"{phase_id}-entry",
        phase_id=phase_id,
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
        stop_price=D(59_000),
        setup="trap",
    )
    order = account.apply(Record(intake, 1)).order
    assert order is not None
    filled(account, order, Side.BUY)


def leave(account: Account, phase_id: str, intent_id: str, order_role: OrderRole) -> None:
    """Let an exit or a stop of a phase sell 0.01."""
    order = Order(
        client_order_id=f"t-{intent_id}-{order_role.name}",
        intent_id=intent_id,
        phase_id=phase_id,
        order_role=order_role,
        attempt=1,
        symbol=PERP,
        side=Side.SELL,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        quantity=D("0.01"),
        reduce_only=True,
        policy_hash="h",
        term=1,
        created_ns=1,
        updated_ns=1,
        state=OrderState.ACKED,
    )
    account.apply(Record(order, 1))
    filled(account, order, Side.SELL)


def filled(account: Account, order: Order, side: Side) -> None:
    number = len(account.fills) + 1
    fill = Fill(
        trade_id=str(number),
        client_order_id=order.client_order_id,
        intent_id=order.intent_id,
        phase_id=order.phase_id,
        order_role=order.order_role,
        symbol=PERP,
        side=side,
        quantity=D("0.01"),
        price=D(60_000),
        fee=D(0),
        fee_currency="USDT",
        maker=False,
        event_time_ns=number,
        policy_hash="h",
        venue_sequence=number,
    )
    account.apply(Record(fill, number))


def venue_account(account: Account, quantity: str = "0") -> VenueAccount:
    held = VenuePosition(symbol=PERP, quantity=D(quantity), average_entry_price=D(60_000))
    return VenueAccount(
        balances=dict(account.ledger.assets()),
        positions=(held,) if D(quantity) else (),
        deposits=D(0),
        market_time_ns=9,
        wall_time_ns=9,
        last_trade_sequence=9,
    )


def test_a_stop_that_fires_beside_its_phase_s_exit_breaks_the_shares_and_is_repaired() -> None:
    account = Account(PAPER_INSTRUMENTS)
    entered(account, "hunter")
    entered(account, "scavenger")
    assert account.positions.shares_agree(PERP)
    leave(account, "hunter", "hunter-exit", OrderRole.EXIT)
    assert account.positions.shares_agree(PERP)
    leave(account, "hunter", "hunter-entry", OrderRole.STOP)
    assert account.holdings[PERP].quantity == 0
    assert account.positions.shares_of(PERP) == {"hunter": D("-0.01"), "scavenger": D("0.01")}
    assert not account.positions.shares_agree(PERP)

    flat = venue_account(account)
    result = compare(account, flat, ())
    (drift,) = result.drifts
    assert (drift.drift_class, drift.symbol) == (DriftClass.SHARES, PERP)
    assert (drift.ours, drift.venues) == ("hunter -0.01, scavenger 0.01", "net 0")
    for adoption in adoptions(result.drifts, flat, account):
        account.apply(Record(adoption, 10))
    assert account.positions.shares_of(PERP) == {}
    assert not list(open_lots(account)), "nothing is left to flatten"
    assert not plan_protection(account, InFlight(), 11, 1)
    assert not compare(account, flat, ()).drifts


def test_equal_shares_are_no_drift() -> None:
    account = Account(PAPER_INSTRUMENTS)
    entered(account, "hunter")
    entered(account, "scavenger")
    assert not compare(account, venue_account(account, "0.02"), ()).drifts


@pytest.mark.parametrize(
    ("description", "net", "shares", "after"),
    [
        ("equal", "0.02", {"a": "0.01", "b": "0.01"}, {"a": "0.01", "b": "0.01"}),
        ("flat", "0", {"a": "0.01", "b": "-0.01"}, {}),
        ("one opposes", "0.01", {"a": "-0.01", "b": "0.02"}, {"b": "0.01"}),
        ("a short with one that opposes", "-0.01", {"a": "0.01", "b": "-0.02"}, {"b": "-0.01"}),
        ("more than there is", "0.015", {"a": "0.01", "b": "0.01"}, {"a": "0.005", "b": "0.01"}),
        ("less than there is: the rest is nobody's", "0.03", {"a": "0.01"}, {"a": "0.01", NOBODY: "0.02"}),
        ("the other side", "-0.02", {"a": "0.01"}, {NOBODY: "-0.02"}),
    ],
)
def test_what_the_repair_leaves(description: str, net: str, shares: dict[str, str], after: dict[str, str]) -> None:
    positions = broken(net, shares)
    positions.adopt(Adoption(symbol=PERP, quantity=D(net), average_entry_price=D(60_000)), 9)
    assert positions.shares_of(PERP) == {phase: D(quantity) for phase, quantity in after.items()}, description
    assert positions.shares_agree(PERP)


@given(
    net=st.integers(-5, 5),
    shares=st.dictionaries(st.sampled_from(["a", "b", "c", NOBODY]), st.integers(-5, 5), max_size=4),
)
def test_after_a_repair_the_shares_always_agree(net: int, shares: dict[str, int]) -> None:
    positions = broken(str(net), {phase: str(quantity) for phase, quantity in shares.items()})
    agreed = positions.shares_agree(PERP)
    before = positions.shares_of(PERP)
    positions.adopt(Adoption(symbol=PERP, quantity=D(net), average_entry_price=D(1)), 9)
    assert positions.shares_agree(PERP)
    if agreed:
        assert positions.shares_of(PERP) == before, "what agrees is left alone"


def broken(net: str, shares: dict[str, str]) -> HeldPositions:
    positions = HeldPositions()
    if D(net):
        positions.holdings[PERP] = Holding(D(net), D(60_000), 1)
    for phase, quantity in shares.items():
        positions.shares[phase, PERP] = Holding(D(quantity), D(60_000), 1)
    return positions
