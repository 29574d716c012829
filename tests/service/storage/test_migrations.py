"""Schemas of both databases: made, recognized, refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select
from sqlalchemy.exc import ProgrammingError

from support.storage.postgres import Postgres
from titan.storage import brain_tables, execution_tables, migrate
from titan.storage.migrate import upgrade, upgrade_async
from titan.storage.schema import BadDatabaseUrlError, Schema, make_engine, read_url, schema_problem

MIGRATE = [sys.executable, "-c", "from titan.storage.migrate import main; main()"]
Database = Callable[[str], str]
METADATA = {"brain": brain_tables.metadata, "execution": execution_tables.metadata}
ROLES: tuple[Schema, ...] = ("brain", "execution")
REVISIONS = Path(migrate.__file__).parent / "migrations"


def head_of(schema: Schema) -> str | None:
    scripts = ScriptDirectory(str(REVISIONS), version_locations=[str(REVISIONS / "versions" / schema)])
    return scripts.get_current_head()


@pytest.mark.parametrize("role", ROLES)
async def test_revisions_make_the_tables_that_the_program_uses(database: Database, role: Schema) -> None:
    url = database(role)
    await upgrade_async(url, role)
    engine = make_engine(url, role)
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: {
                name: {column["name"]: str(column["type"]) for column in inspect(sync).get_columns(name)}
                for name in inspect(sync).get_table_names()
                if name != "alembic_version"
            }
        )
    wanted = {
        table.name: {column.name: column.type.compile(engine.dialect) for column in table.columns}
        for table in METADATA[role].sorted_tables
    }
    await engine.dispose()
    assert found == wanted


def test_the_heads_that_the_programs_require_are_the_last_revisions() -> None:
    assert head_of("brain") == brain_tables.HEAD
    assert head_of("execution") == execution_tables.HEAD


def test_an_upgrade_twice_changes_nothing(database: Database) -> None:
    for role in ROLES:
        upgrade(database(role), role)
        upgrade(database(role), role)


def test_upgrades_at_one_time_take_turns(postgres: Postgres) -> None:
    name = postgres.new_database()
    running = [
        subprocess.Popen(
            MIGRATE, env={**os.environ, "TITAN_ROLE": role, "TITAN_DATABASE_URL": postgres.url(name)}, stdout=-1
        )
        for role in ROLES * 2
    ]
    for process in running:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    for role in ROLES:
        version = f"SELECT version_num FROM {role}.alembic_version"
        assert postgres.ask(name, lambda connection, query=version: connection.fetchval(query)) == head_of(role)


async def test_neither_role_sees_the_others_tables(postgres: Postgres) -> None:
    url = postgres.url(await asyncio.to_thread(postgres.new_database))
    await upgrade_async(url, "execution")
    engine = make_engine(url, "brain")
    problem = await schema_problem(engine, "brain", brain_tables.HEAD)
    assert problem is not None
    assert not problem.away
    with pytest.raises(ProgrammingError, match="orders"):
        async with engine.connect() as connection:
            await connection.execute(select(execution_tables.orders))
    await engine.dispose()


async def test_a_user_that_may_not_make_schemas_uses_a_present_one(postgres: Postgres) -> None:
    name = await asyncio.to_thread(postgres.new_database)
    owner = await postgres.connect(name)
    # Roles are the server's, not the database's.
    await owner.execute(f"CREATE ROLE guest_{name} LOGIN PASSWORD 'guest'")
    url = f"postgresql+asyncpg://guest_{name}:guest@127.0.0.1:{postgres.port}/{name}"
    with pytest.raises(ProgrammingError, match="permission denied"):
        await upgrade_async(url, "brain")
    await owner.execute(f"CREATE SCHEMA brain AUTHORIZATION guest_{name}")
    await owner.close()
    await upgrade_async(url, "brain")


SECRET = "h@sh/h:sh"


@pytest.mark.parametrize(
    ("description", "url", "says"),
    [
        ("nothing of a URL", SECRET, "cannot be read"),
        ("a password that was not written as %XX", f"postgresql+asyncpg://titan:{SECRET}@db:5432/titan", ""),
        ("a port that is none", f"postgresql+asyncpg://titan:hush@db:{SECRET}/titan", "cannot be read"),
        ("another driver", "postgresql+psycopg://titan:hush@db/titan", "begins with 'postgresql+psycopg'"),
        ("no database", "postgresql+asyncpg://titan:hush@db:5432", "names no database"),
    ],
)
def test_a_bad_url_is_refused_without_repeating_it(description: str, url: str, says: str) -> None:
    with pytest.raises(BadDatabaseUrlError) as refused:
        read_url(url)
    assert says in str(refused.value), description
    assert "allowed is" in str(refused.value)
    assert not any(part in str(refused.value) for part in ("hush", "h@sh", "h:sh", "sh/h"))


@pytest.mark.parametrize(
    ("description", "change", "says"),
    [
        ("a wrong password", lambda url: url.replace("p%40ss", "hush"), "password authentication failed"),
        ("another database", lambda url: url.replace("/titan_", "/nowhere_"), "does not exist"),
        ("nobody there", lambda url: url.replace(url.rpartition("@")[2], "127.0.0.1:1/titan"), "Connect call failed"),
    ],
)
async def test_a_database_that_refuses_us_is_away_and_its_password_is_not_shown(
    postgres: Postgres, description: str, change: Callable[[str], str], says: str
) -> None:
    url = change(postgres.url(await asyncio.to_thread(postgres.new_database)))
    engine = make_engine(url, "brain")
    problem = await schema_problem(engine, "brain", brain_tables.HEAD)
    await engine.dispose()
    assert problem is not None
    assert problem.away, description
    assert says in problem.message
    assert not any(part in problem.message for part in ("hush", "p@ss", "p%40ss"))


def test_the_migration_reads_its_url_from_a_file_and_shows_no_password(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.new_database()
    file = tmp_path / "url"

    def migrated(content: str) -> subprocess.CompletedProcess[str]:
        file.write_text(content)
        environment = {**os.environ, "TITAN_ROLE": "execution", "TITAN_DATABASE_URL_FILE": str(file)}
        return subprocess.run(MIGRATE, env=environment, capture_output=True, text=True, check=False)

    url = postgres.url(name)
    assert migrated(url + "\n").returncode == 0
    assert postgres.ask(name, lambda connection: connection.fetchval("SELECT count(*) FROM execution.orders")) == 0
    for content, code, says in (
        ("", 2, "is empty"),
        ("mysql://u:hush@h/d", 2, "begins with"),
        (url.replace("p%40ss", "hush"), 1, "password authentication failed"),
    ):
        done = migrated(content)
        assert done.returncode == code, done.stderr
        assert says in done.stdout + done.stderr
        assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("description", "version", "says"),
    [
        ("never upgraded", None, "no brain schema yet, this program needs brain_0001"),
        ("of a later program", "brain_9999", "brain schema is brain_9999, this program needs brain_0001"),
        ("as it should be", "brain_0001", None),
    ],
)
async def test_a_foreign_schema_is_named(
    database: Database, description: str, version: str | None, says: str | None
) -> None:
    url = database("brain")
    engine = make_engine(url, "brain")
    if version is not None:
        await upgrade_async(url, "brain")
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    problem = await schema_problem(engine, "brain", brain_tables.HEAD)
    await engine.dispose()
    assert (problem is None) == (says is None), description
    if problem is not None:
        assert says in problem.message  # type: ignore[operator]
        assert not problem.away
