"""What an earlier life of Brain left: decisions, risk level, allocation. Unknown, nothing may be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from titan.brain.intent_handler import IntentHandler
from titan.brain.risk_controller import RiskController
from titan.runtime.telemetry.logs import Log
from titan.storage import brain_tables
from titan.storage.decisions import DecisionStore
from titan.storage.schema import DATABASE_ERRORS, SchemaProblem, said, schema_problem
from titan.v1 import brain_pb2 as b

# Some hours of decisions: an intent that is repeated is younger.
_TAKEN_UP = 1_000
_ASK_AGAIN_S = 1.0


class StateRestore:
    """Takes up what was left, at once or as soon as the database answers.

    Attributes
    ----------
    problem
        Why it is not known; None once it is.
    """

    def __init__(
        self, database: AsyncEngine, store: DecisionStore, decider: IntentHandler, governor: RiskController, log: Log
    ) -> None:
        self.problem: SchemaProblem | None = None
        self._database = database
        self._store = store
        self._decider = decider
        self._governor = governor
        self._log = log

    async def take_up(self) -> None:
        """Read it; where that cannot be, block what opens, and say why."""
        left = await self._store.start()
        self._decider.take_up(reversed(left))
        await self._read()

    async def take_up_later(self) -> None:
        """Where it could not be read: ask again until the database answers with the schema of this program."""
        if self.problem is None:
            return
        while self.problem is not None:
            await asyncio.sleep(_ASK_AGAIN_S)
            await self._read()
        self._log.info("what an earlier life left is known now")

    async def _read(self) -> None:
        problem = await schema_problem(self._database, "brain", brain_tables.HEAD)
        if problem is None:
            try:
                decisions = await self._store.newest(_TAKEN_UP)
                state = await self._store.load_state()
            except DATABASE_ERRORS as error:
                problem = SchemaProblem(f"database: the state of before cannot be read ({said(error)})", away=True)
            else:
                problem = self._know(decisions, state)
        if problem is not None:
            if problem != self.problem:
                self._log.error("database not usable", reason=problem.said)
            self._governor.blocked = problem.said
            self._governor.announce()
        self.problem = problem

    def _know(self, decisions: Sequence[b.Decision], state: dict[str, str]) -> SchemaProblem | None:
        self._store.use()
        self._decider.take_up(reversed(decisions))
        self._governor.blocked = ""
        try:
            self._governor.restore(state)
        except msgspec.DecodeError as error:
            return SchemaProblem(f"database: the state of before cannot be read ({error})", away=False)
        return None
