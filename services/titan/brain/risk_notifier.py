"""Send what the risk controller changes to the phases, to Execution and to the store."""

from __future__ import annotations

import msgspec

from titan.brain.execution_client import ExecutionClient
from titan.brain.phase_sessions import PhaseSessions
from titan.domain.budgets import Budget
from titan.domain.enums import Posture
from titan.domain.posture import PostureState
from titan.risk.allocation import AllocationState
from titan.risk.controller import RISK_LEVEL_ACTOR
from titan.risk.frequency import FrequencyState
from titan.risk.performance import CapitalState
from titan.risk.risk_level import RiskLevelState
from titan.runtime.telemetry.logs import Log
from titan.storage.decisions import DecisionStore
from titan.v1 import brain_pb2 as b
from titan.wire.brain import budget_to_wire, posture_to_wire

# Keys of the stored state.
ALLOCATION, CAPITAL, RISK_LEVEL, FREQUENCY, QUALITY = "allocation", "capital", "risk_level", "frequency", "quality"


class RiskNotifier:
    """The risk controller's listener in the Brain process."""

    def __init__(self, phases: PhaseSessions, execution: ExecutionClient, store: DecisionStore, log: Log) -> None:
        self._phases = phases
        self._execution = execution
        self._store = store
        self._log = log

    def on_level_state(self, state: RiskLevelState, before: RiskLevelState) -> None:
        """Store the state, and log a changed level."""
        self._store.remember(RISK_LEVEL, msgspec.json.encode(state).decode())
        if state.level != before.level:
            self._log.warning("risk level", level=state.level.name, before=before.level.name, reason=state.reason)

    def on_allocation_state(self, state: AllocationState) -> None:
        """Store the hysteresis."""
        self._store.remember(ALLOCATION, msgspec.json.encode(state).decode())

    def on_capital_state(self, state: CapitalState) -> None:
        """Store the allocations by day."""
        self._store.remember(CAPITAL, msgspec.json.encode(state).decode())

    def on_frequency_state(self, state: FrequencyState) -> None:
        """Store the counts of thinned and explored setups."""
        self._store.remember(FREQUENCY, msgspec.json.encode(state).decode())

    def on_quality(self, entries: tuple[float | None, ...]) -> None:
        """Store the entries by which execution is rated."""
        self._store.remember(QUALITY, msgspec.json.encode(entries).decode())

    def on_emergency(self, reason: str) -> None:
        """Request the flattening from Execution."""
        self._execution.post_act(Posture.FLATTEN, RISK_LEVEL_ACTOR, reason)

    def on_posture(self, state: PostureState) -> None:
        """Send it to everyone; below ARMED no resting entry may remain that could still open."""
        self._log.info("posture", in_force=state.in_force.name, reason=state.reason)
        self._phases.post_all(b.SubmitResponse(posture=posture_to_wire(state)))
        self._execution.heartbeat(state)
        if state.in_force < Posture.ARMED:
            self._execution.cancel_entries("", f"posture {state.in_force.name}: {state.reason}")

    def on_budget(self, budget: Budget) -> None:
        """Send it to its phase."""
        self._phases.post_to(budget.phase_id, b.SubmitResponse(budget=budget_to_wire(budget)))

    def on_budget_expired(self, phase_id: str, reason: str) -> None:
        """Cancel the phase's resting entries."""
        self._log.warning("budget expired", phase_id=phase_id, reason=reason)
        self._execution.cancel_entries(phase_id, reason)
