"""Intents, decisions, budgets and the posture survive the wire; an unreadable field is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.scene import budget, close, decide, intent, risk_state
from titan.domain.enums import OrderType, Posture, RiskLevel, TimeInForce
from titan.domain.posture import PostureState
from titan.v1 import brain_pb2 as b
from titan.wire.brain import (
    InvalidIntentError,
    budget_from_wire,
    budget_to_wire,
    decision_from_wire,
    decision_to_wire,
    intent_from_wire,
    intent_to_wire,
    posture_from_wire,
    posture_to_wire,
)

AMOUNTS = st.decimals(0, 10**9, places=8).map(lambda value: value.normalize() if value else Decimal(0))


@given(stop=AMOUNTS, target=AMOUNTS, bound=AMOUNTS, score=st.floats(0, 1), age=st.integers(0, 2**60))
def test_an_intent_comes_back_as_it_went(
    stop: Decimal, target: Decimal, bound: Decimal, score: float, age: int
) -> None:
    sent = intent(
        stop_price=stop,
        target_price=target,
        max_notional=bound,
        setup_score=score,
        hops=(("phase", age),),
        evidence={"why": "because"},
    )
    assert intent_from_wire(b.Intent.FromString(intent_to_wire(sent).SerializeToString())) == sent


def test_a_close_comes_back_as_it_went() -> None:
    sent = close("0.003")
    assert intent_from_wire(intent_to_wire(sent)) == sent


def test_decision_budget_and_posture_come_back_as_they_went() -> None:
    for decision in (
        decide(risk_state()),
        decide(risk_state(), intent(setup_score=0.1)),
        decide(risk_state(), close("1")),
    ):
        assert decision_from_wire(decision_to_wire(decision)) == decision
    for granted in (budget(), budget(modifier=Decimal("1.2"), modifier_reason="psr=0.97 of 30 days, 64 trades")):
        assert budget_from_wire(budget_to_wire(granted)) == granted
    # A Brain of an earlier version names none.
    older = budget_to_wire(budget())
    older.ClearField("modifier")
    assert budget_from_wire(older).modifier == 1
    state = PostureState(
        in_force=Posture.HALTED,
        ceiling=Posture.ARMED,
        latch=Posture.HALTED,
        risk_level=RiskLevel.NORMAL,
        reason="a person",
        by="me (cli)",
        policy_hash="sha256:a",
        term=3,
        latch_never_set=False,
    )
    assert posture_from_wire(posture_to_wire(state)) == state


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"intent_id": ""}, "intent_id: '' is not 1 to 64 characters"),
        ({"intent_id": "x" * 65}, "is not 1 to 64 characters"),
        ({"symbol": "BTCUSDT"}, "symbol: 'BTCUSDT' is not known; allowed are unified spellings"),
        ({"action": 0}, "action: 0 is not known; allowed are OPEN, CLOSE"),
        ({"order_type": 3}, "order_type: STOP_MARKET is not for intents; allowed are MARKET and LIMIT"),
        ({"order_type": 2}, "limit_price: none with order_type LIMIT"),
        ({"limit_price": "1"}, "a MARKET order has none"),
        ({"time_in_force": 3}, "time_in_force: POST_ONLY with order_type MARKET"),
        ({"time_in_force": 7}, "time_in_force: 7 is not known; allowed are GTC, IOC, POST_ONLY"),
        ({"quantity": "1"}, "OPEN has none"),
        ({"action": 2}, "quantity: none with action CLOSE"),
        ({"reference_price": ""}, "reference_price: none is not above 0"),
        ({"stop_price": "-1"}, "stop_price: -1 is below 0"),
        ({"stop_price": "1.50"}, "stop_price: '1.50' is not a canonical decimal"),
        ({"stop_price": "Infinity"}, "stop_price: 'Infinity' is not a canonical decimal"),
        ({"max_notional": "1e3"}, "max_notional: '1e3' is not a canonical decimal"),
        ({"volatility": float("inf")}, "volatility: inf is not a fraction"),
        ({"setup_score": -0.1}, "setup_score: -0.1 is not within 0 and 1"),
        ({"ttl_ns": -1}, "ttl_ns: -1 is below 0"),
        ({"event_time_ns": -1}, "event_time_ns: -1 is below 0"),
    ],
)
def test_an_intent_that_cannot_be_is_named(fields: dict[str, Any], says: str) -> None:
    message = intent_to_wire(intent())
    for name, value in fields.items():
        setattr(message, name, value)
    with pytest.raises(InvalidIntentError) as raised:
        intent_from_wire(message)
    assert says in str(raised.value)


def test_a_duration_below_zero_is_named() -> None:
    message = intent_to_wire(intent(hops=(("phase", -1),)))
    with pytest.raises(InvalidIntentError, match="has a duration below 0"):
        intent_from_wire(message)


def test_a_post_only_limit_is_allowed() -> None:
    sent = intent(order_type=OrderType.LIMIT, limit_price=Decimal("1.5"), time_in_force=TimeInForce.POST_ONLY)
    assert intent_from_wire(intent_to_wire(sent)) == sent
