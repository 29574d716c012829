"""Decisions in the table: once, in order, and none lost while the database is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from titan.storage.decisions import DecisionStore
from titan.storage.migrate import upgrade_async
from titan.storage.schema import make_engine
from titan.storage.spool import Spool
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c

Database = Callable[[str], str]


def store_of(url: str, folder: Path, problems: list[str | None] | None = None) -> DecisionStore:
    told = [] if problems is None else problems
    return DecisionStore(make_engine(url, "brain"), Spool(folder / "unsaved.db"), told.append)


def decision(name: str, **fields: object) -> b.Decision:
    return b.Decision(intent_id=name, phase_id="scavenger", reason=c.REASON_OK, **fields)  # type: ignore[arg-type]


async def begun(store: DecisionStore) -> list[str]:
    left = await store.start()
    store.use()
    return [one.intent_id for one in left]


async def listed(store: DecisionStore) -> list[str]:
    return [one.intent_id for one in await store.newest(10_000)]


async def test_decisions_are_written_once_and_found(database: Database, tmp_path: Path) -> None:
    url = database("brain")
    await upgrade_async(url, "brain")
    store = store_of(url, tmp_path)
    assert await begun(store) == []
    for index in range(3):
        store.save(decision(f"intent-{index}", approved=index == 1))
    store.save(decision("intent-1", message="a second write"))
    store.remember("risk_level", "{1}")
    assert await store.flush(5.0)
    store.remember("risk_level", "{}")
    assert await store.flush(5.0)
    assert store.unsaved == 0
    assert await listed(store) == ["intent-2", "intent-1", "intent-0"]
    assert [one.message for one in await store.newest(10, approved=True)] == [""]
    assert [one.intent_id for one in await store.beginning_with("intent-2")] == ["intent-2"]
    assert await store.beginning_with("intent%") == []
    assert await store.load_state() == {"risk_level": "{}"}
    await store.stop()


async def test_decisions_that_a_database_refuses_outlive_the_process(database: Database, tmp_path: Path) -> None:
    url, problems = database("brain"), list[str | None]()
    store = store_of(url, tmp_path, problems)
    await begun(store)
    for index in range(600):
        store.save(decision(f"early-{index}"))
    # No table is there.
    assert not await store.flush(0.5)
    assert store.unsaved == 600
    assert "cannot be written" in (problems[0] or "")
    await store.stop()
    again = store_of(url, tmp_path, problems)
    assert (await begun(again))[:2] == ["early-599", "early-598"]
    again.save(decision("late"))
    assert not await again.flush(0.5)
    await upgrade_async(url, "brain")
    await again.stop()
    last = store_of(url, tmp_path, problems)
    await begun(last)
    assert await last.flush(10.0)
    assert last.unsaved == 0
    assert await listed(last) == ["late", *(f"early-{index}" for index in reversed(range(600)))]
    await last.stop()
    empty = store_of(url, tmp_path)
    assert await begun(empty) == [], "nothing waits any more"
    await empty.stop()


async def test_before_its_state_is_read_it_writes_nothing_and_loses_nothing(database: Database, tmp_path: Path) -> None:
    url = database("brain")
    await upgrade_async(url, "brain")
    engine = make_engine(url, "brain")
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO brain_state VALUES ('risk_level', 'of before')"))
    store = store_of(url, tmp_path)
    await store.start()
    store.save(decision("intent-1"))
    store.remember("risk_level", "of one who knew nothing")
    assert not await store.flush(0.2)
    assert (await store.load_state(), await listed(store)) == ({"risk_level": "of before"}, [])
    store.use()
    assert await store.flush(5.0)
    assert (await store.load_state(), await listed(store)) == ({"risk_level": "of before"}, ["intent-1"])
    await store.stop()
    await engine.dispose()


async def test_with_no_room_anywhere_it_counts_what_it_drops(
    database: Database, tmp_path: Path, monkeypatch: object
) -> None:
    from titan.storage import decisions as module

    monkeypatch.setattr(module, "MAX_QUEUED", 3)  # type: ignore[attr-defined]
    problems: list[str | None] = []
    store = store_of(database("brain"), tmp_path / "no such folder", problems)
    await begun(store)
    for index in range(5):
        store.save(decision(f"intent-{index}"))
    assert (store.unsaved, store.dropped) == (3, 2)
    assert not await store.flush(0.5)
    assert any("nor" in (said or "") for said in problems), problems
    await store.stop()
    assert store.unsaved == 3


async def test_no_thread_of_a_file_outlives_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_end(*given: object) -> None:
        worker(*given)
        time.sleep(0.2)

    worker = aiosqlite.core._connection_worker_thread
    monkeypatch.setattr(aiosqlite.core, "_connection_worker_thread", slow_end)
    before = set(threading.enumerate())
    url = f"sqlite+aiosqlite:///{tmp_path}/brain.db"
    await upgrade_async(url, "brain")
    for folder in (tmp_path, tmp_path / "no such folder"):
        store = store_of(url, folder)
        await begun(store)
        store.save(decision("intent-1"))
        await store.flush(5.0)
        await store._engine.dispose()
        store.save(decision("intent-2"))
        await store.stop()
    missing = make_engine(f"sqlite+aiosqlite:///{tmp_path}/no such folder/brain.db", "brain")
    with pytest.raises(OperationalError):
        await missing.connect()
    await missing.dispose()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if "slow_end" in name}
