"""Each import contract fails on an import that it forbids, planted in a copy of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from releasing.commands import ROOT

# By contract: a module, an import that it must not have, and how the report names both.
PLANTED = {
    "layers: domain": ("services/titan/domain/numbers.py", "import titan.matching", "titan.domain.numbers"),
    "operator layers": (
        "operator/titan_operator/api/names.py",
        "import titan_operator.app",
        "titan_operator.api.names",
    ),
    "the pure packages": (
        "operator/titan_operator/reconcile/decide.py",
        "import asyncio",
        "titan_operator.reconcile.decide",
    ),
    "the local and the cluster commands": (
        "services/titan/cli/local/down.py",
        "import titan.cli.cluster.acts",
        "titan.cli.local.down",
    ),
    "services know nothing": ("services/titan/brain/app.py", "import titan_operator.planning.plan", "titan.brain.app"),
    "sigstore is loaded": ("services/titan/phase/app.py", "import sigstore", "titan.phase.app"),
}


def _lint(root: Path) -> str:
    program = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": f"{root / 'services'}{os.pathsep}{root / 'operator'}"}
    done = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    # The report breaks long names of contracts into lines.
    return re.sub(r"\s+", " ", done.stdout)


def test_every_contract_fails_on_a_planted_import(tmp_path: Path) -> None:
    for folder in ("services", "operator"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, planted, _ in PLANTED.values():
        path = tmp_path / module
        path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{planted}\n", encoding="utf-8")
    report = _lint(tmp_path)
    for contract, (_, planted, importer) in PLANTED.items():
        assert re.search(rf"{re.escape(contract)}(?:(?!KEPT).)*? BROKEN", report), contract
        assert f"{importer} -> {planted.removeprefix('import ')} (l." in report, contract


def test_every_contract_has_a_planted_import() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    names = [contract["name"] for contract in configured["contracts"]]
    assert len(names) == len(PLANTED)
    for begin in PLANTED:
        assert [name for name in names if name.startswith(begin)], begin
