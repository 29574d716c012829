from __future__ import annotations

from decimal import Decimal

import pytest

from titan.domain.budgets import Budget
from titan.domain.enums import BudgetState, Posture, RiskLevel
from titan.domain.posture import PostureState
from titan.phase.brain_client import permission


def posture(in_force: Posture) -> PostureState:
    return PostureState(
        in_force=in_force,
        ceiling=Posture.ARMED,
        latch=in_force,
        risk_level=RiskLevel.NORMAL,
        reason="a test",
        by="tester",
        policy_hash="",
        term=1,
        latch_never_set=False,
    )


def budget(state: BudgetState) -> Budget:
    return Budget(
        budget_id="b-1",
        phase_id="scavenger",
        state=state,
        max_notional=Decimal(100),
        max_leverage=Decimal(10),
        max_drawdown=Decimal(4),
        orders_per_minute=30,
        reason="a test",
        expires_at_ns=77,
        allocation=Decimal(200),
        weight=Decimal(1),
    )


@pytest.mark.parametrize(
    ("description", "streaming", "in_force", "state", "until_ns", "closing", "expected"),
    [
        ("armed with a live budget", True, Posture.ARMED, BudgetState.ACTIVE, 77, True, "budget b-1 has expired"),
        ("throttled still opens", True, Posture.ARMED, BudgetState.THROTTLED, 77, True, "budget b-1 has expired"),
        ("goes on proposing: Brain refuses", True, Posture.CLOSE_ONLY, BudgetState.CLOSE_ONLY, 77, True, "expired"),
        ("opens nothing, exits go on", True, Posture.HALTED, BudgetState.ACTIVE, 0, True, "posture HALTED: a test"),
        ("Execution closes", True, Posture.FLATTEN, BudgetState.ACTIVE, 0, False, "posture FLATTEN: a test"),
        ("budget halted", True, Posture.ARMED, BudgetState.HALTED, 0, True, "budget HALTED: a test"),
        ("no budget yet", True, Posture.ARMED, None, 0, True, "no budget from Brain yet"),
        ("no posture yet", True, None, BudgetState.ACTIVE, 0, False, "no posture from Brain yet"),
        ("no stream", False, Posture.ARMED, BudgetState.ACTIVE, 0, False, "no stream to Brain"),
    ],
)
def test_permission(
    description: str,
    streaming: bool,
    in_force: Posture | None,
    state: BudgetState | None,
    until_ns: int,
    closing: bool,
    expected: str,
) -> None:
    allowed = permission(streaming, posture(in_force) if in_force else None, budget(state) if state else None)
    assert (allowed.opening_until_ns, allowed.closing) == (until_ns, closing), description
    assert expected in allowed.reason
