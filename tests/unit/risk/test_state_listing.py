"""Execution may tell the account before the market tells what is traded: nothing held or filled is forgotten."""

from __future__ import annotations

from decimal import Decimal

from support.risk.scene import HASH, NOW, PERP, rules
from titan.brain.book_updater import BookUpdater
from titan.domain.equity import Equity
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.kinds import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.orders import Fill, Order
from titan.domain.positions import PhaseShare, Position
from titan.risk.limits import Limits
from titan.risk.parameters import RiskParameters
from titan.risk.state import RiskState
from titan.v1 import execution_pb2 as e
from titan.wire.orders import equity_to_wire, fill_to_wire, order_to_wire, position_to_wire

SHARE = PhaseShare(phase_id="scavenger", intent_id="i", quantity=Decimal("-0.004"), average_entry_price=Decimal(61755))
HELD = Position(
    symbol=PERP,
    quantity=Decimal("-0.004"),
    average_entry_price=Decimal(61755),
    stop_price=Decimal(62126),
    shares=(SHARE,),
)


def unlisted_book() -> RiskState:
    return RiskState(Limits(rules(), HASH, RiskParameters(), "paper"), (), ("scavenger", "hunter"))


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


def test_a_position_told_before_its_symbol_is_listed_counts_from_then() -> None:
    risk_state = unlisted_book()
    risk_state.set_positions([HELD])
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = risk_state.symbols[PERP]
    assert (held.net, held.stop_price, held.shares) == (HELD.quantity, HELD.stop_price, {"scavenger": HELD.quantity})


def test_an_account_that_no_longer_has_it_is_believed() -> None:
    risk_state = unlisted_book()
    risk_state.set_positions([HELD])
    risk_state.set_positions([])
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    assert not risk_state.symbols[PERP].net


def test_a_fill_told_before_its_symbol_is_listed_is_booked_and_handed_on() -> None:
    picture = BookUpdater(unlisted_book())
    account = e.AccountState(
        positions=[position_to_wire(HELD)], equity=equity_to_wire(Equity(known=False)), reconciled=True
    )
    picture.on_account(account, frozenset())
    part = fill_to_wire(fill("9", "0.001", Side.BUY, OrderRole.EXIT))
    assert picture.on_fill(part) is not None
    assert picture.on_fill(part) is None, "told twice, booked once"
    picture.on_order(order_to_wire(stop_at("62000")))
    picture.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = picture.risk_state.symbols[PERP]
    assert (held.net, held.shares) == (Decimal("-0.003"), {"scavenger": Decimal("-0.003")})
    assert held.stop_price == 62000
    assert [one.quantity for one in picture.shares.of("scavenger")] == [Decimal("-0.003")]
    picture.risk_state.refresh()
    assert picture.risk_state.gross_notional == Decimal("0.003") * held.mid > 0


def test_a_fill_that_closes_it_before_it_is_listed_leaves_nothing_and_finishes_the_trip() -> None:
    picture = BookUpdater(unlisted_book())
    picture.on_account(e.AccountState(positions=[position_to_wire(HELD)], reconciled=True), frozenset())
    assert picture.on_fill(fill_to_wire(fill("9", "0.004", Side.BUY, OrderRole.STOP))) is not None
    picture.risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    held = picture.risk_state.symbols[PERP]
    assert (held.net, held.stop_price, held.shares) == (0, 0, {})
    assert len(picture.risk_state.phases["scavenger"].history.trips) == 1


def test_what_is_filled_first_and_listed_later_is_bounded_by_its_stop() -> None:
    risk_state = unlisted_book()
    risk_state.on_fill(fill("9", "0.004", Side.SELL, OrderRole.ENTRY))
    risk_state.on_order(stop_at("62126"))
    risk_state.list_instruments(PAPER_INSTRUMENTS.values())
    assert (risk_state.symbols[PERP].net, risk_state.symbols[PERP].stop_price) == (Decimal("-0.004"), 62126)
