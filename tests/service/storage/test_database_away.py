"""PostgreSQL killed, frozen and restarted under a stack that trades: nothing stops, no row is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from support.processes import brain_scene, execution_scene
from support.processes.brain_scene import FakePhase
from support.processes.waiting import until
from support.stack.local_processes import Stack
from support.storage.postgres import Postgres
from titan.domain.time import utc_day
from titan.execution.app import ExecutionApp
from titan.runtime.process import running
from titan.runtime.rpc.contract import BRAIN_GET_BRAIN, BRAIN_LIST_DECISIONS
from titan.storage import brain_tables
from titan.storage import execution_tables as tables
from titan.storage.migrate import upgrade_async
from titan.storage.schema import make_engine
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import order_pb2 as o


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server that the test may kill; its committed writes are on the disk."""
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def both(stack_dir: Any, server: Postgres) -> Stack:
    """Brain's and Execution's tables in one database of ``server``."""
    stack = Stack(stack_dir)
    url = server.url(server.new_database())
    stack.databases = {"brain": url, "execution": url}
    return stack


async def started(server: Postgres) -> None:
    await asyncio.to_thread(server.start)


def metric(app: Any, name: str) -> float:
    lines = app.metrics.exposition().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def health(settings: Any) -> int:
    """Return the answer to the process's readiness probe."""

    def asked() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{settings.http_port}/health", timeout=30) as answer:
                return int(answer.status)
        except urllib.request.HTTPError as error:  # type: ignore[attr-defined]
            return int(error.code)

    return await asyncio.to_thread(asked)


async def trade(made: execution_scene.Scene, name: str) -> None:
    """One position opened, and closed by its target."""
    made.brain.place(name)
    await made.market.step(price=60000, count=4)
    assert made.venue_position() == Decimal("0.002"), name
    await made.market.step(price=61100, count=4)
    assert made.venue_position() == 0, name


async def held(url: str) -> dict[str, list[Any]]:
    """All rows of Execution's tables."""
    engine = make_engine(url, "execution")
    async with engine.connect() as connection:
        found = {table.name: list(await connection.execute(select(table))) for table in tables.metadata.sorted_tables}
    await engine.dispose()
    return found


async def as_the_journal_says(made: execution_scene.Scene, url: str) -> None:
    """Every order, fill and posting of the account has its row, once."""
    account, found = made.session.store.account, await held(url)
    states = {name: (order.state.name, str(order.filled_quantity)) for name, order in account.orders.items()}
    assert {row.client_order_id: (row.state, row.filled_quantity) for row in found["orders"]} == states
    assert {(row.symbol, row.trade_id) for row in found["fills"]} == {
        (fill.symbol, fill.trade_id) for fill in account.fills
    }
    assert len(found["fills"]) == len(account.fills)
    sums: dict[tuple[int, str], Decimal] = {}
    for row in found["ledger"]:
        key = (row.sequence, row.currency)
        sums[key] = sums.get(key, Decimal(0)) + Decimal(row.amount)
    assert sums
    assert set(sums.values()) == {Decimal(0)}
    assert found["projection"][0].sequence == made.session.store.journal.last_sequence


async def test_execution_trades_while_postgresql_is_dead_and_writes_all_of_it_afterwards(
    both: Stack, server: Postgres
) -> None:
    url = both.database("execution")
    async with execution_scene.scene(both) as made:
        await trade(made, "before")
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        await as_the_journal_says(made, url)
        server.kill()
        for number in range(3):
            await trade(made, f"dead-{number}")
        made.check_equal()
        await until(lambda: made.session.projector.problem, "the problem is told")
        assert made.session.projector.problem is not None
        assert made.session.projector.problem.away
        behind = made.session.projector.lag
        assert behind > 10
        assert metric(made.app, "titan_projection_lag") == behind
        assert made.session.not_ready() == []
        assert await health(made.settings) == 200
        await started(server)
        await until(lambda: made.session.projector.lag == 0, "tables are written again")
        assert made.session.projector.problem is None
        await trade(made, "after")
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        await as_the_journal_says(made, url)
        assert len((await held(url))["round_trips"]) == 5


async def test_a_kill_in_the_middle_of_writing_doubles_no_row(both: Stack, server: Postgres) -> None:
    url = both.database("execution")
    async with execution_scene.scene(both) as made:
        for number in range(4):
            await trade(made, f"trade-{number}")
            # Whatever of this was under way, committed or not.
            server.kill()
            await started(server)
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        await as_the_journal_says(made, url)
        assert len((await held(url))["round_trips"]) == 4


