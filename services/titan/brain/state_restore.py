"""Restore Brain's state after a restart: decisions, risk level, allocation. Until then nothing may be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from titan.brain.intent_handler import IntentHandler
from titan.brain.risk_notifier import ALLOCATION, CAPITAL, FREQUENCY, QUALITY, RISK_LEVEL, RiskNotifier
from titan.risk.allocation import AllocationState
from titan.risk.controller import RiskController
from titan.risk.frequency import FrequencyState
from titan.risk.performance import CapitalState
from titan.risk.risk_level import RiskLevelState
from titan.risk.state import RiskState
from titan.runtime.telemetry.logs import Log
from titan.storage import brain_tables
from titan.storage.decisions import DecisionStore
from titan.storage.schema import DATABASE_ERRORS, SchemaProblem, error_text, schema_problem
from titan.v1 import brain_pb2 as b

# Some hours of decisions: an intent that is sent again is younger.
_RESTORED_DECISIONS = 1_000
_RETRY_S = 1.0


class StateRestore:
    """Restores the stored state, at once or as soon as the database answers.

    Attributes
    ----------
    problem
        Reason that the state is not restored; None once it is.
    """

    def __init__(
        self,
        database: AsyncEngine,
        store: DecisionStore,
        intent_handler: IntentHandler,
        controller: RiskController,
        risk_state: RiskState,
        notifier: RiskNotifier,
        log: Log,
    ) -> None:
        self.problem: SchemaProblem | None = None
        self._database = database
        self._store = store
        self._intent_handler = intent_handler
        self._controller = controller
        self._risk_state = risk_state
        self._notifier = notifier
        self._log = log
        # Decisions of earlier lives that were not in the table when this one started, newest first.
        self._unwritten: list[b.Decision] = []

    async def restore(self) -> None:
        """Read the state; where that fails, block opening with the reason."""
        self._unwritten = await self._store.start()
        self._intent_handler.restore(reversed(self._unwritten))
        await self._read()

    async def retry(self) -> None:
        """Read it again until the database answers with this program's schema; return at once where it is restored."""
        if self.problem is None:
            return
        while self.problem is not None:
            await asyncio.sleep(_RETRY_S)
            await self._read()
        self._log.info("stored state restored")

    async def _read(self) -> None:
        problem = await schema_problem(self._database, "brain", brain_tables.HEAD)
        if problem is None:
            try:
                decisions = await self._store.newest(_RESTORED_DECISIONS)
                state = await self._store.load_state()
                counts = await self._store.counts()
                unwritten = await self._store.without_row(self._unwritten)
            except DATABASE_ERRORS as error:
                problem = SchemaProblem(f"database: the stored state cannot be read ({error_text(error)})", away=True)
            else:
                self._intent_handler.counts.restore(counts, unwritten)
                problem = self._apply(decisions, state)
        if problem is not None:
            if problem != self.problem:
                self._log.error("database not usable", reason=problem.message)
            self._controller.blocked = problem.message
            self._controller.update_posture()
        self.problem = problem

    def _apply(self, decisions: Sequence[b.Decision], state: dict[str, str]) -> SchemaProblem | None:
        self._store.use()
        self._intent_handler.restore(reversed(decisions))
        self._controller.blocked = ""
        try:
            if RISK_LEVEL in state:
                self._controller.restore_level(msgspec.json.decode(state[RISK_LEVEL], type=RiskLevelState))
            if ALLOCATION in state:
                self._controller.restore_allocation(msgspec.json.decode(state[ALLOCATION], type=AllocationState))
            if CAPITAL in state:
                self._controller.restore_capital(msgspec.json.decode(state[CAPITAL], type=CapitalState))
            if FREQUENCY in state:
                self._restore_frequency(msgspec.json.decode(state[FREQUENCY], type=FrequencyState))
            if QUALITY in state:
                self._restore_quality(msgspec.json.decode(state[QUALITY], type=tuple[float | None, ...]))
        except msgspec.DecodeError as error:
            return SchemaProblem(f"database: the stored state cannot be read ({error})", away=False)
        self._controller.update_posture()
        return None

    def _restore_frequency(self, stored: FrequencyState) -> None:
        """Take over the stored counts; with those of this life, which wait to be written, they are stored again."""
        frequency = self._risk_state.frequency
        frequency.restore(stored)
        if frequency.state != stored:
            self._notifier.on_frequency_state(frequency.state)

    def _restore_quality(self, stored: tuple[float | None, ...]) -> None:
        """Take over the stored entries; with those of this life, which wait to be written, they are stored again."""
        quality = self._risk_state.quality
        quality.restore(stored)
        if quality.entries != stored:
            self._notifier.on_quality(quality.entries)
