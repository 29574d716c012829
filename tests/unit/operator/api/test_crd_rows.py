"""Readers of files refuse what the API server refuses, with their own sentence, and accept what it accepts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.crds.checkers import REFUSED
from support.crds.manifests import Row
from support.crds.rows import ACCEPTED, IMAGES
from titan_operator.api import ResourceError, load_resources
from titan_operator.api.verified_images import read_verified_images


@pytest.mark.parametrize("row", [row for row in REFUSED if row.base != "images"], ids=str)
def test_the_same_manifest_is_refused_by_the_reading_of_files_with_its_sentence(row: Row) -> None:
    with pytest.raises(ResourceError) as caught:
        load_resources(yaml.safe_dump(row.manifest), "file")
    assert any(row.sentence in problem for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("row", [row for row in IMAGES if row.sentence], ids=str)
def test_a_list_of_images_that_is_refused_is_refused_by_its_own_reading(row: Row) -> None:
    with pytest.raises(ValueError, match=r"^VerifiedImages: ") as caught:
        read_verified_images(row.manifest)
    assert row.sentence in str(caught.value)


@pytest.mark.parametrize(("description", "base", "changes"), ACCEPTED)
def test_what_is_allowed_is_read(description: str, base: str, changes: dict[str, Any]) -> None:
    manifest = Row(description, base, changes, "").manifest
    if base == "images":
        read_verified_images(manifest)
    else:
        load_resources(yaml.safe_dump(manifest), "file")