async def test_a_server_that_swallows_everything_holds_nothing_up(both: Stack, server: Postgres) -> None:
    url = both.database("execution")
    async with execution_scene.scene(both) as made:
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        server.freeze()
        await trade(made, "frozen")
        assert made.session.projector.lag > 5
        assert await health(made.settings) == 200
        server.thaw()
        await until(lambda: made.session.projector.lag == 0, "tables are written again")
        await as_the_journal_says(made, url)


async def decided(url: str) -> list[str]:
    """Intents in Brain's table, oldest first."""
    engine = make_engine(url, "brain")
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(brain_tables.decisions.c.intent_id).order_by(brain_tables.decisions.c.sequence)
        )
        found = [row.intent_id for row in rows]
    await engine.dispose()
    return found


async def test_brain_decides_while_postgresql_is_dead_and_a_restart_loses_no_decision(
    both: Stack, server: Postgres
) -> None:
    url = both.database("brain")
    async with brain_scene.scene(both) as made:
        await made.armed()
        await made.phase.submit(intent_id="before")
        assert await made.app.store.flush(5.0)
        server.kill()
        first = await made.phase.submit(intent_id="dead-1")
        assert first.approved, first.message
        for number in (2, 3):
            await made.phase.submit(intent_id=f"dead-{number}")
        await until(lambda: made.app.store.problem, "the problem is told")
        picture = await made.cli.call(BRAIN_GET_BRAIN, b.GetBrainRequest())
        assert picture.decisions_unsaved == 3
        assert "cannot be written" in picture.database_problem
        assert metric(made.app, "titan_brain_decisions_unsaved") == 3
        listed = await made.cli.call(BRAIN_LIST_DECISIONS, b.ListDecisionsRequest(), 20.0)
        assert [one.intent_id for one in listed.decisions] == ["dead-3", "dead-2", "dead-1", "before"]
        assert made.app.not_ready() == []
        assert await health(made.settings) == 200
    async with restarted(both) as (again, phase):
        # The state of before is in a database that is away: nothing is opened, and reducing orders are placed.
        assert again.app.controller.state.in_force.name == "CLOSE_ONLY"
        assert "database" in again.app.controller.state.reason
        assert again.app.not_ready() == []
        refused = await phase.submit(intent_id="dead-4")
        assert refused.reason == c.REASON_POSTURE
        closing = await phase.submit(
            intent_id="reduces",
            action=b.ACTION_CLOSE,
            side=c.SIDE_SELL,
            quantity="0.01",
            stop_price="",
            target_price="",
        )
        assert closing.position_effect == b.POSITION_EFFECT_REDUCING
        assert await phase.submit(intent_id="dead-1") == first, "what waits beside the database is known"
        assert not (await again.act(c.POSTURE_ARMED, nonce="nonce-2")).done, "a person cannot arm it either"
        await started(server)
        await until(lambda: again.app.restore.problem is None, "the past is known")
        assert again.app.controller.state.in_force.name == "ARMED"
        assert await again.app.store.flush(5.0)
        assert again.app.store.unsaved == 0
    assert await decided(url) == ["before", "dead-1", "dead-2", "dead-3", "dead-4", "reduces"]


async def test_decisions_are_put_aside_when_the_server_swallows_everything(both: Stack, server: Postgres) -> None:
    async with brain_scene.scene(both) as made:
        await made.armed()
        await made.phase.submit(intent_id="before")
        assert await made.app.store.flush(5.0)
        server.freeze()
        for number in (1, 2):
            assert (await made.phase.submit(intent_id=f"frozen-{number}")).reason != c.REASON_POSTURE
        spool = made.app.store._spool
        await until(lambda: spool.count == 2, "the decisions in the file that outlives the process")
        assert await health(made.settings) == 200
        server.thaw()
        await until(lambda: made.app.store.unsaved == 0, "all is written")
    assert await decided(both.database("brain")) == ["before", "frozen-1", "frozen-2"]


async def test_a_database_that_is_away_is_reported_in_a_quiet_market_too(both: Stack, server: Postgres) -> None:
    async with execution_scene.scene(both) as made:
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        server.kill()
        await until(lambda: made.session.projector.problem, "the problem is told")
        assert made.session.projector.lag == 0
        await started(server)
        await until(lambda: made.session.projector.problem is None, "that it is there again is told")


async def test_brain_reports_it_with_nothing_to_decide(both: Stack, server: Postgres) -> None:
    async with brain_scene.scene(both) as made:
        assert await made.app.store.flush(5.0)
        server.kill()
        await until(lambda: made.app.store.problem, "the problem is told")
        assert made.app.store.unsaved == 0
        await started(server)
        await until(lambda: made.app.store.problem is None, "that it is there again is told")


