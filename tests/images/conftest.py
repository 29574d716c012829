"""Images built from the work tree, with what ``ci/tools/apt`` installs; needs root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from releasing.build import build
from releasing.commands import ReleaseError
from releasing.localregistry import local_registry

from support.supplychain.built_images import Built, unpack


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Built]:
    """All images by name."""
    try:
        made = build()
    except ReleaseError as error:
        pytest.fail(str(error), pytrace=False)
    return {image.target: Built(image, unpack(image, tmp_path_factory.mktemp(image.target))) for image in made}


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """``127.0.0.1:PORT`` of a registry of the tests' own."""
    with local_registry() as address:
        yield address
