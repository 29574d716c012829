"""Posture, risk level, allocation and budgets: what is in force, recomputed whenever its sources change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from titan.domain.budgets import Budget, PostureState
from titan.domain.kinds import Posture, RiskLevel
from titan.domain.numbers import ONE
from titan.durable.latch import Latch, LatchUnavailable
from titan.risk.allocation import Allocation, AllocationState, allocate
from titan.risk.budgets import grant
from titan.risk.posture import level_posture, posture_in_force
from titan.risk.risk_level import RiskLevelState, evaluate
from titan.risk.state import RiskState
from titan.runtime.telemetry.logs import Log

ALLOCATION, RISK_LEVEL = "allocation", "risk_level"
BY_ITSELF = "brain (risk level)"


class RiskListener(Protocol):
    """Who is told what the governor changed."""

    def on_posture(self, state: PostureState) -> None:
        """The posture, or what it comes from, has changed."""

    def on_budget(self, budget: Budget) -> None:
        """A phase has a new budget."""

    def on_budget_expired(self, phase_id: str, reason: str) -> None:
        """A phase's budget has expired: its resting entries must go."""

    def on_emergency(self, reason: str) -> None:
        """EMERGENCY: flatten, now."""


class RiskController:
    """Computes what is in force and tells it. ``remember`` keeps its state over a restart."""

    def __init__(
        self,
        risk_state: RiskState,
        latch: Latch,
        ceiling: Posture,
        term: int,
        told: RiskListener,
        remember: Callable[[str, str], None],
        log: Log,
    ) -> None:
        self.latch = latch
        self.ceiling = ceiling
        # Why nothing may be opened whatever the posture: the state of before cannot be read.
        self.blocked = ""
        self.level = RiskLevelState()
        self.allocation_state = AllocationState()
        self.allocation: Allocation | None = None
        self.budgets_issued = 0
        self._risk_state = risk_state
        self._term = term
        self._told = told
        self._remember = remember
        self._log = log
        self._last_lease_ns = 0
        self._cancelled: set[str] = set()
        self.state = self._posture_state()

    def restore(self, state: dict[str, str]) -> None:
        """Take up what an earlier life remembered.

        Raises
        ------
        msgspec.DecodeError
            When it cannot be read.
        """
        if RISK_LEVEL in state:
            remembered = msgspec.json.decode(state[RISK_LEVEL], type=RiskLevelState)
            # Read late, it may not make milder what was found in the meantime.
            if remembered.level >= self.level.level:
                self.level = remembered
            else:
                self._remember(RISK_LEVEL, msgspec.json.encode(self.level).decode())
        if ALLOCATION in state:
            self.allocation_state = msgspec.json.decode(state[ALLOCATION], type=AllocationState)
        self.announce()

    def evaluate(self, now_ns: int) -> None:
        """Look at everything once more, at ``now_ns`` of the market clock (0: the market has not begun)."""
        risk_state = self._risk_state
        risk_state.refresh()
        before = self.level
        self.level = evaluate(
            before, risk_state.equity, risk_state.truth, risk_state.limits.rules, risk_state.limits.parameters, now_ns
        )
        if self.level != before:
            self._remember(RISK_LEVEL, msgspec.json.encode(self.level).decode())
        if self.level.level != before.level:
            self._log.warning(
                "risk level", level=self.level.level.name, before=before.level.name, reason=self.level.reason
            )
            if self.level.level is RiskLevel.EMERGENCY:
                self.tighten(Posture.FLATTEN, BY_ITSELF, self.level.reason)
                self._told.on_emergency(self.level.reason)
        changed = self.announce()
        if now_ns:
            self._lease(now_ns, changed)

    def tighten(self, posture: Posture, by: str, reason: str) -> str:
        """Lower the latch at once; what is wrong with storing it, or nothing."""
        try:
            if self.latch.tighten(posture, by, reason):
                self._log.warning("posture lowered", latch=self.latch.posture.name, by=by, reason=reason)
        except LatchUnavailable as error:
            self._log.error("latch lowered, but not stored", reason=error.reason)
            return error.reason
        return ""

    def set_ceiling(self, ceiling: Posture, by: str) -> str:
        """Follow the resource's ceiling, the latch too where that is lower; what is wrong with storing it, or nothing.

        A ceiling that is raised again finds the latch where it was lowered to: only a person arms.
        """
        self.ceiling = ceiling
        if ceiling >= self.latch.posture:
            return ""
        return self.tighten(ceiling, by, f"the RiskPolicy resource allows {ceiling.name} at most")

    def announce(self) -> bool:
        """Recompute the posture and tell it if anything of it changed; say whether it did."""
        state = self._posture_state()
        risk_state = self._risk_state
        risk_state.posture, risk_state.posture_source = state.in_force, state.reason
        risk_state.risk_level, risk_state.risk_reason = self.level.level, self.level.reason
        if state == self.state:
            return False
        self._log.info("posture", in_force=state.in_force.name, reason=state.reason)
        self.state = state
        self._told.on_posture(state)
        return True

    def lease_now(self, now_ns: int) -> None:
        """Give every connected phase a new budget."""
        if now_ns:
            self._lease(now_ns, at_once=True)

    def _posture_state(self) -> PostureState:
        latch, level = self.latch.posture, self.level.level
        in_force = posture_in_force(self.ceiling, latch, level)
        reason = f"latch {latch.name}: {self.latch.reason}" + (f" (by {self.latch.by})" if self.latch.by else "")
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
            by=self.latch.by,
            policy_hash=self._risk_state.limits.policy_hash,
            term=self._term,
            latch_never_set=self.latch.never_set,
        )

    def _lease(self, now_ns: int, at_once: bool) -> None:
        risk_state = self._risk_state
        parameters = risk_state.limits.parameters
        due = at_once or now_ns - self._last_lease_ns >= parameters.budget_period_ns
        if due:
            self._last_lease_ns = now_ns
            self._allocate()
        for phase in risk_state.phases.values():
            # A phase that is away gets none: what it had expires.
            if due and phase.connected and self.allocation is not None:
                self.budgets_issued += 1
                budget_id = f"{phase.phase_id}-{self._term}-{self.budgets_issued}"
                phase.budget = grant(risk_state, phase, self.allocation, now_ns, budget_id)
                self._cancelled.discard(phase.phase_id)
                self._told.on_budget(phase.budget)
            elif phase.budget is not None and phase.budget.expired(now_ns) and phase.phase_id not in self._cancelled:
                self._cancelled.add(phase.phase_id)
                self._told.on_budget_expired(phase.phase_id, f"budget {phase.budget.budget_id} has expired")

    def _allocate(self) -> None:
        risk_state = self._risk_state
        if not risk_state.equity.known:
            if self.allocation is None:
                self.allocation = Allocation({}, ONE, risk_state.limits.max_account_leverage)
            return
        self.allocation, following = allocate(
            risk_state.equity.equity, tuple(risk_state.phases), self.allocation_state, risk_state.limits.parameters
        )
        if following != self.allocation_state:
            self.allocation_state = following
            self._remember(ALLOCATION, msgspec.json.encode(following).decode())
