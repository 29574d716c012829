"""Write every file that is made from another one: ``python ci/generate.py``, which ``make generate`` runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import generate_charts
import generate_crds
import generate_reference

ROOT = Path(__file__).resolve().parent.parent
# Each gives texts by path in the repository. A test holds every one of them against the committed file.
GENERATORS = (generate_crds.documents, generate_charts.documents, generate_reference.documents)


def documents() -> dict[Path, str]:
    """Every file that is made, by its path in the repository."""
    return {path: text for generator in GENERATORS for path, text in generator().items()}


def main() -> int:
    """Write, and name each file that was not as it is now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=ROOT, help="the repository (default: this one)")
    root = parser.parse_args().root
    for path, text in documents().items():
        target = root / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
