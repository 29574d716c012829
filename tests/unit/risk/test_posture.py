"""Posture and risk level: they worsen at once and do not recover by themselves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.risk.scene import NOW, SECOND, equity, rules
from titan.domain.enums import Posture, RiskLevel
from titan.domain.equity import Equity
from titan.domain.truth import TruthSnapshot
from titan.risk.parameters import RiskParameters
from titan.risk.posture import ArmingFacts, arming_problems, posture_in_force
from titan.risk.risk_level import RiskLevelState, evaluate

RULES, PARAMETERS = rules(), RiskParameters()
CLEAN = TruthSnapshot(known=True, score=100)
LEVELS = st.sampled_from(list(RiskLevel))
POSTURES = st.sampled_from(list(Posture))


@given(POSTURES, POSTURES, LEVELS)
def test_nothing_in_force_is_higher_than_any_source(ceiling: Posture, latch: Posture, level: RiskLevel) -> None:
    in_force = posture_in_force(ceiling, latch, level)
    assert in_force <= latch
    finished_flatten = ceiling is Posture.FLATTEN and latch is Posture.HALTED
    assert in_force <= ceiling or (finished_flatten and in_force is Posture.HALTED)
    if level is RiskLevel.DEFENSIVE:
        assert in_force <= Posture.CLOSE_ONLY
    if level is RiskLevel.EMERGENCY:
        assert in_force <= Posture.HALTED


@given(POSTURES, POSTURES, POSTURES, LEVELS)
def test_lowering_a_source_never_raises(ceiling: Posture, latch: Posture, lower: Posture, level: RiskLevel) -> None:
    before = posture_in_force(ceiling, latch, level)
    after = posture_in_force(ceiling, min(latch, lower), level)
    flatten_required = level is RiskLevel.EMERGENCY or ceiling is Posture.FLATTEN
    finished_flatten = flatten_required and min(latch, lower) is Posture.HALTED
    assert after <= before or finished_flatten
    assert posture_in_force(min(ceiling, lower), latch, level) <= before


def level_after(state: RiskLevelState, now: Equity, truth: TruthSnapshot = CLEAN, at_ns: int = NOW) -> RiskLevelState:
    return evaluate(state, now, truth, RULES, PARAMETERS, at_ns)


def printed(number: int, amount: str = "200", **changed: Any) -> Equity:
    return equity(amount, market_time_ns=NOW + number, **changed)


@pytest.mark.parametrize(
    ("description", "facts", "level"),
    [
        ("nothing lost", {}, RiskLevel.NORMAL),
        ("drawdown just below 5 %", {"drawdown": Decimal("0.0499")}, RiskLevel.NORMAL),
        ("drawdown 5 %", {"drawdown": Decimal("0.05")}, RiskLevel.CAUTIOUS),
        ("drawdown 10 %", {"drawdown": Decimal("0.1")}, RiskLevel.DEFENSIVE),
        ("drawdown 15 %", {"drawdown": Decimal("0.15")}, RiskLevel.EMERGENCY),
        ("half of the day's 20", {"amount": "190"}, RiskLevel.CAUTIOUS),
        ("three quarters", {"amount": "185"}, RiskLevel.DEFENSIVE),
        ("all of it", {"amount": "180"}, RiskLevel.EMERGENCY),
        ("a cent less than half", {"amount": "190.01"}, RiskLevel.NORMAL),
        ("below the floor", {"amount": "149.99", "day_start_equity": Decimal("149.99")}, RiskLevel.EMERGENCY),
    ],
)
def test_thresholds(description: str, facts: dict[str, Any], level: RiskLevel) -> None:
    state = level_after(RiskLevelState(), printed(1, **facts))
    assert state.level is level, description


def test_a_worth_that_one_print_shows_changes_nothing_however_long_it_stands() -> None:
    """Neither time nor another event confirms it: only the confirmed worth counts."""
    shown = {"confirmed_equity": Decimal(200), "drawdown": Decimal(0)}
    state = level_after(RiskLevelState(), printed(1, "100", **shown))
    state = level_after(state, printed(2, "99", **shown))
    state = level_after(state, printed(2, "99", **shown), at_ns=NOW + 60 * SECOND)
    assert state == RiskLevelState()
    assert level_after(state, printed(3, "100")).level is RiskLevel.EMERGENCY, "confirmed, it counts at once"


def test_low_truth_needs_no_second_print() -> None:
    state = level_after(RiskLevelState(), printed(1), TruthSnapshot(known=True, score=49))
    assert state.level is RiskLevel.DEFENSIVE
    assert state.reason == "truth=49 below 50"
    assert level_after(RiskLevelState(), printed(1), TruthSnapshot(known=False)).level is RiskLevel.NORMAL


def test_up_only_after_ten_quiet_minutes() -> None:
    state = RiskLevelState(RiskLevel.DEFENSIVE)
    state = level_after(state, printed(1), at_ns=NOW)
    state = level_after(state, printed(2), at_ns=NOW + 599 * SECOND)
    assert state.level is RiskLevel.DEFENSIVE
    relapse = level_after(state, printed(3, "185"), at_ns=NOW + 599 * SECOND)
    assert level_after(relapse, printed(4), at_ns=NOW + 600 * SECOND).level is RiskLevel.DEFENSIVE, (
        "the quiet time begins again"
    )
    assert level_after(state, printed(3), at_ns=NOW + 600 * SECOND).level is RiskLevel.NORMAL


def test_a_flat_account_stays_locked_until_its_peak_is_rebased() -> None:
    lost = printed(1, "160", drawdown=Decimal("0.2"), day_start_equity=Decimal(160))
    state = level_after(RiskLevelState(), lost)
    for hour in range(1, 49):
        state = level_after(state, lost, at_ns=NOW + hour * 3600 * SECOND)
    assert state.level is RiskLevel.EMERGENCY, "nothing of itself shrinks the drawdown"
    rebased = printed(2, "160", day_start_equity=Decimal(160))
    at_ns = NOW + 50 * 3600 * SECOND
    state = level_after(state, rebased, at_ns=at_ns)
    assert state.level is RiskLevel.EMERGENCY, "a rebase opens nothing at once"
    assert level_after(state, rebased, at_ns=at_ns + 600 * SECOND).level is RiskLevel.NORMAL


def test_no_rebase_moves_the_floor() -> None:
    rebased = printed(1, "149", drawdown=Decimal(0), day_start_equity=Decimal(149), high_water_mark=Decimal(149))
    assert level_after(RiskLevelState(), rebased).level is RiskLevel.EMERGENCY


def test_it_goes_up_to_the_worst_of_the_quiet_time() -> None:
    state = level_after(RiskLevelState(RiskLevel.EMERGENCY), printed(1), at_ns=NOW)
    state = level_after(state, printed(2, "189"), at_ns=NOW + 300 * SECOND)
    assert level_after(state, printed(3), at_ns=NOW + 600 * SECOND).level is RiskLevel.CAUTIOUS


@given(st.lists(st.tuples(st.decimals(100, 250, places=1), st.integers(0, 100), st.booleans()), max_size=40))
def test_the_level_never_falls_within_ten_minutes(facts: list[tuple[Decimal, int, bool]]) -> None:
    state = RiskLevelState()
    for number, (amount, score, known) in enumerate(facts):
        before = state
        now = printed(number, str(amount)) if known else Equity(known=False)
        state = level_after(state, now, TruthSnapshot(known=True, score=score), NOW + number * SECOND)
        assert state.level >= before.level


def test_the_state_survives_storage() -> None:
    state = level_after(RiskLevelState(), printed(1, "100"))
    assert msgspec.json.decode(msgspec.json.encode(state), type=RiskLevelState) == state
    stored = b'{"level":4,"reason":"loss","pending":2,"pending_print_ns":7,"pending_since_ns":9,"calmer_since_ns":5}'
    assert msgspec.json.decode(stored, type=RiskLevelState) == RiskLevelState(
        RiskLevel.EMERGENCY, "loss", calmer_since_ns=5
    ), "a state of before prices were confirmed"


FACTS = ArmingFacts(
    ceiling=Posture.ARMED,
    risk_level=RiskLevel.NORMAL,
    equity=equity(),
    truth=CLEAN,
    min_truth_score=80,
    reconciled=True,
    execution_connected=True,
    policy_hash="sha256:a",
    execution_hash="sha256:a",
    mode_problem=None,
    two_person_arm=False,
)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"ceiling": Posture.CLOSE_ONLY}, ["ceiling: CLOSE_ONLY"]),
        ({"risk_level": RiskLevel.CAUTIOUS}, []),
        ({"risk_level": RiskLevel.DEFENSIVE}, ["risk level: DEFENSIVE"]),
        ({"equity": Equity(known=False, reason="dark")}, ["equity: unknown (dark)"]),
        ({"truth": TruthSnapshot(known=False)}, ["truth: unknown"]),
        ({"truth": TruthSnapshot(known=True, score=79)}, ["truth: score 79"]),
        ({"truth": TruthSnapshot(known=True, score=100, unresolved=2)}, ["truth: 2 unresolved"]),
        ({"reconciled": False}, ["orders: not all"]),
        ({"execution_connected": False}, ["execution: not connected"]),
        ({"execution_hash": "sha256:b"}, ["policy hash: Brain sha256:a, Execution sha256:b"]),
        ({"mode_problem": "mode: live needs"}, ["mode: live needs"]),
        ({"two_person_arm": True}, ["policy: twoPersonArm is true"]),
    ],
)
def test_preconditions_of_arming(changed: dict[str, Any], expected: list[str]) -> None:
    problems = arming_problems(msgspec.structs.replace(FACTS, **changed))
    assert len(problems) == len(expected)
    assert all(line.startswith(start) for line, start in zip(problems, expected, strict=True))
