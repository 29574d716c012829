"""Compute the posture, risk level, allocation and budgets in force whenever their sources change.

Synchronous and without I/O: the Brain process and a backtest compose it with their own latch and listener.
"""

from __future__ import annotations

from typing import Protocol

from titan.domain.budgets import Budget
from titan.domain.enums import Posture, RiskLevel
from titan.domain.numbers import ONE, ZERO
from titan.domain.posture import PostureState, latch_cause
from titan.domain.time import utc_day
from titan.risk.allocation import Allocation, AllocationState, allocate
from titan.risk.budgets import grant
from titan.risk.performance import CapitalState
from titan.risk.posture import level_posture, posture_in_force
from titan.risk.risk_level import RiskLevelState, equity_floor, evaluate
from titan.risk.state import RiskState

# The latch records it as the actor of a FLATTEN that the risk level caused.
RISK_LEVEL_ACTOR = "brain (risk level)"


class PostureLatch(Protocol):
    """A posture that anyone may lower at once and that only a person raises again."""

    @property
    def posture(self) -> Posture:
        """The highest posture that the latch allows."""

    @property
    def never_set(self) -> bool:
        """Return whether no act has set it yet."""

    @property
    def by(self) -> str:
        """The actor who set it last."""

    @property
    def reason(self) -> str:
        """The reason of the last act."""

    def lower(self, posture: Posture, by: str, reason: str) -> str:
        """Lower it at once; return the problem with storing it, or an empty string."""


class RiskListener(Protocol):
    """Receives each change that the controller makes, in the order in which it is made."""

    def on_level_state(self, state: RiskLevelState, before: RiskLevelState) -> None:
        """Store the risk level's state; ``level`` may be the same as before."""

    def on_allocation_state(self, state: AllocationState) -> None:
        """Store the allocation's hysteresis."""

    def on_capital_state(self, state: CapitalState) -> None:
        """Store the allocations by day that daily returns are measured on."""

    def on_quality(self, entries: tuple[float | None, ...]) -> None:
        """Store the entries by which execution is rated."""

    def on_emergency(self, reason: str) -> None:
        """Flatten the account; the latch is at FLATTEN already."""

    def on_posture(self, state: PostureState) -> None:
        """Take over a posture that changed, itself or in one of its sources."""

    def on_budget(self, budget: Budget) -> None:
        """Take over a phase's new budget."""

    def on_budget_expired(self, phase_id: str, reason: str) -> None:
        """Cancel the resting entries of a phase whose budget has expired."""


