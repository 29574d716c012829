"""End to end, on the cluster of TITAN_E2E_KUBECONFIG: make e2e starts one and comes in by this same door."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.e2e.installed import STACK, SYSTEM, Titan
from support.e2e.pods import PodLife, Pods
from support.e2e.release import Release, make_release
from support.e2e.story import Story
from support.e2e.target import KUBECONFIG, NODE, REGISTRY, Target

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            # Images are built in the first one, cold.
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def story(pytestconfig: pytest.Config) -> Story:
    """The log; pytest holds back what a test prints, and this is to be read while it goes on."""
    reporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write(text, flush=True)

    return Story(write)


@pytest.fixture(autouse=True)
def _chapter(request: pytest.FixtureRequest, story: Story) -> None:
    story.chapter((request.function.__doc__ or request.node.name).splitlines()[0])


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The cluster."""
    kubeconfig, registry, node = (os.environ.get(name, "") for name in (KUBECONFIG, REGISTRY, NODE))
    if not (kubeconfig and registry):
        pytest.exit(f"{KUBECONFIG} and {REGISTRY}: both are needed; `make e2e` starts a cluster and sets them", 2)
    return Target(Path(kubeconfig), registry, Path(node) if node else None, tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="session")
def release(target: Target, story: Story) -> Release:
    """Images, pushed and signed, and the file that names them."""
    return make_release(target, story)


@pytest.fixture(scope="session")
def titan(target: Target, release: Release, story: Story) -> Titan:
    """The charts, installed."""
    made = Titan(target, release, story, Pods(target, [STACK], SYSTEM))
    made.install()
    return made


@pytest.fixture(scope="session")
def stack(titan: Titan) -> PodLife:
    """The stack, applied by its chart and ready."""
    titan.start_stack()
    return PodLife(titan.pods, STACK)
