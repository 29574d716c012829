"""Bring a database to the schema that this program knows. Alembic is imported here only: processes do without it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from titan.storage.schema import Schema, make_engine

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str, schema: Schema) -> None:
    """Upgrade the ``schema`` in the database at ``url`` to its head; does nothing when it is there.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        When the database cannot be reached or refuses.
    alembic.util.CommandError
        When the database is of a revision that this program does not know.
    """
    asyncio.run(upgrade_async(url, schema))


async def upgrade_async(url: str, schema: Schema) -> None:
    """As :func:`upgrade`, within a running event loop."""
    engine = make_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, schema)
    finally:
        await engine.dispose()


def head_of(schema: Schema) -> str:
    """The last revision of ``schema``."""
    head = ScriptDirectory.from_config(_config(schema)).get_current_head()
    assert head is not None
    return head


def _upgrade(connection: Connection, schema: Schema) -> None:
    config = _config(schema)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config(schema: Schema) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("version_locations", str(_MIGRATIONS / "versions" / schema))
    config.set_main_option("path_separator", "os")
    return config
