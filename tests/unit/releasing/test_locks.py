"""The images' lock files: what the whole repository is locked to, with hashes, and only what an image needs."""

from __future__ import annotations

import re

import pytest
from releasing.commands import ROOT
from releasing.context import PYTHON_IMAGES

_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)
_FOREIGN = ("pytest", "ruff", "mypy", "kubernetes", "typer", "hatchling", "pip")


def _pins(text: str) -> set[tuple[str, str, frozenset[str]]]:
    """Package, version and hashes; a package may have one version for each of several Pythons."""
    found = set()
    for block in re.split(r"\n(?=\S)", text):
        if pin := _PIN.match(block):
            found.add((pin[1], pin[2], frozenset(re.findall(r"sha256:([0-9a-f]{64})", block))))
    return found


def _names(image: str) -> set[str]:
    return {name for name, _, _ in _pins((ROOT / "images" / f"{image}.lock").read_text())}


@pytest.mark.parametrize("image", PYTHON_IMAGES)
def test_it_is_a_part_of_the_whole(image: str) -> None:
    pins = _pins((ROOT / "images" / f"{image}.lock").read_text())
    assert pins - _pins((ROOT / "requirements.lock").read_text()) == set()
    assert all(hashes for _, _, hashes in pins)
    assert len(pins) == len(_names(image))
    assert {"grpcio", "msgspec", "uvloop"} <= _names(image)
    assert not set(_FOREIGN) & _names(image)


def test_each_image_carries_its_own() -> None:
    operator, services = map(_names, PYTHON_IMAGES)
    assert "kopf" in operator
    assert "numpy" not in operator
    assert {"numpy", "sqlalchemy", "asyncpg"} <= services
    assert "kopf" not in services
