"""Titan, installed once for the stacks of these modules, and the one stack that three of them look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster.installation import Installation, installation
from support.cluster.running_stack import QUICK, RunningStack, apply_files

# A stack of each module, and of some tests; groups.py says which modules share an installation.
NAMESPACES = (QUICK, "desk", "news", "small", "ledger", "helmed", "released", "orphaned")


@pytest.fixture(scope="session")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The charts, over a namespace for each stack. Whoever upgrades them rolls back."""
    with installation(tmp_path_factory.mktemp("life"), NAMESPACES) as made:
        yield made


@pytest.fixture(scope="session")
def quick(at: Installation) -> RunningStack:
    """The quick start, until all is ready; the last of its modules deletes it."""
    apply_files(at)
    return RunningStack(at, QUICK)
