"""Execution starts, stops and starts again: bad input in one sentence, tables rebuilt, nothing left behind."""

from __future__ import annotations

import shutil
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import func, select
from testcluster.ports import free_ports

from support.processes.execution_scene import execution_settings, policy_document, scene
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.enums import Posture
from titan.execution.app import ExecutionApp
from titan.execution.settings import ExecutionSettings
from titan.runtime.process import StartError, running
from titan.runtime.rpc.server import Peer
from titan.storage import execution_tables as tables
from titan.storage.schema import make_engine
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e


async def test_the_tables_hold_the_journals_records_and_are_rebuilt(stack_on_each_database: Stack) -> None:
    stack = stack_on_each_database
    async with scene(stack) as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        await made.market.step(price=61100, count=4)
        url = stack.database("execution")
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        before = await rows(url)
        assert before["fills"] == len(made.session.store.account.fills) == 2
        assert before["orders"] == len(made.session.store.account.orders) == 3
        assert before["round_trips"] == 1
        assert before["unbalanced"] == []
        settings = made.settings
        assert made.app is not None
        await made.app.stop()
        await delete_rows(url)
        assert (await rows(url))["orders"] == 0
        app = ExecutionApp(elsewhere(settings))
        async with running(app):
            await until(lambda: app.session and app.session.projector.lag == 0, "the tables are written again")
            assert await rows(url) == before


def elsewhere(settings: ExecutionSettings) -> ExecutionSettings:
    """The same state at other ports."""
    grpc_port, http_port = free_ports(2)
    return msgspec.structs.replace(settings, grpc_port=grpc_port, http_port=http_port)


async def delete_rows(url: str) -> None:
    """Delete every row of every table."""
    engine = make_engine(url, "execution")
    async with engine.begin() as connection:
        for table in tables.metadata.sorted_tables:
            await connection.execute(table.delete())
    await engine.dispose()


async def rows(url: str) -> dict[str, object]:
    """Return the row count of each table, and the transactions that do not balance."""
    engine = make_engine(url, "execution")
    async with engine.connect() as connection:
        counts: dict[str, object] = {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (tables.orders, tables.fills, tables.ledger, tables.round_trips, tables.positions)
        }
        sums: dict[tuple[int, str], Decimal] = {}
        for row in await connection.execute(select(tables.ledger)):
            key = (row.sequence, row.currency)
            sums[key] = sums.get(key, Decimal(0)) + Decimal(row.amount)
        counts["unbalanced"] = [key for key, total in sums.items() if total]
        counts["sequence"] = (await connection.execute(select(tables.projection.c.sequence))).scalar_one_or_none()
    await engine.dispose()
    return counts


async def test_without_a_database_it_trades_and_reports_the_lag_of_the_tables(stack: Stack, tmp_path: Path) -> None:
    async with scene(stack, database_url=f"sqlite+aiosqlite:///{tmp_path}/none/execution.db") as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        assert made.venue_position() == Decimal("0.002")
        assert made.session.projector.lag > 5
        await until(lambda: made.session.projector.problem, "the problem is reported")
        assert made.session.projector.problem.away
        assert "database" in made.session.projector.problem.message
        assert not any("database" in reason for reason in made.session.not_ready())


async def test_tables_that_are_set_back_are_not_written_on_with_a_gap(stack_on_each_database: Stack) -> None:
    async with scene(stack_on_each_database) as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        url = stack_on_each_database.database("execution")
        # A restored backup has this effect.
        await delete_rows(url)
        made.session.projector._stored = None
        await made.market.step(price=61100, count=4)
        await until(lambda: made.session.projector.problem, "the problem is reported")
        assert "set back to 0" in made.session.projector.problem.message
        assert made.session.projector.lag > 0
        assert (await rows(url))["orders"] == 0
        whole = made.session.store.journal.last_sequence
        assert made.app is not None
        await made.app.stop()
        app = ExecutionApp(elsewhere(made.settings))
        async with running(app):
            await until(lambda: app.session and app.session.projector.lag == 0, "a restart fills them")
            restored = await rows(url)
        assert restored["sequence"] >= whole  # type: ignore[operator]
        assert (restored["orders"], restored["unbalanced"]) == (3, [])


@pytest.mark.parametrize(
    ("description", "fields", "message"),
    [
        ("a lease too short for its window", {"lease_s": 1.0, "receive_window_ms": 1000}, "lease_s: 1.0"),
        ("no window", {"receive_window_ms": 0}, "receive_window_ms: 0"),
        ("no deadline", {"stop_deadline_ms": -1}, "stop_deadline_ms: -1"),
        ("a foreign database", {"database_url": "mysql://u:hush@h/d"}, "database_url: begins with 'mysql'"),
        ("no policy", {"policy_file": ""}, "policy_file is missing"),
        ("a policy that is not there", {"policy_file": "/nowhere.json"}, "'/nowhere.json' cannot be read"),
    ],
)
def test_bad_settings_are_refused_with_the_allowed_values(
    stack: Stack, description: str, fields: dict[str, Any], message: str
) -> None:
    settings = msgspec.structs.replace(execution_settings(stack), **fields)
    with pytest.raises(StartError) as refused:
        ExecutionApp(settings)
    assert message in str(refused.value), description


