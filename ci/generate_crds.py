"""Write the CustomResourceDefinitions from the typed models: ``python ci/generate_crds.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from titan_operator.api.crds import crds

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Made from operator/titan_operator/api by `make generate`; change it there.\n"
CHART_OF = {"VerifiedImages": "titan-admission"}


def documents() -> dict[Path, str]:
    """Every file by its path in the repository: each definition under ``crds/`` and in the chart that installs it."""
    found = {}
    for name, crd in crds().items():
        text = HEADER + yaml.safe_dump(crd, sort_keys=False, width=120, allow_unicode=True)
        chart = CHART_OF.get(crd["spec"]["names"]["kind"], "titan")
        found[Path("crds") / name] = text
        found[Path("charts") / chart / "crds" / name] = text
    return found


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
