"""A place on the guarded control plane for a test, and how a stack's life ends where nothing fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.operator_faults import GuardedCluster, Objects, guarded_cluster


@pytest.fixture
async def here(guarded_plane: ControlPlane, lives: Iterator[str], tmp_path: Path) -> AsyncIterator[GuardedCluster]:
    """The ways to it."""
    async with guarded_cluster(guarded_plane, tmp_path, lives) as made:
        yield made


@pytest.fixture(scope="session")
def expected() -> dict[str, tuple[Objects, int]]:
    """The objects after each act and its number of writes, without a fault; the first test records them."""
    return {}
