"""Decisions in the table: written behind the order path, never on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from titan.domain.reasons import Reason
from titan.storage.brain_tables import brain_state, decisions
from titan.storage.schema import DATABASE_ERRORS, PROBE_PERIOD_S, error_text, reader
from titan.storage.spool import Spool
from titan.v1 import brain_pb2 as b

# In memory, where not even the spool can be written: beyond it a decision is counted as lost to the table, and trading
# goes on.
MAX_QUEUED = 20_000
_BATCH = 256
_RETRY_S = 1.0
# A write that takes longer is put aside in the spool first: a kill would lose it.
_WRITE_S = 3.0


class DecisionStore:
    """Decisions and Brain's state in the database.

    ``save`` and ``remember`` return at once. While the database is away, or must not be written yet, decisions wait in
    ``spool``, which a restart does not empty; ``unsaved`` counts those that wait, ``dropped`` those
    without room anywhere. ``on_problem`` is called with each new problem, and with None when writing works again.
    """

    def __init__(self, engine: AsyncEngine, spool: Spool, on_problem: Callable[[str | None], None]) -> None:
        self._engine = engine
        self._reader = reader(engine)
        self._spool = spool
        self._on_problem = on_problem
        self._usable = False
        self._queue: deque[b.Decision] = deque()
        self._state: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        self.dropped = 0

    @property
    def unsaved(self) -> int:
        """Decisions decided and not yet in the table."""
        return len(self._queue) + self._spool.count

    async def start(self) -> list[b.Decision]:
        """Start the writer; return the decisions that an earlier process could not write, newest first.

        Nothing is written to the database before :meth:`use`.
        """
        left: list[b.Decision] = []
        try:
            await self._spool.open()
            left = await self._spool.newest(self._spool.count)
        except SQLAlchemyError as error:
            self._report(f"database: what waits for it cannot be read ({error_text(error)})")
        self._task = asyncio.get_running_loop().create_task(self._run(), name="decision store")
        return left

    def use(self) -> None:
        """Write to the database from now on: it has this program's schema, and its state has been read.

        State that was remembered before is dropped: its writer had not read the stored state.
        """
        self._state.clear()
        self._usable = True
        self._idle.clear()
        self._wake.set()

    async def stop(self) -> None:
        """Write the rest if the database accepts it within a second; otherwise it waits in the spool."""
        await self.flush(1.0)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._put_aside()
        await self._spool.close()
        await self._engine.dispose()

    def save(self, decision: b.Decision) -> None:
        """Queue a decision to be written."""
        if len(self._queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(decision)
        self._idle.clear()
        self._wake.set()

    def remember(self, name: str, value: str) -> None:
        """Queue a piece of Brain's state to be written; only the newest of a name counts."""
        self._state[name] = value
        self._idle.clear()
        self._wake.set()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all is written; False when that took too long, or the database is known to be away."""
        if self._task is None or not self._usable or self.problem:
            return not self.unsaved
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def load_state(self) -> dict[str, str]:
        """Return the remembered state, by name.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When it cannot be read.
        """
        async with self._reader.connect() as connection:
            rows = await connection.execute(select(brain_state.c.name, brain_state.c.value))
            return {row.name: row.value for row in rows}

    async def newest(self, limit: int, phase_id: str = "", approved: bool | None = None) -> list[b.Decision]:
        """Decisions, newest first.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When they cannot be read.
        """
        query = select(decisions.c.record).order_by(decisions.c.sequence.desc()).limit(limit)
        if phase_id:
            query = query.where(decisions.c.phase_id == phase_id)
        if approved is not None:
            query = query.where(decisions.c.approved == approved)
        return await self._read(query)

    async def counts(self) -> dict[tuple[str, bool, str], int]:
        """Count the decisions in the table by phase, approval and reason.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When they cannot be read.
        """
        by = (decisions.c.phase_id, decisions.c.approved, decisions.c.reason)
        async with self._reader.connect() as connection:
            rows = await connection.execute(select(*by, func.count()).group_by(*by))
            return {(phase_id, approved, reason): count for phase_id, approved, reason, count in rows}

    async def without_row(self, left: Iterable[b.Decision]) -> list[b.Decision]:
        """Return those of ``left`` that are not in the table.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When it cannot be read.
        """
        by_id = {decision.intent_id: decision for decision in left}
        ids = list(by_id)
        async with self._reader.connect() as connection:
            for start in range(0, len(ids), _BATCH):
                some = decisions.c.intent_id.in_(ids[start : start + _BATCH])
                for (intent_id,) in await connection.execute(select(decisions.c.intent_id).where(some)):
                    del by_id[intent_id]
        return list(by_id.values())

    async def beginning_with(self, beginning: str, limit: int = 2) -> list[b.Decision]:
        """Decisions whose intent id begins so, at most ``limit``.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When they cannot be read.
        """
        ids = decisions.c.intent_id
        return await self._read(
            select(decisions.c.record).where(ids.startswith(beginning, autoescape=True)).limit(limit)
        )

    async def _read(self, query: object) -> list[b.Decision]:
        async with self._reader.connect() as connection:
            rows = await connection.execute(query)  # type: ignore[call-overload]
            return [b.Decision.FromString(record) for (record,) in rows]

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PROBE_PERIOD_S):
                    await self._wake.wait()
            except TimeoutError:
                if self._usable:
                    await self._probe()
                continue
            self._wake.clear()
            while self._queue or self._spool.count or (self._state and self._usable):
                if not await self._written():
                    await asyncio.sleep(_RETRY_S)
            self._idle.set()

    async def _probe(self) -> None:
        """Report whether the database can be written, although nothing waits to be written."""
        try:
            async with asyncio.timeout(_WRITE_S), self._engine.connect() as connection:
                await connection.execute(select(brain_state.c.name).limit(1))
        except DATABASE_ERRORS as error:
            self._report(f"database: decisions cannot be written ({error_text(error)})")
        else:
            self._report(None)

    async def _written(self) -> bool:
        """Write the next batch; False where it was put aside instead."""
        if self._usable:
            try:
                await self._write_next()
            except DATABASE_ERRORS as error:
                self._report(f"database: decisions cannot be written ({error_text(error)})")
            else:
                self._report(None)
                return True
        await self._put_aside()
        return False

    async def _write_next(self) -> None:
        # Decisions in the spool are older than those in the queue.
        spooled = await self._spool.first(_BATCH)
        batch = [one for _, one in spooled] or [self._queue[index] for index in range(min(_BATCH, len(self._queue)))]
        state, self._state = self._state, {}
        try:
            await self._write(batch, state)
        except BaseException:
            self._state = {**state, **self._state}
            raise
        if spooled:
            await self._spool.remove(spooled[-1][0])
        else:
            for _ in batch:
                self._queue.popleft()

    async def _put_aside(self) -> None:
        waiting = list(self._queue)
        if not waiting:
            return
        try:
            await self._spool.add(waiting)
        except SQLAlchemyError as error:
            self._report(f"database: decisions can neither be written nor put aside ({error_text(error)})")
            return
        for _ in waiting:
            self._queue.popleft()

    async def _write(self, batch: Sequence[b.Decision], state: dict[str, str]) -> None:
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        async with asyncio.timeout(_WRITE_S), self._engine.begin() as connection:
            if batch:
                await connection.execute(
                    insert(decisions).on_conflict_do_nothing(index_elements=["intent_id"]), [_row(one) for one in batch]
                )
            for name, value in state.items():
                row = insert(brain_state).values(name=name, value=value)
                await connection.execute(
                    row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value})
                )

    def _report(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._on_problem(problem)


def _row(decision: b.Decision) -> dict[str, object]:
    return {
        "intent_id": decision.intent_id,
        "phase_id": decision.phase_id,
        "symbol": decision.symbol,
        "approved": decision.approved,
        "reason": Reason(decision.reason).name,
        "policy_hash": decision.policy_hash,
        "term": decision.term,
        "market_time_ns": decision.market_time_ns,
        "record": decision.SerializeToString(),
    }
