"""Budgets of images: read, exceeded, wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from releasing.commands import ReleaseError
from releasing.context import TARGETS
from releasing.sizes import Budget, Size, budgets, over

MIB = 1024 * 1024
ALLOWED = Budget(own=10, unpacked=20)


@pytest.mark.parametrize(
    ("description", "own", "unpacked", "said"),
    [
        ("within", 9 * MIB, 19 * MIB, []),
        ("just so", 10 * MIB, 20 * MIB, []),
        ("a byte more to send", 10 * MIB + 1, 20 * MIB, ["own is 10.0 MiB, and 10"]),
        ("too much on disk", 1, 21 * MIB, ["unpacked is 21.0 MiB, and 20"]),
        ("both", 11 * MIB, 21 * MIB, ["own is 11.0 MiB", "unpacked is 21.0 MiB"]),
    ],
)
def test_over(description: str, own: int, unpacked: int, said: list[str]) -> None:
    found = over("services", Size(pulled=own + MIB, own=own, unpacked=unpacked), ALLOWED)
    assert len(found) == len(said)
    assert all(text in line for text, line in zip(said, found, strict=True))


def test_every_image_has_a_budget() -> None:
    assert set(budgets()) == set(TARGETS)


@pytest.mark.parametrize(
    ("description", "name", "value", "said"),
    [
        ("none", "nats", None, "nats: allowed is a mapping"),
        ("half of one", "nats", {"own": 1}, "nats: allowed is a mapping"),
        ("another key", "nats", {"own": 1, "unpacked": 1, "pulled": 1}, "nats: allowed is a mapping"),
        ("no number", "services", {"own": "1", "unpacked": 1}, "services.own: '1'"),
        ("nothing", "services", {"own": 1, "unpacked": 0}, "services.unpacked: 0"),
        ("a truth", "services", {"own": True, "unpacked": 1}, "services.own: True"),
    ],
)
def test_wrong_budgets(tmp_path: Path, description: str, name: str, value: object, said: str) -> None:
    file = tmp_path / "budgets.yaml"
    file.write_text(yaml.safe_dump({target: {"own": 1, "unpacked": 1} for target in TARGETS} | {name: value}))
    with pytest.raises(ReleaseError, match=said):
        budgets(file)
