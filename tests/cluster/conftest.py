"""A real API server for these tests: one control plane a session, a namespace a test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcluster.controlplane import LOOPBACK, ControlPlane, Site
from testcluster.toolchain import ToolchainError

from support.cluster.guarded_plane import DESK, LIVES, guard

CRDS = Path(__file__).resolve().parents[2] / "crds"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.cluster)


def _control_plane(folder: Path, site: Site = LOOPBACK) -> Iterator[ControlPlane]:
    try:
        plane = ControlPlane(folder, site)
    except ToolchainError as error:
        pytest.fail(str(error), pytrace=False)
    with plane:
        yield plane


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The session's control plane, with our CRDs and with endpoints of Services."""
    for plane in _control_plane(tmp_path_factory.mktemp("cluster") / "plane", Site(endpoints=True)):
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        names = [file.stem.replace("titan.trading_", "") + ".titan.trading" for file in sorted(CRDS.glob("*.yaml"))]
        plane.kubectl("wait", "--for=condition=Established", "--timeout=120s", *(f"crd/{name}" for name in names))
        yield plane


@pytest.fixture
def namespace(cluster: ControlPlane) -> str:
    """A namespace of the test's own; it ends with the control plane, for to empty one costs a hundred calls."""
    name = f"test-{next(_numbers)}"
    cluster.create_namespace(name)
    return name


@pytest.fixture(scope="session")
def guarded_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The session's control plane with the admission chart over :data:`DESK` and :data:`LIVES`."""
    for plane in _control_plane(tmp_path_factory.mktemp("guarded") / "plane"):
        yield guard(plane, [DESK, *LIVES])


@pytest.fixture(scope="session")
def lives() -> Iterator[str]:
    """Namespaces of :data:`LIVES`, each given once."""
    return iter(LIVES)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of the test's own, empty: for policies, charts and CRDs, which are cluster-wide."""
    yield from _control_plane(tmp_path / "plane")


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of the module's own, empty."""
    yield from _control_plane(tmp_path_factory.mktemp("module") / "plane")
