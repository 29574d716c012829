"""Fixtures of the service tests."""

from __future__ import annotations

import pytest

from support.supplychain.cosign_material import Material, make


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """What the real cosign signed, once for all tests."""
    return make(tmp_path_factory.mktemp("cosign"))
