"""Upgrade a database to the schema of this program. Alembic is imported here only: processes do without it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import NoReturn, get_args

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from titan.runtime.telemetry.logs import configure_logging, get_logger
from titan.storage.schema import DATABASE_ERRORS, BadDatabaseUrlError, Schema, default_url, error_text, make_engine

_MIGRATIONS = Path(__file__).parent / "migrations"
# A revision may have to go through every row.
_STATEMENT_S = 600.0


def upgrade(url: str, schema: Schema) -> None:
    """Upgrade the ``schema`` in the database at ``url`` to its head; does nothing when it is there.

    All or nothing, and one at a time where several begin. PostgreSQL's own schema is made where there is none.

    Raises
    ------
    BadDatabaseUrlError
        When the URL names no database.
    sqlalchemy.exc.SQLAlchemyError, OSError
        When the database cannot be reached or refuses.
    alembic.util.CommandError
        When the database is of a revision that this program does not know.
    """
    asyncio.run(upgrade_async(url, schema))


async def upgrade_async(url: str, schema: Schema) -> None:
    """Do what :func:`upgrade` does, within a running event loop."""
    engine = make_engine(url, schema, _STATEMENT_S)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, schema)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, schema: Schema) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"titan {schema}"})
        # Checked first: a user without the right to create schemas may have been given one.
        there = connection.execute(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema})
        if there.scalar_one_or_none() is None:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    config = _config(schema)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config(schema: Schema) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("version_locations", str(_MIGRATIONS / "versions" / schema))
    config.set_main_option("path_separator", "os")
    return config


def main() -> NoReturn:
    """Upgrade the tables of one process before it starts: ``titan-migrate``.

    ``TITAN_ROLE`` names the process; the database is in ``TITAN_STATE_DIR``, at ``TITAN_DATABASE_URL``, or at the URL
    in the file that ``TITAN_DATABASE_URL_FILE`` names. Exit code 0 done, 1 the database refuses, 2 bad settings.
    """
    # What was imported lives as long as the process: the collection at its end need not look at it.
    gc.freeze()
    configure_logging("json" if os.environ.get("TITAN_LOG_FORMAT") == "json" else "console", "info")
    log = get_logger("migrate")
    role, folder = os.environ.get("TITAN_ROLE", ""), os.environ.get("TITAN_STATE_DIR", "")
    url, file = os.environ.get("TITAN_DATABASE_URL", ""), os.environ.get("TITAN_DATABASE_URL_FILE", "")
    if file and not url:
        try:
            url = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            log.error("bad settings", reason=f"TITAN_DATABASE_URL_FILE: {file!r} cannot be read: {error}")  # noqa: TRY400
            sys.exit(2)
        if not url:
            log.error("bad settings", reason=f"TITAN_DATABASE_URL_FILE: {file!r} is empty; allowed is one URL")
            sys.exit(2)
    schema = next((known for known in get_args(Schema) if known == role), None)
    if schema is None or not (url or folder):
        allowed = ", ".join(get_args(Schema))
        reason = f"role: {role!r}, state_dir: {folder!r}; allowed is a role of {allowed}, with a folder or database_url"
        log.error("bad settings", reason=reason)
        sys.exit(2)
    try:
        upgrade(url or default_url(folder, schema), schema)
    except BadDatabaseUrlError as error:
        log.error("bad settings", reason=str(error))  # noqa: TRY400
        sys.exit(2)
    except (*DATABASE_ERRORS, CommandError) as error:
        # One sentence for a person: drivers add lines of their own below it.
        log.error("the tables cannot be upgraded", schema=schema, reason=error_text(error))  # noqa: TRY400
        sys.exit(1)
    log.info("the tables are up to date", schema=schema)
    sys.exit(0)
