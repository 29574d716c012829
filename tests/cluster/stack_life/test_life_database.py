"""Tables in PostgreSQL: a Job makes them first, and the database may go and come while an image rolls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster.installation import NEXT, Installation
from support.cluster.running_stack import RunningStack, eager
from support.storage.postgres import PASSWORD, Postgres

LEDGER = "ledger"
WITH_TABLES = ("execution", "brain")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """The database."""
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def stack(at: Installation) -> Iterator[RunningStack]:
    """The stack; the first test starts it."""
    made = RunningStack(at, LEDGER)
    yield made
    made.end()


@pytest.fixture(scope="module")
def database(server: Postgres) -> str:
    """Its database."""
    return server.new_database()


def resources() -> list[dict[str, Any]]:
    found = eager(onDelete="Flatten")
    for item in found:
        if item["spec"].get("role") in WITH_TABLES:
            item["spec"]["databaseSecretRef"] = {"name": "db"}
    return found


def counts(server: Postgres, database: str) -> dict[str, int]:
    async def asked(connection: Any) -> dict[str, int]:
        names = ("execution.orders", "execution.fills", "execution.ledger", "brain.decisions")
        return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}

    return server.ask(database, asked)


def jobs(stack: RunningStack) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in stack.at.list("jobs", LEDGER)}


def images(stack: RunningStack) -> set[str]:
    pods = stack.pods()
    return {pods[role]["spec"]["containers"][0]["image"] if role in pods else "" for role in WITH_TABLES}


def completed(job: dict[str, Any]) -> bool:
    return any(item["type"] == "Complete" for item in job.get("status", {}).get("conditions", ()))


def test_without_its_secret_nothing_starts_and_with_it_a_job_comes_first(
    stack: RunningStack, server: Postgres, database: str, tmp_path: Path
) -> None:
    stack.at.apply(LEDGER, resources())
    stack.at.wait("the refusal", lambda: stack.condition("brain", "Ready").get("reason") == "SecretsPresent")
    assert "Secret db is not there" in stack.condition("brain", "Ready")["message"]
    assert not stack.processes("brain")
    # From a file, as its documentation says: an argument is in the list of processes.
    url = tmp_path / "url"
    url.write_text(server.url(database))
    stack.at.plane.kubectl("create", "secret", "generic", "db", "-n", LEDGER, f"--from-file=url={url}")
    stack.at.wait_ready(LEDGER)
    assert len(jobs(stack)) == 2
    assert all(completed(job) for job in jobs(stack).values())
    for role in WITH_TABLES:
        assert stack.condition(role, "StorageMigrated")["status"] == "True"
    stack.trade()
    stack.at.wait("rows", lambda: min(counts(server, database).values()) > 0)


def test_the_password_is_in_the_secret_and_nowhere_else(stack: RunningStack, server: Postgres, database: str) -> None:
    url = server.url(database)
    said = json.dumps([stack.at.list(kind, LEDGER) for kind in ("all", "configmaps", "jobs", "titanphases", "events")])
    logs = "".join(stack.at.runner.log(LEDGER, pod["metadata"]["name"]) for pod in stack.at.list("pods", LEDGER))
    assert "tables are up to date" in logs
    arguments = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in stack.processes("")]
    for secret in (PASSWORD, url.split(":")[2].split("@")[0]):
        assert secret in (PASSWORD + url)
        assert secret not in said
        assert secret not in logs
        assert not [words for words in arguments if secret in words]


def test_a_roll_while_the_database_is_away_waits_and_what_runs_goes_on_trading(
    stack: RunningStack, server: Postgres, database: str
) -> None:
    held, before, old_jobs = stack.held(), stack.pods(), set(jobs(stack))
    rows = counts(server, database)
    server.kill()
    stack.patch("execution", {"image": NEXT})
    stack.patch("brain", {"image": NEXT})
    stack.at.wait("the Jobs of the next image", lambda: len(set(jobs(stack)) - old_jobs) == 2)
    stack.at.wait("the reason", lambda: stack.condition("brain", "Ready").get("reason") == "StorageMigrated")
    assert "goes on" in stack.condition("brain", "Ready")["message"]
    assert stack.at.posture(LEDGER) == "ARMED"
    stack.at.wait("the condition", lambda: stack.condition("execution", "TablesWritten").get("status") == "False")
    said = stack.condition("execution", "TablesWritten")
    assert said["reason"] == "DatabaseAway"
    assert "wait for it" in said["message"]
    assert stack.condition("execution", "Applied") == {}
    stack.stays_protected()
    after = stack.pods()
    for role in WITH_TABLES:
        assert after[role]["metadata"]["uid"] == before[role]["metadata"]["uid"]
        assert any(
            item["type"] == "Ready" and item["status"] == "True" for item in after[role]["status"]["conditions"]
        ), "a database that is away makes nothing unready"
    assert stack.held() == held
    server.start()
    stack.at.wait("the next image", lambda: images(stack) == {NEXT})
    stack.at.wait_ready(LEDGER)
    stack.at.wait("the condition", lambda: stack.condition("execution", "TablesWritten").get("status") == "True")
    assert stack.held() == held
    assert set(jobs(stack)).isdisjoint(old_jobs)
    found = counts(server, database)
    assert all(found[name] >= rows[name] for name in rows)
    journal = len(stack.venue().orders)
    stack.at.wait("all orders", lambda: counts(server, database)["execution.orders"] >= journal)


def test_flatten_on_delete_closes_it(stack: RunningStack) -> None:
    assert stack.covered
    with stack.watched():
        stack.delete("titanphases", "--all")
        stack.at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    state = stack.venue()
    assert not state.positions
    assert not [order for order in state.orders.values() if not order.state.final]
