"""The rules between an intent and its decision: whose intent it is, duplicates, and the reservation."""

from __future__ import annotations

import re

import msgspec
import pytest

from support.risk.scene import NOW, close, hold, intent, risk_state
from titan.domain.decisions import Decision
from titan.domain.intents import Intent
from titan.domain.reasons import Reason
from titan.risk.decisions import KEPT_DECISIONS, IntentDecisions
from titan.risk.engine import Assessment, RiskEngine
from titan.risk.state import RiskState

OTHER_ID = "018f0000-0000-7000-8000-000000000002"


def decisions(state: RiskState) -> IntentDecisions:
    return IntentDecisions(RiskEngine(state.limits, 1), state, lambda _state: None)


def remember(made: IntentDecisions, opening: Intent) -> None:
    made.remember_opening(opening.phase_id, opening.setup, opening.symbol, opening.side.value, opening.event_time_ns)


def test_an_approved_intent_needs_an_order_and_is_reserved() -> None:
    state = risk_state()
    made = decisions(state)
    assessed = made.consider(intent(), "scavenger", NOW)
    assert isinstance(assessed, Assessment)
    assert assessed.approved
    assert state.gross_notional == 0
    made.reserve(intent(), assessed)
    assert state.gross_notional == assessed.notional


def test_the_order_carries_the_numbers_of_every_guard() -> None:
    state = risk_state()
    engine = RiskEngine(state.limits, 1)
    assessed = engine.consider(intent(), state, NOW)
    assert isinstance(assessed, Assessment)
    explained = msgspec.json.decode(assessed.explain())["guards"]
    written = engine.record(assessed).guards
    assert len(explained) == len(written)
    for (verdict, reason, value, limit, largest), guard in zip(explained, written, strict=True):
        assert (verdict, reason) == (guard.verdict, guard.reason)
        assert (largest is None) == (guard.largest_notional is None)
        for raw, text in ((value, guard.value), (limit, guard.limit)):
            arguments = () if isinstance(raw, str) else raw[1:]
            template = raw if isinstance(raw, str) else raw[0]
            # The same text but for the digits that a written record leaves out.
            assert numbers(template.format(*arguments)) == numbers(text)


def numbers(text: str) -> list[object]:
    return [
        pytest.approx(float(word), rel=1e-5, abs=1e-8) if _is_number(word) else word
        for word in re.split(r"[ =;,()]", text)
    ]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", word) is not None


def test_an_intent_on_another_phase_s_stream_is_invalid() -> None:
    decision = decisions(risk_state()).consider(intent(), "hunter", NOW)
    assert isinstance(decision, Decision)
    assert decision.reason is Reason.INVALID_INTENT
    assert "phase_id: 'scavenger' on the stream of hunter; allowed is its own" in decision.message


def test_an_intent_that_execution_has_journalled_is_approved_without_a_second_order() -> None:
    made = decisions(risk_state())
    made.journalled = frozenset({intent().intent_id})
    decision = made.consider(intent(), "scavenger", NOW)
    assert isinstance(decision, Decision), "only an assessment makes an order"
    assert (decision.approved, decision.reason) == (True, Reason.DUPLICATE_INTENT)


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
