"""Capital decides, with both numbers; the last decision stays while equity is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.risk.allocation import AllocationState, allocate
from titan.risk.parameters import RiskParameters
from titan_operator.planning.eligibility import dormant, starting_equity

FLOOR = Decimal(150)
CASES: list[tuple[str, str, str | None, bool | None, bool, str]] = [
    ("enough", "scavenger", "150", None, False, "equity 150 is at least 150 USDT, which scavenger starts at"),
    ("too little", "scavenger", "149.99", None, True, "equity 149.99 is below 150 USDT, which scavenger starts at"),
    ("the floor has no hysteresis", "scavenger", "149", False, True, "equity 149 is below 150 USDT"),
    ("an account that fell", "scavenger", "179", True, False, "equity 179 is at least 150 USDT"),
    ("unknown, runs", "scavenger", None, False, False, "equity is unknown: scavenger goes on"),
    ("unknown, sleeps", "scavenger", None, True, True, "equity is unknown: scavenger waits; it starts at 150 USDT"),
    ("unknown, new", "scavenger", None, None, True, "equity is unknown: scavenger waits"),
    ("zero is known", "scavenger", "0", False, True, "equity 0 is below 150 USDT"),
    ("within the hysteresis", "hunter", "2250", False, False, "equity 2250 is at least 2250 USDT"),
    ("beyond it", "hunter", "2249", False, True, "equity 2249 is below 2250 USDT, which hunter runs on"),
    ("not woken within it", "hunter", "2499", True, True, "equity 2499 is below 2500 USDT, which hunter starts at"),
    ("phase 2", "hunter", "2499", None, True, "equity 2499 is below 2500 USDT"),
    ("phase 3", "sentinel", "45000", False, False, "equity 45000 is at least 45000 USDT"),
    ("no phase", "execution", None, None, False, ""),
    ("no phase, poor", "brain", "0", True, False, ""),
]


@pytest.mark.parametrize(("description", "role", "equity", "was", "expected", "sentence"), CASES)
def test_capital_decides_whether_a_phase_is_dormant(
    description: str, role: str, equity: str | None, was: bool | None, expected: bool, sentence: str
) -> None:
    asleep, said = dormant(role, None if equity is None else Decimal(equity), was, FLOOR)
    assert asleep is expected
    assert said.startswith(sentence)
    assert bool(said) == bool(sentence)


@pytest.mark.parametrize(
    ("role", "equity"), [("scavenger", 150), ("hunter", 2_500), ("sentinel", 50_000), ("brain", 0)]
)
def test_each_phase_starts_at_its_equity(role: str, equity: int) -> None:
    assert starting_equity(role, FLOOR) == equity


@given(
    role=st.sampled_from(["scavenger", "hunter", "sentinel"]),
    equity=st.decimals("1", "100000", places=2),
    runs=st.booleans(),
)
def test_brain_gives_a_share_to_exactly_those_that_are_awake(role: str, equity: Decimal, runs: bool) -> None:
    state = AllocationState(eligible=(role,) if runs else ())
    _, following = allocate(equity, FLOOR, [role], state, RiskParameters())
    asleep, _ = dormant(role, equity, not runs, FLOOR)
    assert asleep == (role not in following.eligible)
