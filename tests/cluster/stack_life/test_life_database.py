"""Tables in PostgreSQL: a Job makes them first, and the database may go and come while an image rolls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster.installation import NEXT, Installation, installation
from support.cluster.running_stack import Life, eager
from support.storage.postgres import PASSWORD, Postgres

LEDGER = "ledger"
WITH_TABLES = ("execution", "brain")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The charts, over one stack."""
    with installation(tmp_path_factory.mktemp("database"), (LEDGER,)) as made:
        yield made


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
def life(at: Installation) -> Iterator[Life]:
    """The stack; the first test starts it."""
    made = Life(at, LEDGER)
    yield made
    made.end()


@pytest.fixture(scope="module")
def database(server: Postgres) -> str:
    """Its database."""
    return server.new_database()


def resources() -> list[dict[str, Any]]:
    found = eager()
    for item in found:
        if item["spec"].get("role") in WITH_TABLES:
            item["spec"]["databaseSecretRef"] = {"name": "db"}
    return found


def counts(server: Postgres, database: str) -> dict[str, int]:
    async def asked(connection: Any) -> dict[str, int]:
        names = ("execution.orders", "execution.fills", "execution.ledger", "brain.decisions")
        return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}

    return server.ask(database, asked)


def jobs(life: Life) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in life.at.list("jobs", LEDGER)}


def images(life: Life) -> set[str]:
    pods = life.pods()
    return {pods[role]["spec"]["containers"][0]["image"] if role in pods else "" for role in WITH_TABLES}


def completed(job: dict[str, Any]) -> bool:
    return any(item["type"] == "Complete" for item in job.get("status", {}).get("conditions", ()))


def test_without_its_secret_nothing_starts_and_with_it_a_job_comes_first(
    life: Life, server: Postgres, database: str, tmp_path: Path
) -> None:
    life.at.apply(LEDGER, resources())
    life.at.wait("the refusal", lambda: life.condition("brain", "Ready").get("reason") == "SecretsPresent")
    assert "Secret db is not there" in life.condition("brain", "Ready")["message"]
    assert not life.processes("brain")
    # From a file, as its documentation says: an argument is in the list of processes.
    url = tmp_path / "url"
    url.write_text(server.url(database))
    life.at.plane.kubectl("create", "secret", "generic", "db", "-n", LEDGER, f"--from-file=url={url}")
    life.at.wait_ready(LEDGER)
    assert len(jobs(life)) == 2
    assert all(completed(job) for job in jobs(life).values())
    for role in WITH_TABLES:
        assert life.condition(role, "StorageMigrated")["status"] == "True"
    life.trade()
    life.at.wait("rows", lambda: min(counts(server, database).values()) > 0)


def test_the_password_is_in_the_secret_and_nowhere_else(life: Life, server: Postgres, database: str) -> None:
    url = server.url(database)
    said = json.dumps([life.at.list(kind, LEDGER) for kind in ("all", "configmaps", "jobs", "titanphases", "events")])
    logs = "".join(life.at.runner.log(LEDGER, pod["metadata"]["name"]) for pod in life.at.list("pods", LEDGER))
    assert "tables are up to date" in logs
    arguments = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in life.processes("")]
    for secret in (PASSWORD, url.split(":")[2].split("@")[0]):
        assert secret in (PASSWORD + url)
        assert secret not in said
        assert secret not in logs
        assert not [words for words in arguments if secret in words]


def test_a_roll_while_the_database_is_away_waits_and_what_runs_goes_on_trading(
    life: Life, server: Postgres, database: str
) -> None:
    held, before, old_jobs = life.held(), life.pods(), set(jobs(life))
    rows = counts(server, database)
    server.kill()
    life.patch("execution", {"image": NEXT})
    life.patch("brain", {"image": NEXT})
    life.at.wait("the Jobs of the next image", lambda: len(set(jobs(life)) - old_jobs) == 2)
    life.at.wait("the reason", lambda: life.condition("brain", "Ready").get("reason") == "StorageMigrated")
    assert "goes on" in life.condition("brain", "Ready")["message"]
    assert life.at.posture(LEDGER) == "ARMED"
    life.at.wait("the condition", lambda: life.condition("execution", "TablesWritten").get("status") == "False")
    said = life.condition("execution", "TablesWritten")
    assert said["reason"] == "DatabaseAway"
    assert "wait for it" in said["message"]
    assert life.condition("execution", "Applied") == {}
    life.stays_protected()
    after = life.pods()
    for role in WITH_TABLES:
        assert after[role]["metadata"]["uid"] == before[role]["metadata"]["uid"]
        assert any(
            item["type"] == "Ready" and item["status"] == "True" for item in after[role]["status"]["conditions"]
        ), "a database that is away makes nothing unready"
    assert life.held() == held
    server.start()
    life.at.wait("the next image", lambda: images(life) == {NEXT})
    life.at.wait_ready(LEDGER)
    life.at.wait("the condition", lambda: life.condition("execution", "TablesWritten").get("status") == "True")
    assert life.held() == held
    assert set(jobs(life)).isdisjoint(old_jobs)
    found = counts(server, database)
    assert all(found[name] >= rows[name] for name in rows)
    journal = len(life.venue().orders)
    life.at.wait("all orders", lambda: counts(server, database)["execution.orders"] >= journal)
