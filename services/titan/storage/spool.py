"""Decisions that are not in the database yet, in a file of the process's own: a restart does not lose them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from titan.storage.schema import make_engine
from titan.v1 import brain_pb2 as b

_metadata = MetaData()
# AUTOINCREMENT: a number is never used twice, so that a removal by number removes only decisions that were read.
_waiting = Table(
    "waiting",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("record", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)


class Spool:
    """First in, first out, in a SQLite file at ``path``; there is none until something waits.

    Every method raises sqlalchemy.exc.SQLAlchemyError when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._engine: AsyncEngine | None = None

    async def open(self) -> None:
        """Count the decisions that an earlier process left."""
        if not self._path.exists():
            return
        engine = await self._made()
        async with engine.connect() as connection:
            self.count = (await connection.execute(select(func.count()).select_from(_waiting))).scalar_one()

    async def add(self, decisions: Sequence[b.Decision]) -> None:
        """Append decisions."""
        engine = await self._made()
        async with engine.begin() as connection:
            await connection.execute(_waiting.insert(), [{"record": one.SerializeToString()} for one in decisions])
        self.count += len(decisions)

    async def first(self, limit: int) -> list[tuple[int, b.Decision]]:
        """Return the oldest decisions, each with its number."""
        return await self._read(_waiting.c.number.asc(), limit)

    async def newest(self, limit: int) -> list[b.Decision]:
        """Return the newest decisions, newest first."""
        return [decision for _, decision in await self._read(_waiting.c.number.desc(), limit)]

    async def remove(self, last: int) -> None:
        """Remove the decisions up to this number."""
        engine = await self._made()
        async with engine.begin() as connection:
            gone = await connection.execute(_waiting.delete().where(_waiting.c.number <= last))
        self.count -= gone.rowcount

    async def close(self) -> None:
        """Close the file."""
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def _read(self, order: object, limit: int) -> list[tuple[int, b.Decision]]:
        if not self.count:
            return []
        engine = await self._made()
        async with engine.connect() as connection:
            rows = await connection.execute(select(_waiting).order_by(order).limit(limit))  # type: ignore[arg-type]
            return [(row.number, b.Decision.FromString(row.record)) for row in rows]

    async def _made(self) -> AsyncEngine:
        if self._engine is None:
            engine = make_engine(f"sqlite+aiosqlite:///{self._path}", "brain")
            try:
                async with engine.begin() as connection:
                    await connection.run_sync(_metadata.create_all)
            except BaseException:
                await engine.dispose()
                raise
            self._engine = engine
        return self._engine
