"""The journal's facts in tables: behind the order path, by sequence, re-creatable. Trading never waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Executable, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from titan.domain.account import Account, Change
from titan.domain.journal_records import Adoption, Record
from titan.domain.ledger import Transaction
from titan.domain.numbers import format_decimal
from titan.domain.recovery import tables_ahead
from titan.execution.events import ExecutionEvents
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.storage.execution_tables import HEAD, fills, ledger, orders, positions, projection, round_trips
from titan.storage.schema import DATABASE_ERRORS, PROBE_PERIOD_S, SchemaProblem, error_text, schema_problem

_BATCH = 200
_RETRY_S = 1.0
_NAME = "journal"
MOVE = update(projection)

Rows = tuple[Table, dict[str, Any]]


class Projector:
    """Writes the journal's records into tables, in order, each record once.

    Attributes
    ----------
    problem
        The reason for which the tables cannot be written; None when they can.
    """

    def __init__(
        self, engine: AsyncEngine, account: Account, events: ExecutionEvents, metrics: Metrics, log: Log
    ) -> None:
        self.problem: SchemaProblem | None = None
        self._engine = engine
        self._account = account
        self._events = events
        self._log = log
        self._queue: deque[tuple[int, Record, Change]] = deque()
        # Sequence of the last record in the tables; None while it has to be read from them.
        self._stored: int | None = None
        # Highest sequence that this process has written, and the last one of the recovered journal.
        self._written = 0
        self._recovered = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._lag = metrics.gauge("titan_projection_lag", "Journal records not yet in the tables.")
        self._lag.set_function(lambda: self.lag)

    @property
    def lag(self) -> int:
        """Records of the journal that are not in the tables."""
        return len(self._queue)

    def enqueue(self, sequence: int, record: Record, change: Change) -> None:
        """Queue a record to be written, and return at once."""
        self._queue.append((sequence, record, change))
        self._idle.clear()
        self._wake.set()

    def start(self, recovered: int) -> None:
        """Start the task that writes; ``recovered`` is the sequence of the recovered journal's last record."""
        self._recovered = recovered
        self._task = asyncio.get_running_loop().create_task(self._run(), name="projector")

    async def stop(self) -> None:
        """Write the rest of the queue if the database takes it within two seconds, then close the database."""
        if self._task is not None:
            if not self.problem:
                try:
                    async with asyncio.timeout(2.0):
                        await self._idle.wait()
                except TimeoutError:
                    self._log.warning("records are not in the tables yet; the next start writes them", lag=self.lag)
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._engine.dispose()

    async def _run(self) -> None:
        while True:
            try:
                if self._stored is None:
                    self._stored = await self._begin()
                while self._queue and self._stored is not None:
                    await self._write_batch(self._stored)
            except DATABASE_ERRORS as error:
                self._report_problem(SchemaProblem(f"database: cannot be written ({error_text(error)})", away=True))
            if self.problem:
                await asyncio.sleep(_RETRY_S)
                continue
            self._idle.set()
            try:
                async with asyncio.timeout(PROBE_PERIOD_S):
                    await self._wake.wait()
            except TimeoutError:
                # Read the tables again: in a quiet market nothing else would notice that they are away.
                self._stored = None
            self._wake.clear()

    def _report_problem(self, problem: SchemaProblem) -> None:
        self._stored = None
        if problem != self.problem:
            self._log.error("tables lag behind the journal; trading goes on", reason=problem.message)
        self.problem = problem

    async def _begin(self) -> int | None:
        """Return the last sequence in the tables; None where they must not be written."""
        problem = await schema_problem(self._engine, "execution", HEAD)
        if problem is not None:
            self._report_problem(problem)
            return None
        async with self._engine.connect() as connection:
            stored = (await connection.execute(select(projection.c.sequence))).scalar_one_or_none()
        done = stored or 0
        if done < self._written:
            # The records between are no longer in memory, and writing on would leave them out for ever.
            reason = (
                f"database: the tables are set back to {done}, from {self._written}; restart Execution: it fills them"
            )
            self._report_problem(SchemaProblem(reason, away=True))
            return None
        if ahead := tables_ahead(done, max(self._recovered, self._written)):
            problem = SchemaProblem(ahead, away=False)
            if problem != self.problem:
                self._events.evidence_contradicted(ahead)
            self._report_problem(problem)
            return None
        if self.problem:
            self._log.info("tables are written again", lag=self.lag)
        self.problem = None
        return done

    async def _write_batch(self, done: int) -> None:
        count = min(_BATCH, len(self._queue))
        batch = [self._queue[index] for index in range(count)]
        last = batch[-1][0]
        if last > done:
            async with self._engine.begin() as connection:
                for sequence, record, change in batch:
                    if sequence > done:
                        for table, row in self._rows(sequence, record, change):
                            await upsert(connection, table, row)
                moved = await connection.execute(MOVE, {"sequence": last})
                if moved.rowcount == 0:
                    await connection.execute(insert(projection).values(name=_NAME, sequence=last))
            self._stored = self._written = last
        for _ in range(count):
            self._queue.popleft()

    def _rows(self, sequence: int, record: Record, change: Change) -> Iterator[Rows]:
        if change.order is not None:
            yield orders, {"sequence": sequence, **_plain(change.order)}
        fill = change.fill
        if fill is not None:
            row = _plain(fill)
            del row["venue_sequence"], row["position_quantity"]
            yield fills, {"sequence": sequence, **row}
        if change.round_trip is not None:
            yield round_trips, {"sequence": sequence, **_plain(change.round_trip)}
        if change.transaction is not None:
            yield from _postings(sequence, change.transaction)
        symbol = fill.symbol if fill is not None else _adopted_symbol(record)
        for (phase_id, held), share in self._account.shares.items():
            if held == symbol:
                yield positions, {"phase_id": phase_id, "symbol": symbol, "sequence": sequence, **_plain(share)}


def _adopted_symbol(record: Record) -> str:
    return record.fact.symbol if isinstance(record.fact, Adoption) else ""


def _postings(sequence: int, transaction: Transaction) -> Iterator[Rows]:
    for line, posting in enumerate(transaction.postings):
        yield (
            ledger,
            {
                "sequence": sequence,
                "line": line,
                "reference": transaction.reference,
                "market_time_ns": transaction.market_time_ns,
                **_plain(posting),
            },
        )


def _plain(record: msgspec.Struct) -> dict[str, Any]:
    return {name: _value(getattr(record, name)) for name in record.__struct_fields__}


def _value(value: object) -> object:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    return value


async def upsert(connection: AsyncConnection, table: Table, row: dict[str, Any]) -> None:
    """Write all columns of a row. An existing row is replaced, unless it is of a later sequence."""
    await connection.execute(_statement(connection.dialect.name, table), row)


@cache
def _statement(dialect: str, table: Table) -> Executable:
    # Made once: building a statement costs more than sending it.
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    keys = [column.key for column in table.primary_key]
    rest = {column.key: statement.excluded[column.key] for column in table.columns if column.key not in keys}
    result: Executable = statement.on_conflict_do_update(
        index_elements=keys, set_=rest, where=table.c.sequence <= statement.excluded.sequence
    )
    return result
