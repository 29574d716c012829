"""Execution may report the account before the market lists its instruments: no position and no fill is lost."""

from __future__ import annotations

from decimal import Decimal

from support.risk.scene import HASH, NOW, PERP, rules
from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.orders import Fill, Order
from titan.domain.positions import PhaseShare, Position
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
)


def unlisted_state() -> RiskState:
    return RiskState(Limits(rules(), HASH, RiskParameters(), "paper"), (), ("scavenger", "hunter"))


def account() -> AccountReport:
    return AccountReport(
        working=[], positions=[HELD], round_trips=[], equity=None, truth=None, reconciled=True, policy_hash=HASH
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
    risk_state = unlisted_state()
    risk_state.set_positions([HELD])
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = risk_state.symbols[PERP]
    assert (held.net, held.stop_price, held.shares) == (HELD.quantity, HELD.stop_price, {"scavenger": HELD.quantity})


def test_a_later_account_without_the_position_removes_it() -> None:
    risk_state = unlisted_state()
    risk_state.set_positions([HELD])
    risk_state.set_positions([])
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    assert not risk_state.symbols[PERP].net


def test_a_fill_reported_before_its_symbol_is_listed_is_applied_once() -> None:
    updater = StateUpdater(unlisted_state())
    updater.on_account(account(), frozenset())
    part = fill("9", "0.001", Side.BUY, OrderRole.EXIT)
    assert updater.on_fill(part)
    assert not updater.on_fill(part), "reported twice, applied once"
    updater.risk_state.on_order(stop_at("62000"))
    updater.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = updater.risk_state.symbols[PERP]
    assert (held.net, held.shares) == (Decimal("-0.003"), {"scavenger": Decimal("-0.003")})
    assert held.stop_price == 62000
    assert [one.quantity for one in updater.shares.of("scavenger")] == [Decimal("-0.003")]
    updater.risk_state.refresh()
    assert updater.risk_state.gross_notional == Decimal("0.003") * held.mid > 0


def test_a_fill_that_closes_an_unlisted_position_finishes_the_trip() -> None:
    updater = StateUpdater(unlisted_state())
    updater.on_account(account(), frozenset())
    assert updater.on_fill(fill("9", "0.004", Side.BUY, OrderRole.STOP))
    updater.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = updater.risk_state.symbols[PERP]
    assert (held.net, held.stop_price, held.shares) == (0, 0, {})
    assert len(updater.risk_state.phases["scavenger"].history.trips) == 1


def test_a_position_filled_before_its_listing_has_its_stop() -> None:
    risk_state = unlisted_state()
    risk_state.on_fill(fill("9", "0.004", Side.SELL, OrderRole.ENTRY))
    risk_state.on_order(stop_at("62126"))
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    assert (risk_state.symbols[PERP].net, risk_state.symbols[PERP].stop_price) == (Decimal("-0.004"), 62126)
