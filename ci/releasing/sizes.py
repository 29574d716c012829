"""The sizes of images, against their budgets (images/budgets.yaml)."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import yaml

from releasing.build import Image
from releasing.commands import ReleaseError
from releasing.context import IMAGES, TARGETS

BUDGETS = IMAGES / "budgets.yaml"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Size:
    """The sizes of one image, in bytes.

    Parameters
    ----------
    pulled
        What a registry sends: all layers, compressed.
    own
        Of that, what is not the base's.
    unpacked
        All layers on a node's disk, about: a tar's blocks are a little more than the files in it.
    """

    pulled: int
    own: int
    unpacked: int


@dataclass(frozen=True)
class Budget:
    """The most that ``Size.own`` and ``Size.unpacked`` may be, in MiB."""

    own: int
    unpacked: int


def size(image: Image) -> Size:
    """Measure it."""
    layers = image.json(image.digest)["layers"]
    pulled = [int(layer["size"]) for layer in layers]
    # Counted once: it takes seconds, and a layout never changes.
    kept = image.layout.parent / "unpacked"
    if not kept.exists():
        kept.write_text(str(sum(_unpacked(image.blob(layer["digest"])) for layer in layers)))
    unpacked = int(kept.read_text())
    # The base is its first layer; nats stands on nothing.
    own = pulled if image.target == "nats" else pulled[1:]
    return Size(sum(pulled), sum(own), unpacked)


def budgets(path: Path = BUDGETS) -> dict[str, Budget]:
    """Read the budgets.

    Raises
    ------
    ReleaseError
        An image has none, or a value is no positive whole number.
    """
    read = yaml.safe_load(path.read_text())
    found = {}
    for target in TARGETS:
        values = read.get(target)
        if not isinstance(values, dict) or set(values) != {"own", "unpacked"}:
            raise ReleaseError(f"{path.name}: {target}: allowed is a mapping with own and unpacked, in MiB")
        for name, value in values.items():
            if type(value) is not int or value <= 0:
                raise ReleaseError(
                    f"{path.name}: {target}.{name}: {value!r}; allowed is a positive whole number of MiB"
                )
        found[target] = Budget(**values)
    return found


def over(target: str, measured: Size, allowed: Budget) -> list[str]:
    """Say which budget an image exceeds, and by what."""
    return [
        f"{target}: {name} is {value / _MIB:.1f} MiB, and {most} are allowed (images/budgets.yaml)"
        for name, value, most in (
            ("own", measured.own, allowed.own),
            ("unpacked", measured.unpacked, allowed.unpacked),
        )
        if value > most * _MIB
    ]


def table(rows: dict[str, tuple[str, Size]]) -> str:
    """Images by name with digest and size, for people."""
    lines = [f"{'IMAGE':<11} {'PULLED':>9} {'OWN':>9} {'UNPACKED':>9}  DIGEST"]
    for target, (digest, measured) in rows.items():
        values = (f"{value / _MIB:.1f} MiB" for value in (measured.pulled, measured.own, measured.unpacked))
        lines.append(f"{target:<11} {' '.join(f'{value:>9}' for value in values)}  {digest}")
    return "\n".join(lines)


def _unpacked(layer: Path) -> int:
    total = 0
    with gzip.open(layer) as file:
        while chunk := file.read(1 << 20):
            total += len(chunk)
    return total