class RiskController:
    """Recompute what is in force, write it into the risk state and notify the listener of each change.

    Attributes
    ----------
    blocked
        Reason to open nothing whatever the posture is; empty when there is none.
    term
        This Brain's term.
    level, allocation_state
        State that has to survive a restart.
    """

    def __init__(
        self, risk_state: RiskState, latch: PostureLatch, ceiling: Posture, term: int, listener: RiskListener
    ) -> None:
        self.ceiling = ceiling
        self.blocked = ""
        self.level = RiskLevelState()
        self.allocation_state = AllocationState()
        self.allocation: Allocation | None = None
        self.budgets_issued = 0
        self._risk_state = risk_state
        self._latch = latch
        self.term = term
        self._listener = listener
        self._last_grant_ns = 0
        self._quality_changes = 0
        # Phases whose expired budget has been reported: once is enough.
        self._expired: set[str] = set()
        self.state = self._posture_state()

    def restore_level(self, stored: RiskLevelState) -> None:
        """Take over the stored level, unless it is milder than the present one: the database may answer late."""
        if stored.level >= self.level.level:
            self.level = stored
        else:
            self._listener.on_level_state(self.level, self.level)

    def restore_allocation(self, stored: AllocationState) -> None:
        """Take over the stored hysteresis."""
        self.allocation_state = stored

    def restore_capital(self, stored: CapitalState) -> None:
        """Take over the stored allocations; those of this life are stored with them."""
        if self._risk_state.capital.restore(stored):
            self._listener.on_capital_state(self._risk_state.capital.state)

    def evaluate(self, now_ns: int) -> None:
        """Recompute everything at ``now_ns`` of the market clock (0: the market has not begun)."""
        risk_state = self._risk_state
        risk_state.refresh()
        before = self.level
        self.level = evaluate(
            before, risk_state.equity, risk_state.truth, risk_state.limits.rules, risk_state.limits.parameters, now_ns
        )
        if self.level != before:
            self._listener.on_level_state(self.level, before)
        if self.level.level is RiskLevel.EMERGENCY and before.level is not RiskLevel.EMERGENCY:
            self._latch.lower(Posture.FLATTEN, RISK_LEVEL_ACTOR, self.level.reason)
            self._listener.on_emergency(self.level.reason)
        if risk_state.quality.changes != self._quality_changes:
            self._quality_changes = risk_state.quality.changes
            self._listener.on_quality(risk_state.quality.entries)
        changed = self.update_posture()
        if now_ns:
            self._grant_budgets(now_ns, changed)

    def set_ceiling(self, ceiling: Posture, by: str) -> str:
        """Follow the resource's ceiling, and lower the latch to it; return the problem with storing it, or nothing.

        A ceiling that is raised again leaves the latch where it was lowered to: only a person arms.
        """
        self.ceiling = ceiling
        if ceiling >= self._latch.posture:
            return ""
        return self._latch.lower(ceiling, by, f"the RiskPolicy resource allows {ceiling.name} at most")

    def update_posture(self) -> bool:
        """Recompute the posture and notify the listener if anything of it changed; return whether it did."""
        state = self._posture_state()
        risk_state = self._risk_state
        risk_state.posture, risk_state.posture_source = state.in_force, state.reason
        risk_state.risk_level, risk_state.risk_reason = self.level.level, self.level.reason
        if state == self.state:
            return False
        self.state = state
        self._listener.on_posture(state)
        return True

    def grant_budgets(self, now_ns: int) -> None:
        """Give every connected phase a new budget at once."""
        if now_ns:
            self._grant_budgets(now_ns, at_once=True)

    def _posture_state(self) -> PostureState:
        latch, level = self._latch.posture, self.level.level
        in_force = posture_in_force(self.ceiling, latch, level)
        reason = latch_cause(latch, self._latch.by, self._latch.reason)
        if self.blocked and in_force > Posture.CLOSE_ONLY:
            in_force, reason = Posture.CLOSE_ONLY, self.blocked
        elif in_force < latch and in_force == level_posture(level):
            reason = f"risk level {level.name}: {self.level.reason}"
        elif in_force < latch:
            reason = f"ceiling {self.ceiling.name} of the RiskPolicy resource"
        return PostureState(
            in_force=in_force,
            ceiling=self.ceiling,
            latch=latch,
            risk_level=level,
            reason=reason,
            by=self._latch.by,
            policy_hash=self._risk_state.limits.policy_hash,
            term=self.term,
            latch_never_set=self._latch.never_set,
        )

    def _grant_budgets(self, now_ns: int, at_once: bool) -> None:
        risk_state = self._risk_state
        parameters = risk_state.limits.parameters
        due = at_once or now_ns - self._last_grant_ns >= parameters.budget_period_ns
        if due:
            self._last_grant_ns = now_ns
            self._allocate()
        for phase in risk_state.phases.values():
            # A phase that is disconnected gets none: its last one expires.
            if due and phase.connected and self.allocation is not None:
                self.budgets_issued += 1
                budget_id = f"{phase.phase_id}-{self.term}-{self.budgets_issued}"
                phase.budget = grant(risk_state, phase, self.allocation, now_ns, budget_id)
                self._observe_capital(phase.budget, now_ns)
                self._expired.discard(phase.phase_id)
                self._listener.on_budget(phase.budget)
            elif phase.budget is not None and phase.budget.expired(now_ns) and phase.phase_id not in self._expired:
                self._expired.add(phase.phase_id)
                self._listener.on_budget_expired(phase.phase_id, f"budget {phase.budget.budget_id} has expired")

    def _observe_capital(self, budget: Budget, now_ns: int) -> None:
        capital = self._risk_state.capital
        if budget.weight > ZERO and capital.observe(budget.phase_id, utc_day(now_ns), budget.allocation):
            self._listener.on_capital_state(capital.state)

    def _allocate(self) -> None:
        risk_state = self._risk_state
        if not risk_state.equity.known:
            if self.allocation is None:
                self.allocation = Allocation({}, ONE, risk_state.limits.max_account_leverage)
            return
        self.allocation, following = allocate(
            risk_state.equity.confirmed_equity,
            equity_floor(risk_state.equity, risk_state.limits.rules),
            tuple(risk_state.phases),
            self.allocation_state,
            risk_state.limits.parameters,
        )
        if following != self.allocation_state:
            self.allocation_state = following
            self._listener.on_allocation_state(following)
