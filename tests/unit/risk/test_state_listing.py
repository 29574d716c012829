"""Execution may report the account before the market lists its instruments: no position and no fill is lost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.risk.scene import HASH, NOW, PERP, rules
from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.lots import Lot
from titan.domain.orders import Fill, Order
from titan.domain.positions import PhaseShare, Position, TripProgress
from titan.domain.trip_results import TripResults
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.state import RiskState
from titan.risk.state_updater import AccountReport, StateUpdater

SHARE = PhaseShare(phase_id="scavenger", intent_id="i", quantity=Decimal("-0.004"), average_entry_price=Decimal(61755))
HELD = Position(
    symbol=PERP,
    quantity=Decimal("-0.004"),
    average_entry_price=Decimal(61755),
    stop_price=Decimal(62126),
    shares=(SHARE,),
    lots=(
        Lot(
            intent_id="i",
            phase_id="scavenger",
            symbol=PERP,
            quantity=Decimal("-0.004"),
            stop_price=Decimal(62126),
            target_price=Decimal(61000),
        ),
    ),
)
TRIP = TripProgress(
    intent_id="i",
    setup="breakout",
    side=Side.SELL,
    opened_ns=NOW,
    entered_quantity=Decimal("0.004"),
    entered_notional=Decimal("247.02"),
    fees=Decimal("0.12"),
)


def unlisted_state() -> RiskState:
    return RiskState(Limits(rules(), HASH, RiskParameters(), "paper"), (), ("scavenger", "hunter"))


def account(*positions: Position) -> AccountReport:
    return AccountReport(
        sequence=8,
        working=[],
        positions=positions,
        open_trips=[(("scavenger", PERP), TRIP)] if positions else [],
        terms={},
        round_trips=[],
        results=TripResults(),
        equity=None,
        truth=None,
        reconciled=True,
        policy_hash=HASH,
    )


def fill(trade_id: str, quantity: str, side: Side, order_role: OrderRole) -> Fill:
    return Fill(
        trade_id=trade_id,
        client_order_id="t1",
        intent_id="i",
        phase_id="scavenger",
        order_role=order_role,
        symbol=PERP,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(61800),
        fee=Decimal("0.1"),
        fee_currency="USDT",
        maker=False,
        event_time_ns=NOW,
        policy_hash=HASH,
    )


def stop_at(trigger: str) -> Order:
    return Order(
        client_order_id="t2",
        intent_id="i",
        phase_id="scavenger",
        order_role=OrderRole.STOP,
        attempt=1,
        symbol=PERP,
        side=Side.BUY,
        type=OrderType.STOP_MARKET,
        time_in_force=TimeInForce.GTC,
        quantity=Decimal("0.004"),
        trigger_price=Decimal(trigger),
        reduce_only=True,
        policy_hash=HASH,
        term=1,
        created_ns=NOW,
        updated_ns=NOW,
        state=OrderState.ACKED,
    )


def test_a_position_reported_before_its_symbol_is_listed_counts_from_the_listing() -> None:
    updater = StateUpdater(unlisted_state())
    updater.on_account(account(HELD), frozenset())
    updater.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = updater.risk_state.symbols[PERP]
    assert (held.net, held.shares) == (HELD.quantity, {"scavenger": HELD.quantity})
    assert updater.mirror.lots_of(PERP) == [*HELD.lots]


def test_a_later_account_without_the_position_removes_it() -> None:
    updater = StateUpdater(unlisted_state())
    updater.on_account(account(HELD), frozenset())
    updater.on_account(account(), frozenset())
    updater.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    assert not updater.risk_state.symbols[PERP].net
    assert not updater.mirror.lots_of(PERP)


def test_a_fill_reported_before_its_symbol_is_listed_is_applied_once() -> None:
    updater = StateUpdater(unlisted_state())
    updater.on_account(account(HELD), frozenset())
    part = fill("9", "0.001", Side.BUY, OrderRole.EXIT)
    assert not updater.on_fill(part, 8), "contained in the account"
    assert updater.on_fill(part, 9)
    assert not updater.on_fill(part, 9), "reported twice, applied once"
    updater.risk_state.on_order(stop_at("62000"), 10)
    updater.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = updater.risk_state.symbols[PERP]
    assert (held.net, held.shares) == (Decimal("-0.003"), {"scavenger": Decimal("-0.003")})
    assert [one.quantity for one in updater.mirror.shares_of_phase("scavenger")] == [Decimal("-0.003")]
    updater.risk_state.refresh()
    assert updater.risk_state.gross_notional == Decimal("0.003") * held.mid > 0
    assert updater.risk_state.worst_case == pytest.approx(
        Decimal("0.003") * (245 + held.mid * held.fees_taker / 2), abs=Decimal("1e-9")
    )


def test_a_fill_that_closes_an_unlisted_position_finishes_the_whole_trip() -> None:
    updater = StateUpdater(unlisted_state())
    updater.on_account(account(HELD), frozenset())
    assert updater.on_fill(fill("9", "0.004", Side.BUY, OrderRole.STOP), 9)
    assert not updater.on_fill(fill("9", "0.004", Side.BUY, OrderRole.STOP), 9), "reported twice, counted once"
    updater.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = updater.risk_state.symbols[PERP]
    assert (held.net, held.shares) == (0, {})
    (trip,) = updater.risk_state.phases["scavenger"].history.trips
    assert (trip.setup, trip.realized_pnl, trip.fees) == ("breakout", Decimal("-0.18"), Decimal("0.22"))


def test_a_stop_reported_before_its_symbol_is_listed_covers_its_lot() -> None:
    risk_state = unlisted_state()
    risk_state.on_fill(fill("9", "0.004", Side.SELL, OrderRole.ENTRY))
    risk_state.on_order(stop_at("62126"))
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    risk_state.refresh()
    assert risk_state.symbols[PERP].net == Decimal("-0.004")
    assert risk_state.worst_case < 2
