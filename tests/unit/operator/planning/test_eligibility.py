"""Capital decides, with both numbers; the last decision stays while equity is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.risk.allocation import AllocationState, allocate
from titan.risk.parameters import RiskParameters
from titan_operator.planning.eligibility import dormant, starting_equity

CASES: list[tuple[str, str, str | None, bool | None, bool, str]] = [
    ("enough", "scavenger", "200", None, False, "equity 200 is at least 200 USDT, which scavenger starts at"),
    (
        "just too little",
        "scavenger",
        "199.99",
        None,
        True,
        "equity 199.99 is below 200 USDT, which scavenger starts at",
    ),
    ("a loss within the hysteresis", "scavenger", "180", False, False, "equity 180 is at least 180 USDT"),
    ("a loss beyond it", "scavenger", "179.9", False, True, "equity 179.9 is below 180 USDT, which scavenger runs on"),
    ("not woken within it", "scavenger", "199", True, True, "equity 199 is below 200 USDT, which scavenger starts at"),
    ("woken", "scavenger", "200", True, False, "equity 200 is at least 200"),
    ("unknown, runs", "scavenger", None, False, False, "equity is unknown: scavenger goes on"),
    ("unknown, sleeps", "scavenger", None, True, True, "equity is unknown: scavenger waits; it starts at 200 USDT"),
    ("unknown, new", "scavenger", None, None, True, "equity is unknown: scavenger waits"),
    ("zero is known", "scavenger", "0", False, True, "equity 0 is below 180 USDT"),
    ("phase 2", "hunter", "2499", None, True, "equity 2499 is below 2500 USDT"),
    ("phase 3", "sentinel", "45000", False, False, "equity 45000 is at least 45000 USDT"),
    ("no phase", "execution", None, None, False, ""),
    ("no phase, poor", "brain", "0", True, False, ""),
]


@pytest.mark.parametrize(("description", "role", "equity", "was", "expected", "sentence"), CASES)
def test_capital_decides_whether_a_phase_is_dormant(
    description: str, role: str, equity: str | None, was: bool | None, expected: bool, sentence: str
) -> None:
    asleep, said = dormant(role, None if equity is None else Decimal(equity), was)
    assert asleep is expected
    assert said.startswith(sentence)
    assert bool(said) == bool(sentence)


@pytest.mark.parametrize(
    ("role", "equity"), [("scavenger", 200), ("hunter", 2_500), ("sentinel", 50_000), ("brain", 0)]
)
def test_each_phase_starts_at_its_equity(role: str, equity: int) -> None:
    assert starting_equity(role) == equity


@given(
    role=st.sampled_from(["scavenger", "hunter", "sentinel"]),
    equity=st.decimals("1", "100000", places=2),
    runs=st.booleans(),
)
def test_brain_gives_a_share_to_exactly_those_that_are_awake(role: str, equity: Decimal, runs: bool) -> None:
    state = AllocationState(eligible=(role,) if runs else ())
    _, following = allocate(equity, [role], state, RiskParameters())
    asleep, _ = dormant(role, equity, was_dormant=not runs)
    assert asleep == (role not in following.eligible)
