"""Fixtures that every tier uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before gRPC is imported anywhere: its core's own lines would stand between those of the tests.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import pytest
from hypothesis import HealthCheck, settings

from support.stack.local_processes import Stack
from support.storage.postgres import Postgres
from support.tiers.sweeps import CHAOS

pytest_plugins = ["support.tiers.groups", "support.tiers.summary"]

# How long an example takes is the machine's affair: what is too slow is a benchmark's to say.
settings.register_profile("titan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", settings.get_profile("titan"), max_examples=50)
settings.register_profile("chaos", settings.get_profile("titan"), max_examples=300)
settings.load_profile("chaos" if CHAOS else "default")


@pytest.fixture
def stack_dir(tmp_path: Path) -> Path:
    """An empty state directory."""
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def stack(stack_dir: Path) -> Stack:
    """Certificates, free ports and settings for the processes of one stack."""
    return Stack(stack_dir)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that nobody disturbs."""
    server = Postgres("fsync = off")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Role to the URL of its database: an empty one, of each kind."""
    if request.param == "sqlite":
        return lambda role: f"sqlite+aiosqlite:///{tmp_path}/{role}.db"
    server: Postgres = request.getfixturevalue("postgres")
    # Both roles' tables in one database, as in a cluster.
    url = server.url(server.new_database())
    return lambda _role: url


@pytest.fixture
def stack_on_each_database(stack_dir: Path, database: Callable[[str], str]) -> Stack:
    """As ``stack``; Brain and Execution have their tables in a database of each kind."""
    stack = Stack(stack_dir)
    stack.databases = {role: database(role) for role in ("brain", "execution")}
    return stack
