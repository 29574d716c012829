from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.risk.allocation import AllocationState, allocate, base_weights
from titan.risk.parameters import RiskParameters

ALL = ("scavenger", "hunter", "sentinel")
PARAMETERS = RiskParameters()
FLOOR = Decimal(150)


def shares(equity: str, state: AllocationState | None = None, deployed: tuple[str, ...] = ALL) -> list[Decimal]:
    allocation, _ = allocate(Decimal(equity), FLOOR, deployed, state or AllocationState(), PARAMETERS)
    return [allocation.weights.get(phase, Decimal(0)) * Decimal(equity) for phase in ALL]


@pytest.mark.parametrize(
    ("equity", "expected"),
    [
        ("25000", (".2", ".762", ".038")),
        ("37500", (".2", ".55", ".25")),
        ("50000", (".2", ".338", ".462")),
        ("100000", (".2", ".3", ".5")),
    ],
)
def test_the_check_values_of_the_domain(equity: str, expected: tuple[str, str, str]) -> None:
    computed = base_weights(Decimal(equity), 3)
    assert [round(one, 3) for one in computed] == [Decimal(one) for one in expected]


@given(st.decimals(1, 10_000_000, places=2))
def test_base_weights_sum_to_one(equity: Decimal) -> None:
    for tier in range(5):
        assert abs(sum(base_weights(equity, tier), Decimal(-1))) < Decimal("1e-20")


@pytest.mark.parametrize(
    ("description", "equity", "expected"),
    [
        ("at 2,000 all is phase 1's", "2000", (2_000, 0, 0)),
        ("below the floor no phase gets anything", "149.99", (0, 0, 0)),
        ("at the floor", "150", (150, 0, 0)),
        ("an account that fell below the first start trades on", "179", (179, 0, 0)),
        ("at 30,000 phase 3's share is phase 2's", "30000", (5_000, 25_000, 0)),
        ("at 100,000 phase 1 is capped", "100000", (5_000, 45_000, 50_000)),
        ("at 200,000 phase 3 takes what is over", "200000", (5_000, 50_000, 145_000)),
    ],
)
def test_eligibility_and_caps(description: str, equity: str, expected: tuple[int, ...]) -> None:
    # The sigmoid comes near its bounds and never reaches them.
    for share, one in zip(shares(equity), expected, strict=True):
        assert abs(share - one) < 1, description


def test_a_phase_that_is_not_deployed_is_not_eligible() -> None:
    assert shares("10000", deployed=("scavenger",)) == [5_000, 0, 0]
    allocation, _ = allocate(Decimal(10_000), FLOOR, ("scavenger",), AllocationState(), PARAMETERS)
    assert allocation.reserve == Decimal("0.5")


@pytest.mark.parametrize(
    ("description", "before", "equity", "leverage"),
    [
        ("a small account", 0, "1499", 20),
        ("the tier is entered", 0, "1500", 10),
        ("and held down to nine tenths", 1, "1350", 10),
        ("and left below", 1, "1349.99", 20),
        ("two tiers at once", 3, "1400", 10),
        ("the highest", 0, "50000", 2),
    ],
)
def test_the_tier_s_leverage_with_hysteresis(description: str, before: int, equity: str, leverage: int) -> None:
    allocation, _ = allocate(Decimal(equity), FLOOR, ALL, AllocationState(before), PARAMETERS)
    assert allocation.max_leverage == leverage, description


def test_eligibility_has_hysteresis_and_reading_changes_nothing() -> None:
    first, state = allocate(Decimal(2_500), FLOOR, ALL, AllocationState(), PARAMETERS)
    again, same = allocate(Decimal(2_500), FLOOR, ALL, AllocationState(), PARAMETERS)
    assert (first, state) == (again, same)
    assert state.eligible == ("scavenger", "hunter")
    assert shares("2250", state)[1] > 0
    assert shares("2249", state)[1] == 0
    assert shares("2499")[1] == 0


@given(st.decimals(1, 10_000_000, places=2), st.integers(0, 4), st.sets(st.sampled_from(ALL)))
def test_no_phase_gets_more_than_there_is(equity: Decimal, tier: int, deployed: set[str]) -> None:
    state = AllocationState(tier, tuple(deployed))
    allocation, _ = allocate(equity, FLOOR, tuple(deployed), state, PARAMETERS)
    total = sum(allocation.weights.values(), allocation.reserve)
    assert abs(total - 1) < Decimal("1e-8")
    for phase, weight in allocation.weights.items():
        cap = PARAMETERS.phases[phase].allocation_cap
        assert weight >= 0
        assert cap is None or weight * equity <= cap + equity * Decimal("1e-9")


@pytest.mark.parametrize(("alpha", "scale"), [(1.0, 0.1), (1.5, 0.1), (2.0, 0.2), (2.5, 0.35), (4.5, 0.8), (9.0, 0.8)])
def test_the_kelly_scale(alpha: float, scale: float) -> None:
    assert PARAMETERS.kelly_scale(alpha) == pytest.approx(scale)
