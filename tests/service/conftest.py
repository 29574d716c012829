"""Fixtures of the service tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.groups import spread
from support.supplychain.cosign_material import Material, make

FOLDER = Path(__file__).parent
# All that takes what cosign signed runs where that was made.
SIGNED = "signed"
LONGEST = (
    "test_kills",
    "test_recovery",
    "test_database_away",
    "test_up",
    SIGNED,
    "test_rotation",
    "test_seeds",
    "test_intents",
    "test_orders",
    "test_edges",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = [item for item in items if FOLDER in item.path.parents]
    # Hooks of a folder are called with the tests of all.
    others = [item for item in items if FOLDER not in item.path.parents]
    signed = {item.path for item in own if "material" in getattr(item, "fixturenames", ())}
    for item in own:
        if item.path in signed:
            item.add_marker(pytest.mark.xdist_group(SIGNED))
    spread(own, LONGEST)
    items[:] = [*others, *own]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """What the real cosign signed, once for all tests."""
    return make(tmp_path_factory.mktemp("cosign"))
