"""Registries of the tests' own, and a client of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.supplychain.registry import RegistryServer
from support.supplychain.registry_fixture import RegistryFixture, running_registry


@pytest.fixture
async def fixture() -> AsyncIterator[RegistryFixture]:
    """One registry and its client."""
    async with running_registry() as made:
        yield made


@pytest.fixture
async def other() -> AsyncIterator[RegistryServer]:
    """Another registry, at another host as far as anybody can tell."""
    async with RegistryServer().serving() as server:
        yield server