@pytest.mark.parametrize(
    ("description", "change", "message"),
    [
        ("no JSON", lambda _rules: b"{", "malformed JSON"),
        ("an unknown rule", lambda rules: msgspec.json.encode({**rules, "maxLuck": "1"}), "maxLuck"),
        ("a float", lambda rules: msgspec.json.encode({**rules, "maxDailyLoss": 1.5}), "maxDailyLoss"),
        ("a symbol nobody lists", lambda rules: msgspec.json.encode({**rules, "symbols": ["DOGE/USDT"]}), "DOGE/USDT"),
        ("a mode that is not ours", lambda rules: msgspec.json.encode({**rules, "modes": ["shadow"]}), "mode: paper"),
    ],
)
def test_a_bad_policy_is_refused_in_one_sentence(
    stack: Stack, tmp_path: Path, description: str, change: Any, message: str
) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(change(msgspec.json.decode(policy_document())))
    with pytest.raises(StartError) as refused:
        ExecutionApp(msgspec.structs.replace(execution_settings(stack), policy_file=str(path)))
    assert message in str(refused.value), description
    assert "\n" not in str(refused.value)


async def test_a_damaged_journal_is_reported_and_nothing_starts(stack: Stack) -> None:
    async with scene(stack) as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        settings: ExecutionSettings = made.settings
        assert made.app is not None
        await made.app.stop()
        journal = next((Path(settings.state_dir) / "journal").iterdir())
        data = bytearray(journal.read_bytes())
        data[200] ^= 0xFF
        journal.chmod(stat.S_IRUSR | stat.S_IWUSR)
        journal.write_bytes(bytes(data))
        app = ExecutionApp(elsewhere(settings))
        with pytest.raises(StartError) as refused:
            async with running(app):
                raise AssertionError("started on a damaged journal")
        assert "journal" in str(refused.value)


async def test_a_graceful_stop_leaves_no_entry_resting(stack: Stack) -> None:
    async with scene(stack) as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        made.brain.place("i2", order_type=c.ORDER_TYPE_LIMIT, limit_price="59500", time_in_force=c.TIME_IN_FORCE_GTC)
        await made.market.step(count=3)
        assert made.app is not None
        await made.app.stop()
        requests = made.venue.venue.engine.state.pending
        await until(lambda: list(requests.values()), "the cancel reached the venue")
        assert [type(each.request).__name__ for each in requests.values()] == ["CancelOrder"], "the stop stays"


async def test_a_journal_that_was_cut_after_an_orderly_stop_is_reported_and_only_a_person_arms(stack: Stack) -> None:
    async with scene(stack) as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        url = stack.database("execution")
        await until(lambda: made.session.projector.lag == 0, "tables are written")
        whole = made.session.store.journal.last_sequence
        assert made.app is not None
        await made.app.stop()
        (journal,) = (Path(made.settings.state_dir) / "journal").iterdir()
        with journal.open("r+b") as file:
            file.truncate(journal.stat().st_size * 3 // 4)
        app = ExecutionApp(elsewhere(made.settings))
        async with running(app):
            session = app.session
            assert session is not None
            assert session.posture.latch.posture is Posture.CLOSE_ONLY
            assert "was cut, and records after" in session.posture.cause
            assert session.report.records < whole
            # The tables were written before: they hold the records that the journal lost, and are kept as evidence.
            await until(lambda: session.projector.problem, "the tables are compared with the journal")
            assert f"records up to {whole}, the journal ends at {session.report.records}" in session.not_ready()[-1]
            assert (await rows(url))["sequence"] == whole
        app = ExecutionApp(elsewhere(made.settings))
        async with running(app):
            assert app.session is not None
            assert not app.session.report.cut
            assert app.session.posture.latch.posture is Posture.CLOSE_ONLY, "a restart arms nothing"


async def test_a_latch_and_a_lease_that_were_deleted_beside_the_journal_are_missed(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.market.step()
        assert made.app is not None
        await made.app.stop()
        state = Path(made.settings.state_dir)
        (state / "latch.json").unlink()
        shutil.rmtree(state / "lease")
        app = ExecutionApp(elsewhere(made.settings))
        async with running(app):
            assert app.session is not None
            latch = app.session.posture.latch
            assert (latch.posture, latch.never_set) == (Posture.HALTED, False)
            assert "the latch is missing, and the journal's last act set it to ARMED" in latch.reason


async def test_a_venue_account_that_was_deleted_under_a_stopped_stack_is_named(stack: Stack) -> None:
    async with scene(stack) as made:
        made.brain.place("i1")
        await made.market.step(count=4)
        await until(lambda: made.session.store.account.fills, "a trade")
        assert made.app is not None
        await made.app.stop()
        ours = max(fill.venue_sequence for fill in made.session.store.account.fills)
        settings = made.settings
    shutil.rmtree(stack.folder("papervenue"))
    async with scene(stack, connect=False, app=False) as made:
        app = ExecutionApp(elsewhere(settings))
        async with running(app):
            session = app.session
            assert session is not None
            await until(lambda: session.reconciler.problem, "the contradiction is found")
            sentence = f"the venue's last trade is 0, ours is {ours}: another account, or it was reset; restore"
            assert [reason for reason in session.not_ready() if reason.startswith(sentence)]
            assert not session.reconciler.truth.known
            assert not session.reconciler.settled.is_set()
            answer = await session.queries._execution(e.GetExecutionRequest(), cast("Peer", None))
            assert answer.reconciliation_problem.startswith(sentence)
            assert not answer.reconciled
