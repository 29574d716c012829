"""Rows in PostgreSQL: a durable order insert and a point read as Execution's tables have them.

Run: ``python bench/database.py [SECONDS]``. A server of its own on this machine's disk, which syncs each commit
(``fsync`` and ``synchronous_commit`` as they come). The insert is Execution's own upsert of an order with its
projection's sequence in one transaction, the read one row by its key, through the engine that both use. In the same
run, each in turn: the same by bare asyncpg with prepared statements (the ratio is what SQLAlchemy costs), and a bare
fdatasync on the same disk (what a durable commit costs at least). To reach: p99 below 1 ms for both. Nothing of it is
on the way of an order.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from sqlalchemy import bindparam, insert, select

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "ci")]

from support.storage.postgres import Postgres  # noqa: E402
from titan.execution.projector import MOVE, upsert  # noqa: E402
from titan.storage.execution_tables import orders, projection  # noqa: E402
from titan.storage.migrate import upgrade  # noqa: E402
from titan.storage.schema import make_engine, reader  # noqa: E402

SECONDS = 20.0
WARM_UP = 200
GOAL_US = 1_000.0
COLUMNS = [column.name for column in orders.columns]
BARE_INSERT = (
    f"INSERT INTO execution.orders ({', '.join(COLUMNS)}) VALUES "
    f"({', '.join(f'${number}' for number in range(1, len(COLUMNS) + 1))})"
)
BARE_MOVE = "UPDATE execution.projection SET sequence = $1"
BARE_READ = "SELECT * FROM execution.orders WHERE client_order_id = $1"


def row(kind: str, number: int) -> dict[str, Any]:
    """An order as the projector writes it."""
    return {
        "client_order_id": f"t1{kind}{number:030d}",
        "sequence": number,
        "intent_id": f"scavenger-20260101T000000-{number}",
        "phase_id": "scavenger",
        "order_role": "ENTRY",
        "attempt": 1,
        "symbol": "BTC/USDT:USDT",
        "side": "BUY",
        "type": "MARKET",
        "time_in_force": "IOC",
        "quantity": "0.002",
        "limit_price": "0",
        "trigger_price": "0",
        "reduce_only": False,
        "state": "FILLED",
        "filled_quantity": "0.002",
        "average_price": "61234.6",
        "reason": "OK",
        "message": "",
        "policy_hash": "sha256:" + "d" * 64,
        "term": 1,
        "created_ns": 1_723_100_000_000_000_000 + number,
        "updated_ns": 1_723_100_000_000_000_000 + number,
        "venue_order_id": str(number),
    }


Timed = Callable[[int], Awaitable[None]]


async def measured(kinds: dict[str, Timed], seconds: float) -> dict[str, list[int]]:
    """Nanoseconds of each kind, taking turns, so that all see the same machine and the same disk."""
    durations: dict[str, list[int]] = {name: [] for name in kinds}
    number, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends or number < 2 * WARM_UP:
        number += 1
        for name, run in kinds.items():
            begun_ns = time.perf_counter_ns()
            await run(number)
            if number > WARM_UP:
                durations[name].append(time.perf_counter_ns() - begun_ns)
    return durations


async def bench(server: Postgres, database: str, seconds: float) -> dict[str, list[int]]:
    engine = make_engine(server.url(database), "execution")
    reading = reader(engine)
    found_by_id = select(orders).where(orders.c.client_order_id == bindparam("name"))
    bare = await server.connect(database)
    insert_bare, move_bare = await bare.prepare(BARE_INSERT), await bare.prepare(BARE_MOVE)
    read_bare = await bare.prepare(BARE_READ)
    # Beside the server's own files: the same disk.
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    file.write(bytes(1 << 20))
    os.fsync(file.fileno())

    async def ours(number: int) -> None:
        async with engine.begin() as connection:
            await upsert(connection, orders, row("a", number))
            await connection.execute(MOVE, {"sequence": number})

    async def asyncpg_insert(number: int) -> None:
        async with bare.transaction():
            await insert_bare.fetch(*row("b", number).values())
            await move_bare.fetch(number)

    async def ours_read(number: int) -> None:
        async with reading.connect() as connection:
            found = await connection.execute(found_by_id, {"name": row("a", number)["client_order_id"]})
            assert found.one().sequence == number

    async def asyncpg_read(number: int) -> None:
        found = await read_bare.fetchrow(row("b", number)["client_order_id"])
        assert found["sequence"] == number

    async def sync(number: int) -> None:
        os.pwrite(file.fileno(), number.to_bytes(8, "little") * 64, 512 * (number % 2000))
        os.fdatasync(file.fileno())

    async with engine.begin() as connection:
        await connection.execute(insert(projection).values(name="journal", sequence=0))
    try:
        return await measured(
            {
                "durable insert": ours,
                "durable insert, bare asyncpg": asyncpg_insert,
                "point read": ours_read,
                "point read, bare asyncpg": asyncpg_read,
                "bare fdatasync": sync,
            },
            seconds,
        )
    finally:
        file.close()
        await bare.close()
        await engine.dispose()


def shown(name: str, durations: list[int]) -> dict[int, float]:
    """Print and return quantiles in microseconds."""
    ordered = sorted(durations)
    quantiles = {part: ordered[int(len(ordered) * part / 100)] / 1e3 for part in (50, 99)}
    print(f"{name:32} p50 {quantiles[50]:8.0f} us   p99 {quantiles[99]:8.0f} us   of {len(ordered)}")
    return quantiles


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    server = Postgres()
    try:
        server.start()
        database = server.new_database()
        upgrade(server.url(database), "execution")
        found = uvloop.run(bench(server, database, seconds))
    finally:
        server.close()
    quantiles = {name: shown(name, durations) for name, durations in found.items()}
    missed = 0
    for name in ("durable insert", "point read"):
        ours, bare = quantiles[name], quantiles[f"{name}, bare asyncpg"]
        reached = ours[99] < GOAL_US
        missed += not reached
        print(
            f"{name}: {ours[50] / bare[50]:.2f} times bare asyncpg at p50, {ours[99] / bare[99]:.2f} at p99; "
            f"p99 {ours[99]:.0f} us, to reach {GOAL_US:.0f}: {'reached' if reached else 'NOT reached'}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
