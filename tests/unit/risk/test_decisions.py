"""The rules between an intent and its decision: whose intent it is, duplicates, and the reservation."""

from __future__ import annotations

from support.risk.scene import NOW, close, hold, intent, risk_state
from titan.domain.intents import Intent
from titan.domain.reasons import Reason
from titan.risk.decisions import KEPT_DECISIONS, IntentDecisions, needs_order
from titan.risk.engine import RiskEngine
from titan.risk.state import RiskState

OTHER_ID = "018f0000-0000-7000-8000-000000000002"


def decisions(state: RiskState) -> IntentDecisions:
    return IntentDecisions(RiskEngine(state.limits, 1), state, lambda _state: None)


def remember(made: IntentDecisions, opening: Intent) -> None:
    made.remember_opening(opening.phase_id, opening.setup, opening.symbol, opening.side.value, opening.event_time_ns)


def test_an_approved_intent_needs_an_order_and_is_reserved() -> None:
    state = risk_state()
    made = decisions(state)
    decision = made.decide(intent(), "scavenger", NOW)
    assert needs_order(decision), decision.message
    assert state.gross_notional == 0
    made.reserve(intent(), decision)
    assert state.gross_notional == decision.notional


def test_an_intent_on_another_phase_s_stream_is_invalid() -> None:
    decision = decisions(risk_state()).decide(intent(), "hunter", NOW)
    assert decision.reason is Reason.INVALID_INTENT
    assert "phase_id: 'scavenger' on the stream of hunter; allowed is its own" in decision.message
    assert not needs_order(decision)


def test_an_intent_that_execution_has_journalled_is_approved_without_a_second_order() -> None:
    made = decisions(risk_state())
    made.journalled = frozenset({intent().intent_id})
    decision = made.decide(intent(), "scavenger", NOW)
    assert (decision.approved, decision.reason) == (True, Reason.DUPLICATE_INTENT)
    assert not needs_order(decision)


def test_a_second_opening_for_the_same_event_is_a_duplicate() -> None:
    made = decisions(risk_state())
    remember(made, intent())
    repeated = made.decide(intent(intent_id=OTHER_ID), "scavenger", NOW)
    assert (repeated.approved, repeated.reason) == (False, Reason.DUPLICATE_INTENT)
    assert made.decide(intent(intent_id=OTHER_ID, event_time_ns=NOW - 1), "scavenger", NOW).approved
    made.forget_openings()
    assert made.decide(intent(intent_id=OTHER_ID), "scavenger", NOW).approved


def test_a_closing_intent_repeats_no_opening() -> None:
    state = risk_state()
    hold(state, "0.01")
    made = decisions(state)
    remember(made, intent())
    assert made.decide(close("0.01", intent_id=OTHER_ID), "scavenger", NOW).approved


def test_the_oldest_opening_makes_room() -> None:
    made = decisions(risk_state())
    remember(made, intent())
    for number in range(KEPT_DECISIONS):
        remember(made, intent(event_time_ns=NOW + 1 + number))
    assert made.decide(intent(intent_id=OTHER_ID), "scavenger", NOW).approved
