"""The database of a process: its URL, its connections, and a check of its schema."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from weakref import WeakSet

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

Schema = Literal["brain", "execution"]

DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
# Connections of one process: one that writes, the rest for queries.
CONNECTIONS = 3
# Nothing waits longer for the database than these: to connect, for a connection, for one statement.
CONNECT_S = 5.0
WAIT_S = 5.0
STATEMENT_S = 10.0
# One that a disk holds longer is left behind.
_THREAD_END_S = 1.0
_PLAIN = re.compile(r"[A-Za-z0-9._:-]*")
# Errors of a broken or foreign database; drivers let the network's own errors through.
DATABASE_ERRORS = (SQLAlchemyError, OSError)
# A writer without work tries a read this often, so that people learn of a failure before it matters.
PROBE_PERIOD_S = 5.0


class BadDatabaseUrlError(ValueError):
    """A URL that names no database; the message repeats nothing of it, for it may hold a password."""


@dataclass(frozen=True)
class SchemaProblem:
    """Reason for which a database cannot be used.

    Attributes
    ----------
    message
        One sentence.
    away
        Whether it does not answer. Otherwise it is of another schema, and must not be written by anybody.
    """

    message: str
    away: bool


def default_url(state_dir: str, schema: Schema) -> str:
    """A SQLite file in the process's own state folder."""
    return f"sqlite+aiosqlite:///{Path(state_dir).resolve() / f'{schema}.db'}"


def read_url(url: str) -> URL:
    """Take a URL apart.

    Raises
    ------
    BadDatabaseUrlError
        In one sentence with the allowed form.
    """
    allowed = " or ".join(DRIVERS)
    try:
        read = make_url(url)
    except (SQLAlchemyError, ValueError):
        # From None: their messages may repeat a part of the password.
        raise BadDatabaseUrlError(
            f"database_url: cannot be read; allowed is {allowed}, then ://user:password@host:port/database, "
            "with each special character of the password as %XX"
        ) from None
    if read.drivername not in DRIVERS:
        raise BadDatabaseUrlError(f"database_url: begins with {read.drivername!r}; allowed is {allowed}")
    # A password with a bare @ or / is read as the beginning of the rest.
    if not _PLAIN.fullmatch(read.host or "") or (read.host and not _PLAIN.fullmatch(read.database or "")):
        raise BadDatabaseUrlError(
            "database_url: its host or database has characters that none has; "
            "allowed is a password with each special character as %XX"
        )
    if not read.database:
        raise BadDatabaseUrlError("database_url: names no database; allowed is a name after the last /")
    return read


def make_engine(url: str, schema: Schema, statement_s: float = STATEMENT_S) -> AsyncEngine:
    """Connect lazily, to the tables of ``schema``; nothing takes longer than ``statement_s`` seconds.

    SQLite is in WAL mode, so that readers never wait for the writer. The journal, not the table, is the authority, so
    a commit there does not wait for the disk. PostgreSQL's tables are in a schema named ``schema``, and no other is
    read.

    Raises
    ------
    BadDatabaseUrlError
        In one sentence with the allowed form.
    """
    read = read_url(url)
    if read.get_backend_name() == "postgresql":
        return _postgresql(read, schema, statement_s)
    return _sqlite(read)


def error_text(error: Exception) -> str:
    """Return a database error's message for a person: one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    line = (str(cause).strip().splitlines() or [""])[0]
    # Errors of drivers are wrapped as text: "<class 'asyncpg…'>: message".
    line = line.partition(">: ")[2] if line.startswith("<class ") else line
    return line or type(cause).__name__


def reader(engine: AsyncEngine) -> AsyncEngine:
    """Return the same connections for single reads: a transaction around each would take two more round trips."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def schema_problem(engine: AsyncEngine, schema: Schema, head: str) -> SchemaProblem | None:
    """Return the reason for which the database cannot be used, or None.

    Parameters
    ----------
    head
        The revision that this program was written for.
    """
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
    except (OperationalError, ProgrammingError) as error:
        if "alembic_version" in str(error.orig):
            why = f"database: no {schema} schema yet, this program needs {head}; run the upgrade"
            return SchemaProblem(why, away=False)
        return SchemaProblem(f"database: cannot be read ({error_text(error)})", away=True)
    except DATABASE_ERRORS as error:
        return SchemaProblem(f"database: cannot be read ({error_text(error)})", away=True)
    if found != [head]:
        has = ", ".join(found) or "empty"
        why = f"database: {schema} schema is {has}, this program needs {head}; run the upgrade"
        return SchemaProblem(why, away=False)
    return None


def _sqlite(url: URL) -> AsyncEngine:
    import aiosqlite

    threads: WeakSet[Thread] = WeakSet()

    def connect(*given: Any, **named: Any) -> aiosqlite.Connection:
        connection = aiosqlite.connect(*given, **named)
        thread = connection._thread  # noqa: SLF001 - SQLAlchemy's own dialect reads it too.
        # A process that is told to end does not wait for a disk.
        thread.daemon = True
        threads.add(thread)
        return connection

    engine = create_async_engine(url, connect_args={"async_creator_fn": connect})

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=2000")

    @event.listens_for(engine.sync_engine, "engine_disposed")
    def _end_threads(_engine: object) -> None:
        # Each tells its event loop that it ends, also after a connect that failed or was canceled, for which aiosqlite
        # does not wait. A loop that is closed by then makes the thread fail.
        if left := [thread for thread in threads if thread.is_alive()]:
            await_only(asyncio.to_thread(_join, left))

    return engine


def _join(threads: Iterable[Thread]) -> None:
    for thread in threads:
        thread.join(_THREAD_END_S)


def _postgresql(url: URL, schema: Schema, statement_s: float) -> AsyncEngine:
    import asyncpg

    async def connect(*given: Any, **named: Any) -> asyncpg.Connection[Any]:
        try:
            return await asyncpg.connect(*given, **named)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # SQLAlchemy passes this on unchanged: a database that starts, is full or refuses counts as away.
            raise ConnectionError(str(error)) from error

    return create_async_engine(
        url,
        # Another person's parameters in a log are one grep away from another's password.
        hide_parameters=True,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=WAIT_S,
        connect_args={
            "async_creator_fn": connect,
            "timeout": CONNECT_S,
            "command_timeout": statement_s,
            "server_settings": {
                "search_path": schema,
                "application_name": f"titan-{schema}",
                # The server ends transactions and statements of a process that was cut off.
                "idle_in_transaction_session_timeout": str(int(statement_s * 1000)),
                "statement_timeout": str(int(statement_s * 1000)),
            },
        },
    )
