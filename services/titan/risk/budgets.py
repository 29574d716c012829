"""Grant each phase its budget for some seconds of market time. Source: domain.md section 2."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.budgets import Budget
from titan.domain.enums import BudgetState, Posture, RiskLevel
from titan.domain.numbers import ZERO
from titan.domain.time import utc_day
from titan.risk.allocation import Allocation
from titan.risk.performance import modifier
from titan.risk.state import PhaseState, RiskState

_PLACES = Decimal("1e-8")


def grant(risk_state: RiskState, phase: PhaseState, allocation: Allocation, now_ns: int, budget_id: str) -> Budget:
    """Make the phase's next budget from the risk state at ``now_ns`` of the market clock."""
    parameters, equity = risk_state.limits.parameters, risk_state.equity
    weight = allocation.weights.get(phase.phase_id, ZERO) if equity.known else ZERO
    allocated = equity.confirmed_equity * weight if equity.known else ZERO
    # The grant sizes openings; its state does not change by a single print.
    opening = equity.opening_equity * weight if equity.known else ZERO
    leverage = min(allocation.max_leverage, risk_state.limits.max_account_leverage)
    state, reason = budget_state(risk_state, phase, weight, allocated, now_ns)
    scale = modifier(phase.history.days, risk_state.capital.of(phase.phase_id), utc_day(now_ns), parameters)
    opens = state in (BudgetState.ACTIVE, BudgetState.THROTTLED)
    return Budget(
        budget_id=budget_id,
        phase_id=phase.phase_id,
        state=state,
        max_notional=(opening * leverage).quantize(_PLACES) if opens else ZERO,
        max_leverage=leverage,
        max_drawdown=(parameters.budget_drawdown * opening).quantize(_PLACES),
        orders_per_minute=(
            parameters.orders_per_minute if state is BudgetState.ACTIVE else parameters.orders_per_minute_throttled
        ),
        reason=reason,
        expires_at_ns=now_ns + parameters.budget_lifetime_ns,
        allocation=allocated.quantize(_PLACES),
        weight=weight,
        modifier=scale.factor,
        modifier_reason=scale.reason,
    )


def budget_state(
    risk_state: RiskState, phase: PhaseState, weight: Decimal, allocated: Decimal, now_ns: int
) -> tuple[BudgetState, str]:
    """Decide how much of its strategy a phase may run, and give the reason."""
    if risk_state.posture <= Posture.HALTED:
        return BudgetState.HALTED, f"posture {risk_state.posture.name}: {risk_state.posture_source}"
    if risk_state.posture is Posture.CLOSE_ONLY:
        return BudgetState.CLOSE_ONLY, f"posture CLOSE_ONLY: {risk_state.posture_source}"
    if not risk_state.equity.known:
        return BudgetState.CLOSE_ONLY, f"equity unknown: {risk_state.equity.reason}"
    if weight <= ZERO:
        return BudgetState.CLOSE_ONLY, f"no weight at equity {risk_state.equity.confirmed_equity:.2f}"
    lost = max(ZERO, -phase.history.day_result(now_ns))
    if lost >= phase.parameters.daily_drawdown_halt * allocated:
        return BudgetState.CLOSE_ONLY, f"the phase lost {lost:.2f} of {allocated:.2f} today"
    if lost >= phase.parameters.daily_drawdown_reduce * allocated:
        return BudgetState.THROTTLED, f"the phase lost {lost:.2f} of {allocated:.2f} today"
    if risk_state.risk_level is RiskLevel.CAUTIOUS:
        return BudgetState.ACTIVE, f"risk level CAUTIOUS, sizes are reduced: {risk_state.risk_reason}"
    return BudgetState.ACTIVE, ""
