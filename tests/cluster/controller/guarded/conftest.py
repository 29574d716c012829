"""A guarded control plane for each module, over the namespaces that it names, and a place in one of them for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.guarded_plane import guard
from support.cluster.operator_faults import GuardedCluster, guarded_cluster


@pytest.fixture(scope="module")
def names(request: pytest.FixtureRequest) -> Iterator[str]:
    """``NAMESPACES`` of the module, one life each."""
    return iter(request.module.NAMESPACES)


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest, module_cluster: ControlPlane) -> ControlPlane:
    """Guarded over these."""
    return guard(module_cluster, request.module.NAMESPACES)


@pytest.fixture
async def here(plane: ControlPlane, names: Iterator[str], tmp_path: Path) -> AsyncIterator[GuardedCluster]:
    """The ways to it."""
    async with guarded_cluster(plane, tmp_path, names) as made:
        yield made
