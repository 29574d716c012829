"""Orders in flight count as if done; budgets, history and shares."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from support.risk.scene import HASH, NOW, PERP, SECOND, close, decide, equity, hold, intent, risk_state, stop_order
from titan.domain.enums import BudgetState, OrderRole, OrderState, OrderType, Posture, RiskLevel, Side, TimeInForce
from titan.domain.equity import Equity
from titan.domain.orders import Fill, Order
from titan.domain.positions import RoundTrip
from titan.risk.allocation import AllocationState, allocate
from titan.risk.budgets import grant
from titan.risk.engine import reserve
from titan.risk.history import PhaseHistory
from titan.risk.reservations import Terms


def order(**changed: Any) -> Order:
    common: dict[str, Any] = {
        "client_order_id": "t1",
        "intent_id": intent().intent_id,
        "phase_id": "scavenger",
        "order_role": OrderRole.ENTRY,
        "attempt": 1,
        "symbol": PERP,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "time_in_force": TimeInForce.IOC,
        "quantity": Decimal("0.010"),
        "reduce_only": False,
        "policy_hash": HASH,
        "term": 1,
        "created_ns": NOW,
        "updated_ns": NOW,
    }
    return Order(**{**common, **changed})


def fill(quantity: str, price: str = "61234.6", **changed: Any) -> Fill:
    common: dict[str, Any] = {
        "trade_id": "1",
        "client_order_id": "t1",
        "intent_id": intent().intent_id,
        "phase_id": "scavenger",
        "order_role": OrderRole.ENTRY,
        "symbol": PERP,
        "side": Side.BUY,
        "quantity": Decimal(quantity),
        "price": Decimal(price),
        "fee": Decimal("0.3"),
        "fee_currency": "USDT",
        "maker": False,
        "event_time_ns": NOW,
        "policy_hash": HASH,
    }
    return Fill(**{**common, **changed})


def test_a_decision_reserves_exposure_margin_and_worst_case() -> None:
    made = risk_state()
    decision = decide(made)
    reserve(made, intent(), decision)
    made.refresh()
    assert made.gross_notional == decision.notional
    phase = made.phases["scavenger"]
    assert phase.used_notional == decision.notional
    assert phase.margin_used == decision.notional / 20
    loss = decision.notional * (Decimal("122.5") / Decimal("61234.6") + made.symbols[PERP].cost_taker)
    assert made.worst_case == pytest.approx(loss)


def test_a_fill_turns_the_reservation_into_a_position_without_counting_twice() -> None:
    made = risk_state()
    decision = decide(made)
    reserve(made, intent(), decision)
    made.on_fill(fill("0.004"))
    made.refresh()
    held = made.symbols[PERP]
    assert held.net == Decimal("0.004")
    assert held.reserved_notional == Decimal("0.006") * Decimal("61234.6")
    made.on_order(order(state=OrderState.CANCELED, filled_quantity=Decimal("0.004")))
    made.refresh()
    assert not made.reservations.entries
    assert made.gross_notional == Decimal("0.004") * held.mid


def test_a_final_order_reserves_nothing_for_its_fills_are_reported_before_it() -> None:
    made = risk_state()
    reserve(made, intent(), decide(made))
    made.on_order(order(state=OrderState.PARTIAL, filled_quantity=Decimal("0.004")))
    made.refresh()
    assert made.gross_notional == Decimal("0.006") * Decimal("61234.6")
    made.on_order(order(state=OrderState.FILLED, filled_quantity=Decimal("0.010")))
    made.refresh()
    assert (made.gross_notional, made.reservations.entries) == (0, {})


@pytest.mark.parametrize("state", [OrderState.REJECTED, OrderState.EXPIRED, OrderState.LOST, OrderState.CANCELED])
def test_an_order_that_ends_without_a_fill_frees_everything(state: OrderState) -> None:
    made = risk_state()
    reserve(made, intent(), decide(made))
    made.on_order(order(state=state))
    made.refresh()
    assert (made.gross_notional, made.worst_case) == (0, 0)


def test_a_stop_s_fill_frees_no_entry() -> None:
    made = risk_state()
    reserve(made, intent(), decide(made))
    made.on_order(order(order_role=OrderRole.STOP, client_order_id="t2", state=OrderState.CANCELED))
    assert made.reservations.entries


def test_exits_reserve_the_position_and_free_it_again() -> None:
    made = risk_state()
    hold(made, "0.01")
    exit_intent = close("0.006")
    reserve(made, exit_intent, decide(made, exit_intent))
    made.refresh()
    assert made.symbols[PERP].exits == {"scavenger": Decimal("0.006")}
    assert not decide(made, close("0.005")).approved
    made.on_order(order(order_role=OrderRole.EXIT, side=Side.SELL, state=OrderState.REJECTED))
    made.refresh()
    assert decide(made, close("0.005")).approved


def test_after_a_restart_reservations_are_those_of_execution_s_orders() -> None:
    made = risk_state()
    made.reservations.rebuild(
        [
            order(state=OrderState.ACKED, limit_price=Decimal(61_000)),
            order(intent_id="exit", order_role=OrderRole.EXIT, side=Side.SELL, state=OrderState.SENT),
            order(intent_id="stop", order_role=OrderRole.STOP, side=Side.SELL, state=OrderState.ACKED),
            order(intent_id="done", state=OrderState.FILLED),
        ],
        frozenset(),
        {},
    )
    made.refresh()
    assert list(made.reservations.entries) == [intent().intent_id]
    assert list(made.reservations.exits) == ["exit"]
    assert made.gross_notional == 610
    # The distance of its stop is unknown: it counts the largest loss that a trade may have.
    assert made.worst_case == Decimal("0.01") * 200


def test_a_working_entry_of_before_a_restart_counts_at_its_own_stop() -> None:
    made = risk_state()
    terms = {intent().intent_id: Terms(stop_price=Decimal(60_000), target_price=Decimal(63_000), setup="breakout")}
    made.reservations.rebuild([order(state=OrderState.ACKED, limit_price=Decimal(61_000))], frozenset(), terms)
    made.refresh()
    assert made.worst_case == 610 * (Decimal(1_000) / 61_000 + made.symbols[PERP].cost_taker)
    made.on_fill(fill("0.010", "61000"))
    (lot,) = made.mirror.lots_of(PERP)
    assert (lot.stop_price, lot.target_price) == (60_000, 63_000)


def test_an_unanswered_intent_stays_reserved() -> None:
    made = risk_state()
    reserve(made, intent(), decide(made))
    made.reservations.rebuild([], frozenset({intent().intent_id}), {})
    assert made.reservations.entries
    made.reservations.rebuild([], frozenset(), {})
    assert not made.reservations.entries


def test_a_position_without_a_stop_may_lose_all_of_itself() -> None:
    made = risk_state()
    hold(made, "0.01", stop="0")
    exit_fee = made.symbols[PERP].fees_taker / 2
    assert made.worst_case == Decimal("0.01") * made.symbols[PERP].mid * (1 + exit_fee)
    (lot,) = made.mirror.lots_of(PERP)
    made.on_order(stop_order(lot, trigger_price=Decimal("61112.1"), state=OrderState.SENT))
    made.refresh()
    assert made.worst_case > 600, "a stop that the venue has not acknowledged covers nothing"
    made.on_order(stop_order(lot, trigger_price=Decimal("61112.1")))
    made.refresh()
    assert made.worst_case < 2


def granted(made: Any, now_ns: int = NOW) -> Any:
    amount = made.equity.equity if made.equity.known else Decimal(200)
    allocation, _ = allocate(amount, Decimal(150), ("scavenger", "hunter"), AllocationState(), made.limits.parameters)
    return grant(made, made.phases["scavenger"], allocation, now_ns, "b7")


def test_a_budget_expires_on_market_time() -> None:
    budget = granted(risk_state())
    assert budget.state is BudgetState.ACTIVE
    assert (budget.max_notional, budget.max_leverage, budget.max_drawdown) == (2_000, 10, 4)
    assert (budget.orders_per_minute, budget.allocation, budget.weight) == (30, 200, 1)
    assert not budget.expired(NOW + 10 * SECOND - 1)
    assert budget.expired(NOW + 10 * SECOND)


def lost(amount: str, closed_ns: int = NOW, risk: str = "0") -> RoundTrip:
    return RoundTrip(
        intent_id=f"i{closed_ns}",
        phase_id="scavenger",
        setup="breakout",
        symbol=PERP,
        side=Side.BUY,
        quantity=Decimal("0.01"),
        entry_price=Decimal(1),
        exit_price=Decimal(1),
        realized_pnl=-Decimal(amount),
        fees=Decimal(0),
        opened_ns=closed_ns - 1,
        closed_ns=closed_ns,
        risk=Decimal(risk),
    )


@pytest.mark.parametrize(
    ("description", "change", "state", "orders"),
    [
        ("ARMED", {}, BudgetState.ACTIVE, 30),
        ("CLOSE_ONLY", {"posture": Posture.CLOSE_ONLY}, BudgetState.CLOSE_ONLY, 5),
        ("HALTED", {"posture": Posture.HALTED}, BudgetState.HALTED, 5),
        ("FLATTEN", {"posture": Posture.FLATTEN}, BudgetState.HALTED, 5),
        ("equity unknown", {"equity": Equity(known=False, reason="dark")}, BudgetState.CLOSE_ONLY, 5),
        ("too small", {"equity": equity("149")}, BudgetState.CLOSE_ONLY, 5),
        ("CAUTIOUS", {"risk_level": RiskLevel.CAUTIOUS}, BudgetState.ACTIVE, 30),
    ],
)
def test_budget_states(description: str, change: dict[str, Any], state: BudgetState, orders: int) -> None:
    made = risk_state()
    for name, value in change.items():
        setattr(made, name, value)
    budget = granted(made)
    assert (budget.state, budget.orders_per_minute) == (state, orders), description
    assert (budget.max_notional > 0) == (state is BudgetState.ACTIVE)


@pytest.mark.parametrize(
    ("amount", "state"),
    [("5.99", BudgetState.ACTIVE), ("6", BudgetState.THROTTLED), ("10", BudgetState.CLOSE_ONLY)],
)
def test_the_phase_s_own_loss_of_the_day(amount: str, state: BudgetState) -> None:
    made = risk_state()
    made.phases["scavenger"].history.add(lost(amount))
    assert granted(made).state is state
    assert granted(made, NOW + 86_400 * SECOND).state is BudgetState.ACTIVE, "a new day"


def test_three_losses_in_an_hour_pause_and_a_win_between_does_not() -> None:
    def pause(*trips: RoundTrip, horizon_s: int = 0) -> int:
        history = PhaseHistory()
        for trip in trips:
            history.add(trip)
        window_ns = max(3_600, 3 * horizon_s) * SECOND
        return history.streak_pause_until(3, Decimal("0.25"), lambda _: window_ns, 1_800 * SECOND)

    at = [NOW, NOW + SECOND, NOW + 2 * SECOND]
    assert pause(*(lost("1", one) for one in at)) == at[2] + 1_800 * SECOND
    assert pause(lost("1", at[0]), lost("-1", at[1]), lost("1", at[2])) == 0
    assert pause(lost("1", NOW), lost("1", at[1]), lost("1", NOW + 3_601 * SECOND)) == 0
    assert pause(lost("1", NOW), lost("1", at[1])) == 0
    # Of a planned loss of 4, one of 1 is a quarter and counts; one of 0.99 does not.
    assert pause(*(lost("1", one, risk="4") for one in at))
    assert pause(lost("1", at[0]), lost("0.99", at[1], risk="4"), lost("1", at[2])) == 0
    # Three horizons of half an hour are longer than an hour.
    slow = [NOW, NOW + 2_600 * SECOND, NOW + 5_300 * SECOND]
    assert pause(*(lost("1", one) for one in slow)) == 0
    assert pause(*(lost("1", one) for one in slow), horizon_s=1_800) == slow[2] + 1_800 * SECOND
