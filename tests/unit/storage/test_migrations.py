from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect

from titan.storage import brain_tables
from titan.storage.decisions import DecisionStore
from titan.storage.migrate import head_of, upgrade, upgrade_async
from titan.storage.schema import default_url, make_engine, schema_problem
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c


async def test_revisions_make_the_tables_that_the_program_uses(tmp_path: Path) -> None:
    url = default_url(str(tmp_path), "brain")
    await upgrade_async(url, "brain")
    engine = make_engine(url)
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
        for table in brain_tables.metadata.sorted_tables
    }
    await engine.dispose()
    assert found == wanted


def test_the_head_that_brain_wants_is_the_last_revision() -> None:
    assert head_of("brain") == brain_tables.HEAD


def test_an_upgrade_twice_changes_nothing(tmp_path: Path) -> None:
    url = default_url(str(tmp_path), "brain")
    upgrade(url, "brain")
    upgrade(url, "brain")


@pytest.mark.parametrize(
    ("description", "version", "says"),
    [
        ("never upgraded", None, "no brain schema yet, this program needs brain_0001"),
        ("of a later program", "brain_9999", "brain schema is brain_9999, this program needs brain_0001"),
        ("as it should be", "brain_0001", None),
    ],
)
async def test_a_foreign_schema_is_named(
    tmp_path: Path, description: str, version: str | None, says: str | None
) -> None:
    url = default_url(str(tmp_path), "brain")
    engine = make_engine(url)
    if version is not None:
        await upgrade_async(url, "brain")
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    problem = await schema_problem(engine, "brain", brain_tables.HEAD)
    await engine.dispose()
    assert (problem is None) == (says is None), description
    assert says is None or says in (problem or "")


async def test_decisions_are_written_once_and_found(tmp_path: Path) -> None:
    url = default_url(str(tmp_path), "brain")
    await upgrade_async(url, "brain")
    store = DecisionStore(make_engine(url), lambda _problem: None)
    store.start()
    for index in range(3):
        store.save(
            b.Decision(intent_id=f"intent-{index}", phase_id="scavenger", approved=index == 1, reason=c.REASON_OK)
        )
    store.save(b.Decision(intent_id="intent-1", phase_id="scavenger", message="a second write", reason=c.REASON_OK))
    store.remember("risk_level", "{}")
    assert await store.flush(5.0)
    assert store.unsaved == 0
    assert [one.intent_id for one in await store.newest(10)] == ["intent-2", "intent-1", "intent-0"]
    assert [one.message for one in await store.newest(10, approved=True)] == [""]
    assert [one.intent_id for one in await store.beginning_with("intent-2")] == ["intent-2"]
    assert await store.beginning_with("intent%") == []
    assert await store.load_state() == {"risk_level": "{}"}
    await store.stop()


async def test_a_database_that_is_away_is_told_and_keeps_decisions(tmp_path: Path) -> None:
    problems: list[str | None] = []
    store = DecisionStore(make_engine(default_url(str(tmp_path), "brain")), problems.append)
    store.start()
    store.save(b.Decision(intent_id="intent-1", reason=c.REASON_OK))
    assert not await store.flush(0.3)
    assert store.unsaved == 1
    assert problems
    assert "cannot be written" in (problems[0] or "")
    await store.stop()