async def test_a_dump_that_is_restored_is_filled_up_from_the_journal(both: Stack, server: Postgres) -> None:
    url = both.database("execution")
    name = url.rpartition("/")[2]
    async with execution_scene.scene(both) as made:
        await trade(made, "before")
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        dump = await asyncio.to_thread(server.tool, "pg_dump", "--format=custom", name)
        await trade(made, "after")
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        assert made.app is not None
        await made.app.stop()
        await asyncio.to_thread(server.tool, "pg_restore", "--clean", "--if-exists", "--dbname", name, given=dump)
        assert len((await held(url))["round_trips"]) == 1
        await made.move_execution()
        made.app = ExecutionApp(made.settings)
        async with running(made.app):
            await until(
                lambda: made.app and made.app.session and made.app.session.projector.lag == 0, "they are filled"
            )
            await as_the_journal_says(made, url)
            assert len((await held(url))["round_trips"]) == 2
        await made.brain.stop()


@asynccontextmanager
async def restarted(stack: Stack) -> AsyncIterator[tuple[brain_scene.Scene, FakePhase]]:
    """A later life of Brain on the same folder; Execution is armed and holds a position."""

    def before(made: brain_scene.Scene) -> None:
        share = o.PhaseShare(phase_id="scavenger", quantity="0.01", average_entry_price="61000")
        position = o.Position(
            symbol=brain_scene.PERP, quantity="0.01", average_entry_price="61000", stop_price="60800", shares=[share]
        )
        made.execution.account.positions.append(position)
        made.execution.account.posture.latch = c.POSTURE_ARMED
        made.execution.account.posture.in_force = c.POSTURE_ARMED

    async with brain_scene.scene(stack, migrate=False, before=before) as made:
        made.market.post_step()
        await until(lambda: made.app.now_ns() and made.app.risk_state.symbols[brain_scene.PERP].net, "the position")
        yield made, made.phase


async def test_a_brain_that_began_without_its_database_takes_up_a_worse_risk_level_only(
    both: Stack, server: Postgres
) -> None:
    async with brain_scene.scene(both) as made:
        made.app.store.remember("risk_level", '{"level":3,"reason":"of before"}')
        assert await made.app.store.flush(5.0)
    server.kill()
    async with restarted(both) as (again, _phase):
        assert again.app.controller.level.level == 1
        await started(server)
        await until(lambda: again.app.restore.problem is None, "the past is known")
        assert (again.app.controller.level.level, again.app.controller.level.reason) == (3, "of before")


async def test_what_a_brain_counted_without_its_database_is_stored_with_what_it_had(
    both: Stack, server: Postgres
) -> None:
    async with brain_scene.scene(both) as made:
        made.app.store.remember("frequency", '{"thinned":{"scavenger ETH/USDT:USDT":"0.5"}}')
        made.app.store.remember("quality", "[0.001]")
        made.app.store.remember("capital", '{"by_phase":{"scavenger":[[19000,"180"]]}}')
        assert await made.app.store.flush(5.0)
    server.kill()
    async with restarted(both) as (again, phase):
        # A refusal gives the setup's horizon, and the venue refuses an entry of which Brain knows.
        assert not (await phase.submit()).approved
        again.app.risk_state.quality.refused()
        await started(server)
        await until(lambda: again.app.restore.problem is None, "the past is known")
        assert await again.app.store.flush(5.0)
        stored = {name: json.loads(value) for name, value in (await again.app.store.load_state()).items()}
    assert stored["frequency"]["thinned"] == {"scavenger ETH/USDT:USDT": "0.5"}
    assert stored["frequency"]["horizons"] == {"scavenger breakout": 60_000_000_000}
    assert stored["quality"] == [0.001, None]
    days = stored["capital"]["by_phase"]["scavenger"]
    assert [day for day, _ in days] == [19000, utc_day(brain_scene.START_NS)]


async def test_a_schema_that_is_upgraded_later_is_used_without_a_restart(both: Stack) -> None:
    async with brain_scene.scene(both, migrate=False) as made:
        assert any("no brain schema yet" in reason for reason in made.app.not_ready())
        await upgrade_async(both.database("brain"), "brain")
        await until(lambda: made.app.not_ready() == [], lambda: str(made.app.not_ready()))
        await made.armed()
        assert (await made.phase.submit()).approved
        assert await made.app.store.flush(5.0)
