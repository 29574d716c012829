"""Budgets: what Brain leases to each phase for some seconds of market time. Source: domain.md section 2."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.budgets import Budget
from titan.domain.kinds import BudgetState, Posture, RiskLevel
from titan.domain.numbers import ZERO
from titan.risk.allocation import Allocation
from titan.risk.state import PhaseState, RiskState

_PLACES = Decimal("1e-8")


def lease(book: RiskState, phase: PhaseState, allocation: Allocation, now_ns: int, budget_id: str) -> Budget:
    """Make the phase's next budget from what is known at ``now_ns`` of the market clock."""
    parameters = book.limits.parameters
    weight = allocation.weights.get(phase.phase_id, ZERO) if book.equity.known else ZERO
    allocated = book.equity.equity * weight if book.equity.known else ZERO
    leverage = min(allocation.max_leverage, book.limits.max_account_leverage)
    state, reason = budget_state(book, phase, weight, allocated, now_ns)
    opens = state in (BudgetState.ACTIVE, BudgetState.THROTTLED)
    return Budget(
        budget_id=budget_id,
        phase_id=phase.phase_id,
        state=state,
        max_notional=(allocated * leverage).quantize(_PLACES) if opens else ZERO,
        max_leverage=leverage,
        max_drawdown=(parameters.budget_drawdown * allocated).quantize(_PLACES),
        orders_per_minute=(
            parameters.orders_per_minute if state is BudgetState.ACTIVE else parameters.orders_per_minute_throttled
        ),
        reason=reason,
        expires_at_ns=now_ns + parameters.budget_lifetime_ns,
        allocation=allocated.quantize(_PLACES),
        weight=weight,
    )


def budget_state(
    book: RiskState, phase: PhaseState, weight: Decimal, allocated: Decimal, now_ns: int
) -> tuple[BudgetState, str]:
    """How much of its strategy a phase may run, and why."""
    if book.posture <= Posture.HALTED:
        return BudgetState.HALTED, f"posture {book.posture.name}: {book.posture_source}"
    if book.posture is Posture.CLOSE_ONLY:
        return BudgetState.CLOSE_ONLY, f"posture CLOSE_ONLY: {book.posture_source}"
    if not book.equity.known:
        return BudgetState.CLOSE_ONLY, f"equity unknown: {book.equity.reason}"
    if weight <= ZERO:
        return BudgetState.CLOSE_ONLY, f"no weight at equity {book.equity.equity:.2f}"
    lost = max(ZERO, -phase.history.day_result(now_ns))
    if lost >= phase.parameters.daily_drawdown_halt * allocated:
        return BudgetState.CLOSE_ONLY, f"the phase lost {lost:.2f} of {allocated:.2f} today"
    if lost >= phase.parameters.daily_drawdown_reduce * allocated:
        return BudgetState.THROTTLED, f"the phase lost {lost:.2f} of {allocated:.2f} today"
    if book.risk_level is RiskLevel.CAUTIOUS:
        return BudgetState.ACTIVE, f"risk level CAUTIOUS, sizes are reduced: {book.risk_reason}"
    return BudgetState.ACTIVE, ""
