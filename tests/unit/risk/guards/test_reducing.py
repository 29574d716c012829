"""Reducing intents: one that makes a position smaller passes in every state, and no other is treated so."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.changes import Change, unchanged
from support.risk.scene import HASH, NOW, OTHER_HASH, PERP, close, decide, equity, hold, risk_state
from titan.domain.enums import PositionEffect, Posture, RiskLevel, Side, Verdict
from titan.domain.equity import Equity
from titan.domain.intents import Intent
from titan.domain.reasons import Reason
from titan.domain.truth import TruthSnapshot


@given(
    posture=st.sampled_from(list(Posture)),
    level=st.sampled_from(list(RiskLevel)),
    their_hash=st.sampled_from([HASH, OTHER_HASH, ""]),
    truth=st.sampled_from([TruthSnapshot(known=False), TruthSnapshot(known=True, score=0, unresolved=3)]),
    known=st.booleans(),
    connected=st.booleans(),
    quote_age_ns=st.integers(0, 10**15),
    hop_ns=st.integers(0, 10**15),
    thousandths=st.integers(1, 10),
)
def test_reducing_is_always_possible(
    posture: Posture,
    level: RiskLevel,
    their_hash: str,
    truth: TruthSnapshot,
    known: bool,
    connected: bool,
    quote_age_ns: int,
    hop_ns: int,
    thousandths: int,
) -> None:
    made = risk_state()
    hold(made, "0.01")
    made.posture, made.risk_level, made.truth = posture, level, truth
    made.execution_hash, made.execution_connected = their_hash, connected
    made.equity = equity() if known else Equity(known=False, reason="dark")
    made.symbols[PERP].quote_ns = NOW - quote_age_ns
    made.symbols[PERP].allowed = False
    made.phases["scavenger"].budget = None
    requested = close(str(Decimal(thousandths) / 1000), policy_hash=their_hash, hops=(("phase", hop_ns),))
    decision = decide(made, requested)
    assert decision.approved, decision.message
    assert decision.position_effect is PositionEffect.REDUCING
    assert decision.quantity == requested.quantity
    assert [guard.verdict for guard in decision.guards] == [Verdict.PASS] * 2 + [Verdict.EXEMPT] * 18


@pytest.mark.parametrize(
    ("description", "change", "requested", "reason", "position_effect"),
    [
        ("nothing held", unchanged, close("0.001"), Reason.NOTHING_TO_REDUCE, PositionEffect.OPENING),
        (
            "the wrong side",
            lambda m: hold(m, "0.01"),
            close("0.001", Side.BUY),
            Reason.NOTHING_TO_REDUCE,
            PositionEffect.OPENING,
        ),
        ("a step too much", lambda m: hold(m, "0.01"), close("0.011"), Reason.STOP_MISSING, PositionEffect.OPENING),
        (
            "more than the account's net",
            lambda m: (hold(m, "0.01"), hold(m, "-0.006", "hunter")),
            close("0.005"),
            Reason.STOP_MISSING,
            PositionEffect.OPENING,
        ),
        ("off the step", lambda m: hold(m, "0.01"), close("0.0015"), Reason.QUANTITY_STEP, PositionEffect.REDUCING),
        (
            "another's share",
            lambda m: hold(m, "0.01", "hunter"),
            close("0.001"),
            Reason.NOTHING_TO_REDUCE,
            PositionEffect.OPENING,
        ),
    ],
)
def test_what_does_not_reduce(
    description: str, change: Change, requested: Intent, reason: Reason, position_effect: PositionEffect
) -> None:
    decision = decide(risk_state(), requested, change)
    assert not decision.approved, description
    assert (decision.reason, decision.position_effect) == (reason, position_effect), (description, decision.message)


def test_a_reducing_order_seen_before_is_still_a_duplicate() -> None:
    made = risk_state()
    hold(made, "0.01")
    assert decide(made, close("0.01"), seen=True).reason is Reason.DUPLICATE_INTENT
