"""The CustomResourceDefinitions as files, from the typed models."""

from __future__ import annotations

from pathlib import Path

import yaml

from titan_operator.api.crds import crds

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
