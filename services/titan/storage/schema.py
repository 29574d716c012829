"""Which database a process uses, and whether its schema is the one that this program knows."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

Schema = Literal["brain", "execution"]


def default_url(state_dir: str, schema: Schema) -> str:
    """A SQLite file in the process's own state folder."""
    return f"sqlite+aiosqlite:///{Path(state_dir).resolve() / f'{schema}.db'}"


def make_engine(url: str) -> AsyncEngine:
    """Connect lazily; SQLite in WAL mode, so that readers never wait for the writer.

    The journal, not the table, is the authority, so a commit does not wait for the disk.
    """
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=2000")

    return engine


async def schema_problem(engine: AsyncEngine, schema: Schema, head: str) -> str | None:
    """Say in one sentence why the database cannot be used, or None.

    Parameters
    ----------
    head
        The revision that this program was written for.
    """
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
    except (OperationalError, ProgrammingError) as error:
        cause = str(error.orig)
        if "alembic_version" in cause:
            return f"database: no {schema} schema yet, this program needs {head}; run the upgrade"
        return f"database: cannot be read ({cause})"
    except (SQLAlchemyError, OSError) as error:
        return f"database: cannot be read ({error})"
    if found != [head]:
        return f"database: {schema} schema is {', '.join(found) or 'empty'}, this program needs {head}; run the upgrade"
    return None
