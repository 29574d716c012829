"""For every guard an intent that it rejects, with the numbers; and one that passes all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.changes import Change, explored, granted, phase, setting, unchanged
from support.risk.scene import (
    HASH,
    NOW,
    OTHER_HASH,
    PERP,
    SECOND,
    SPOT,
    decide,
    equity,
    hold,
    intent,
    reserved,
    risk_state,
    rules,
)
from titan.domain.enums import BudgetState, OrderType, PositionEffect, Posture, RiskLevel, Side, Verdict
from titan.domain.equity import Equity
from titan.domain.reasons import Reason
from titan.domain.truth import TruthSnapshot
from titan.risk.guards.table import GUARDS


def test_the_table_is_the_domain_s_order_without_the_guard_that_does_not_exist_yet() -> None:
    assert [guard.number for guard in GUARDS] == [number for number in range(21) if number != 12]


def test_an_intent_that_passes_every_guard() -> None:
    decision = decide(risk_state())
    assert decision.approved, decision.message
    assert {guard.verdict for guard in decision.guards} <= {Verdict.PASS, Verdict.SHRINK}
    # .01 x 200 USDT / (122.5 / 61234.6 + 10 bps of fees + the spread) = 666.19 USDT, floored to .001 BTC.
    assert decision.quantity == Decimal("0.010")
    assert decision.notional == Decimal("612.3460")
    eight = next(guard for guard in decision.guards if guard.number == 8)
    assert "alpha=1.5 assumed (no estimate): Kelly x 0.1" in eight.value
    assert "impact not known" in eight.limit


REJECTIONS: list[tuple[str, Change, dict[str, Any], int, Reason, str]] = [
    ("1 seen before", unchanged, {}, 1, Reason.DUPLICATE_INTENT, "intent_id=018f0000"),
    (
        "1 its hop to Brain is measured by nobody, and Brain was stopped for two seconds",
        unchanged,
        {"hops": (("phase", 800_000),), "event_time_ns": NOW - 2 * SECOND},
        1,
        Reason.SIGNAL_TOO_OLD,
        "age_ms=2000, max=1000",
    ),
    ("1 its event has no time", unchanged, {"event_time_ns": 0}, 1, Reason.SIGNAL_TOO_OLD, "max=1000"),
    (
        "1 older than a second by its hops",
        unchanged,
        {"hops": (("phase", 1_000_000_001),)},
        1,
        Reason.SIGNAL_TOO_OLD,
        "age_ms=1000, max=1000",
    ),
    (
        "1 limit price off the tick",
        unchanged,
        {"order_type": OrderType.LIMIT, "limit_price": Decimal("61234.65")},
        1,
        Reason.PRICE_TICK,
        "limit_price=61234.65, tick=0.1",
    ),
    (
        "1 stop off the tick",
        unchanged,
        {"stop_price": Decimal("61112.11")},
        1,
        Reason.PRICE_TICK,
        "stop_price=61112.11",
    ),
    ("1 target off the tick", unchanged, {"target_price": Decimal("61540.81")}, 1, Reason.PRICE_TICK, "target_price="),
    ("1 stop above a buy", unchanged, {"stop_price": Decimal(61300)}, 1, Reason.INVALID_INTENT, "stop_price=61300"),
    ("1 a sell's stop below", unchanged, {"side": Side.SELL}, 1, Reason.INVALID_INTENT, "on their sides of"),
    (
        "1 a short on spot",
        unchanged,
        {"symbol": SPOT, "side": Side.SELL, "stop_price": Decimal(61300), "target_price": Decimal(61000)},
        1,
        Reason.INVALID_INTENT,
        "only what is held is sold",
    ),
    ("2 the phase's hash", unchanged, {"policy_hash": OTHER_HASH}, 2, Reason.POLICY_HASH_MISMATCH, OTHER_HASH),
    ("2 the hello's hash", phase(policy_hash=OTHER_HASH), {}, 2, Reason.POLICY_HASH_MISMATCH, f"brain={HASH}"),
    (
        "2 Execution's hash",
        setting(execution_hash=OTHER_HASH),
        {},
        2,
        Reason.POLICY_HASH_MISMATCH,
        "execution=sha256:b",
    ),
    ("2 Execution away", setting(execution_connected=False), {}, 2, Reason.EXECUTION_AWAY, "execution=away"),
    ("2 CLOSE_ONLY", setting(posture=Posture.CLOSE_ONLY), {}, 2, Reason.POSTURE, "posture=CLOSE_ONLY"),
    (
        "2 DEFENSIVE",
        setting(posture=Posture.CLOSE_ONLY, risk_level=RiskLevel.DEFENSIVE),
        {},
        2,
        Reason.RISK_LEVEL,
        "risk_level=DEFENSIVE",
    ),
    ("2 CAUTIOUS and rank 2", setting(risk_level=RiskLevel.CAUTIOUS), {"phase_id": "hunter"}, 2, Reason.RISK_LEVEL, ""),
    ("2 losses in a row", phase(paused_until_ns=NOW + SECOND), {}, 2, Reason.LOSS_STREAK, "losses_in_a_row=3"),
    ("3 equity unknown", setting(equity=Equity(known=False, reason="dark")), {}, 3, Reason.EQUITY_UNKNOWN, "dark"),
    ("3 no budget", phase(budget=None), {}, 3, Reason.BUDGET_EXPIRED, "none"),
    ("3 expired", granted(expires_at_ns=NOW), {}, 3, Reason.BUDGET_EXPIRED, "expired 0 ms ago"),
    ("3 no weight", granted(weight=Decimal(0)), {}, 3, Reason.NO_ALLOCATION, "from equity=150"),
    ("3 closed", granted(state=BudgetState.CLOSE_ONLY), {}, 3, Reason.BUDGET_EXHAUSTED, "state=CLOSE_ONLY"),
    (
        "3 too many orders",
        lambda made: made.phases["scavenger"].openings_ns.extend([NOW - 59 * SECOND] * 30),
        {},
        3,
        Reason.ORDER_RATE,
        "max=30",
    ),
    ("3 used up", granted(max_notional=Decimal(0)), {}, 3, Reason.BUDGET_EXHAUSTED, "used=0, budget=0"),
    ("3 nearly", granted(max_notional=Decimal(50)), {}, 3, Reason.BELOW_MINIMUM, "used=0, minimum=122.4692"),
    (
        "4 a symbol that is not named",
        lambda made: setattr(made.symbols[PERP], "allowed", False),
        {},
        4,
        Reason.SYMBOL_NOT_ALLOWED,
        PERP,
    ),
    (
        "4 the mode",
        lambda made: setattr(made.limits, "mode_problem", "mode: live is not among"),
        {},
        4,
        Reason.MODE_NOT_ALLOWED,
        "mode: live is not among",
    ),
    (
        "5 no price yet",
        lambda made: setattr(made.symbols[PERP], "quote_ns", 0),
        {},
        5,
        Reason.PRICE_STALE,
        "no price yet, max=5000",
    ),
    (
        "5 an old one",
        lambda made: setattr(made.symbols[PERP], "quote_ns", NOW - 5_000_000_001),
        {},
        5,
        Reason.PRICE_STALE,
        "age_ms=5000, max=5000",
    ),
    ("6 unknown", setting(truth=TruthSnapshot(known=False)), {}, 6, Reason.TRUTH_UNKNOWN, "score=unknown"),
    ("6 not reconciled", setting(reconciled=False), {}, 6, Reason.TRUTH_UNKNOWN, "score=unknown"),
    ("6 low", setting(truth=TruthSnapshot(known=True, score=79)), {}, 6, Reason.TRUTH_TOO_LOW, "score=79"),
    (
        "6 drift",
        setting(truth=TruthSnapshot(known=True, score=100, unresolved=1)),
        {},
        6,
        Reason.UNRESOLVED_DRIFT,
        "unresolved=1",
    ),
    ("7 a weak setup", unchanged, {"setup_score": 0.59}, 7, Reason.SCORE_TOO_LOW, "score=0.59, min=0.6"),
    ("8 no stop", unchanged, {"stop_price": Decimal(0)}, 8, Reason.STOP_MISSING, "stop=none"),
    ("8 no target", unchanged, {"target_price": Decimal(0)}, 8, Reason.TARGET_MISSING, "target=none"),
    (
        "8 the price has passed the stop",
        lambda made: made.symbols[PERP].quote(Decimal(61000), Decimal(61001), NOW),
        {},
        8,
        Reason.EDGE_TOO_SMALL,
        "both sides of price=61001",
    ),
    ("8 small edge", explored, {"target_price": Decimal("61300")}, 8, Reason.EDGE_TOO_SMALL, "cost=0.00100163"),
    (
        "9 a stop within the volatility",
        unchanged,
        {"volatility": 0.0021},
        9,
        Reason.STOP_TOO_CLOSE,
        "volatility=0.0021 over 60 s, min=0.0021 = 1 x volatility",
    ),
    ("9 no volatility", unchanged, {"volatility": 0.0}, 9, Reason.STOP_TOO_CLOSE, "volatility=unknown"),
    (
        "10 a slow pipeline",
        lambda made: [made.latency.add(NOW - number, 501_000_000) for number in range(3)],
        {},
        10,
        Reason.LATENCY,
        "p95_ms=501 of 4 in the last 300 s, reduce=200 reject=500",
    ),
    (
        "11 slippage and rejects",
        lambda made: [made.quality.filled(0.004) if number % 4 else made.quality.refused() for number in range(20)],
        {},
        11,
        Reason.EXECUTION_QUALITY,
        "quality=0.45 slippage=0.004 rejected=5 of 20, min=0.7",
    ),
    (
        "15 the total is full",
        lambda made: setattr(made, "gross_notional", Decimal(100_000)),
        {},
        15,
        Reason.TOTAL_NOTIONAL,
        "total=100000 before",
    ),
    (
        "16 account leverage",
        lambda made: setattr(made, "gross_notional", Decimal(2_000)),
        {},
        16,
        Reason.ACCOUNT_LEVERAGE,
        "gross=2000 equity=200",
    ),
    ("16 margin", phase(margin_used=Decimal(100)), {}, 16, Reason.MARGIN_USE, "margin_used=100"),
    (
        "16 liquidation within three stops",
        unchanged,
        {"stop_price": Decimal("60000"), "target_price": Decimal("65000")},
        16,
        Reason.LIQUIDATION_DISTANCE,
        "liquidation_distance=0.045 at margin_leverage=20",
    ),
    ("17 the day's loss", setting(equity=equity("180.3")), {}, 17, Reason.BELOW_MINIMUM, "day_loss=19.7"),
    ("17 all of it", setting(equity=equity("180")), {}, 17, Reason.DAILY_LOSS, "day_loss=20"),
    (
        "17 reserved worst cases",
        lambda made: setattr(made, "worst_case", Decimal(20)),
        {},
        17,
        Reason.DAILY_LOSS,
        "reserved=20",
    ),
    (
        "17 what the phase has open",
        lambda made: reserved(made, "1350"),
        {},
        17,
        Reason.BUDGET_EXHAUSTED,
        "of the phase=4.05 loss_fraction=0.00300214, day=20 phase=4 trade=2",
    ),
    ("18 five entries", lambda made: [reserved(made, "1") for _ in range(5)], {}, 18, Reason.ENTRY_ORDERS, "entries=6"),
    (
        "19 another phase is short",
        lambda made: hold(made, "-0.001", "hunter"),
        {},
        19,
        Reason.OPPOSES_PHASE,
        "hunter has",
    ),
    (
        "20 less than a lot is left of the size",
        setting(risk_level=RiskLevel.CAUTIOUS, equity=equity("181.0")),
        {"max_notional": Decimal(130)},
        20,
        Reason.THINNED,
        "size x 0.5 is below one lot: 0.5 of 1 setups counted, one lot=122.4692 at 1",
    ),
    (
        "19 another phase sells",
        lambda made: reserved(made, "61", phase_id="hunter", side=Side.SELL),
        {},
        19,
        Reason.OPPOSES_PHASE,
        "hunter has -0.00099617",
    ),
]


@pytest.mark.parametrize(("description", "change", "fields", "number", "reason", "expected"), REJECTIONS)
def test_the_guard_that_rejects(
    description: str, change: Change, fields: dict[str, Any], number: int, reason: Reason, expected: str
) -> None:
    decision = decide(risk_state(), intent(**fields), change, seen=description == "1 seen before")
    assert not decision.approved
    assert decision.reason is reason, decision.message
    assert decision.message.startswith(f"{reason.name}: ")
    assert expected in decision.message
    verdicts = {guard.number: guard.verdict for guard in decision.guards}
    assert verdicts[number] is Verdict.REJECT
    for guard in GUARDS:
        if guard.number < number:
            assert verdicts[guard.number] in (Verdict.PASS, Verdict.SHRINK)
        elif guard.number > number:
            assert verdicts[guard.number] is Verdict.NOT_REACHED
    assert decision.quantity == 0
    assert decision.position_effect is PositionEffect.OPENING


@pytest.mark.parametrize(
    ("description", "policy", "expected"),
    [
        ("a full position", {"max_position_notional": Decimal(600)}, Reason.POSITION_NOTIONAL),
        ("a full total", {"max_total_notional": Decimal(600)}, Reason.TOTAL_NOTIONAL),
        ("an order of nothing tradable", {"max_order_notional": Decimal(100)}, Reason.BELOW_MINIMUM),
    ],
)
def test_a_full_position(description: str, policy: dict[str, Any], expected: Reason) -> None:
    made = risk_state(rules(**policy))
    if expected is not Reason.BELOW_MINIMUM:
        hold(made, "0.01")
    decision = decide(made)
    assert decision.reason is expected, (description, decision.message)
    assert next(guard for guard in decision.guards if guard.number == 15).verdict is Verdict.REJECT


def test_in_lockstep_age_is_market_time() -> None:
    made = risk_state()
    made.lockstep = True
    slow_machine = intent(hops=(("phase", 9 * SECOND),))
    assert decide(made, slow_machine).approved
    assert decide(made, slow_machine, now_ns=NOW + 1_000_000_001).reason is Reason.SIGNAL_TOO_OLD


@given(
    waited_ns=st.integers(0, 10 * SECOND),
    hops=st.lists(st.integers(0, 4 * SECOND), max_size=3),
    measured=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_a_hop_that_nobody_measured_makes_no_signal_younger(
    waited_ns: int, hops: list[int], measured: list[bool]
) -> None:
    """The event lies all hops and a wait back on the market clock; any of them may be missing from the intent."""
    now_ns = NOW + waited_ns + sum(hops)
    told = tuple((f"hop-{n}", hop) for n, (hop, known) in enumerate(zip(hops, measured, strict=False)) if known)
    decision = decide(risk_state(), intent(hops=told), now_ns=now_ns)
    assert (decision.reason is Reason.SIGNAL_TOO_OLD) is (now_ns - NOW > SECOND)


def test_an_unknown_symbol_or_phase_is_an_invalid_intent() -> None:
    for fields, expected in (
        ({"symbol": "DOGE/USDT:USDT"}, "symbol: DOGE"),
        ({"phase_id": "ghost"}, "phase_id: 'ghost'"),
    ):
        decision = decide(risk_state(), intent(**fields))
        assert decision.reason is Reason.INVALID_INTENT
        assert expected in decision.message
        assert [guard.number for guard in decision.guards] == [guard.number for guard in GUARDS]
