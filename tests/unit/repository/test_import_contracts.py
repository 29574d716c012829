"""Each import contract fails on imports that it forbids, planted in a copy of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from releasing.commands import ROOT

PURE = "the pure packages"
OPERATOR = "of the services the operator knows"
SERVICES = "services know nothing"

# A contract, a module, an import that it must not have, and what the report names as imported.
PLANTED = [
    ("layers: domain", "titan.domain.numbers", "import titan.matching", "titan.matching"),
    ("operator layers", "titan_operator.api.names", "import titan_operator.app", "titan_operator.app"),
    (
        "operator layers",
        "titan_operator.metrics",
        "from titan_operator.controller import controller",
        "titan_operator.controller.controller",
    ),
    ("the local and the cluster", "titan.cli.local.down", "import titan.cli.cluster.acts", "titan.cli.cluster.acts"),
    ("sigstore is loaded", "titan.phase.app", "import sigstore", "sigstore"),
    (SERVICES, "titan.brain.app", "import titan_operator.planning.plan", "titan_operator.planning.plan"),
    (SERVICES, "titan.recordings", "from titan_operator.api import names", "titan_operator.api.names"),
    (SERVICES, "titan.wire.orders", "from titan_operator.api import names", "titan_operator.api.names"),
    (SERVICES, "titan.durable.files", "from titan_operator.api import names", "titan_operator.api.names"),
    (OPERATOR, "titan_operator.reconcile.decide", "from titan.cli import app", "titan.cli.app"),
    (OPERATOR, "titan_operator.planning.gates", "from titan.execution import sender", "titan.execution.sender"),
    (OPERATOR, "titan_operator.api.names", "from titan.brain import app", "titan.brain.app"),
    (OPERATOR, "titan_operator.planning.plan", "from titan.storage import migrate", "titan.storage.migrate"),
    (OPERATOR, "titan_operator.cluster.lease", "from titan.durable import files", "titan.durable.files"),
    (OPERATOR, "titan_operator.app", "from titan.risk import engine", "titan.risk.engine"),
    (PURE, "titan_operator.planning.plan", "from titan.durable import files", "titan.durable.files"),
    (PURE, "titan_operator.reconcile.decide", "import asyncio", "asyncio"),
    (PURE, "titan.domain.numbers", "import sqlite3", "sqlite3"),
    (PURE, "titan.strategies.bars", "import subprocess", "subprocess"),
    (PURE, "titan.risk.engine", "import urllib.request", "urllib"),
    (PURE, "titan.matching.book", "import httpx", "httpx"),
    (PURE, "titan_operator.api.names", "import secrets", "secrets"),
    (PURE, "titan_operator.compare.diff", "import threading", "threading"),
    (PURE, "titan_operator.render.local", "from time import time", "time"),
    (PURE, "titan_operator.admission.rules.policies", "from random import random", "random"),
    (PURE, "titan_operator.stack.view", "from pathlib import Path", "pathlib"),
]


def path_of(module: str, root: Path) -> Path:
    folder = root / ("operator" if module.startswith("titan_operator") else "services")
    path = folder / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def contracts() -> list[dict[str, Any]]:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    found: list[dict[str, Any]] = configured["contracts"]
    return found


def run(root: Path, program: str, *arguments: str | Path) -> str:
    # Wide, so that names of contracts stay in one line.
    environment = os.environ | {"PYTHONPATH": f"{root / 'services'}{os.pathsep}{root / 'operator'}", "COLUMNS": "300"}
    command: Sequence[str | Path] = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one report says of each contract: no plant hides another."""
    root = tmp_path_factory.mktemp("planted")
    for folder in ("services", "operator"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for _, module, planted, _ in PLANTED:
        with path_of(module, root).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{planted}\n")
    for package in ("services/titan/backtest", "operator/titan_operator/reports"):
        (root / package).mkdir()
        (root / package / "__init__.py").write_text("import titan.cli\n", encoding="utf-8")
    broken = run(root, "lint-imports", "--no-logo", "--no-cache").partition("Broken contracts\n")[2]
    # A name and a rule before the imports of each contract.
    _, *parts = re.split(r"^(.+)\n-{20,}$", broken, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def of_contract(report: dict[str, str], begin: str) -> str:
    (found,) = (text for name, text in report.items() if name.startswith(begin))
    return found


@pytest.mark.parametrize(
    ("contract", "module", "planted", "imported"), PLANTED, ids=[f"{row[1]}: {row[2]}" for row in PLANTED]
)
def test_a_planted_import_breaks_its_contract(
    report: dict[str, str], contract: str, module: str, planted: str, imported: str
) -> None:
    assert re.search(rf"- +{re.escape(f'{module} -> {imported} (l.')}", of_contract(report, contract)), planted


def test_a_package_that_no_layer_names_breaks_the_layers(report: dict[str, str]) -> None:
    assert "\n- titan.backtest\n" in of_contract(report, "layers: domain")
    assert "\n- titan_operator.reports\n" in of_contract(report, "operator layers")


def test_every_contract_has_a_planted_import() -> None:
    names = [contract["name"] for contract in contracts()]
    begins = {row[0] for row in PLANTED}
    assert len(names) == len(begins)
    for begin in begins:
        assert [name for name in names if name.startswith(begin)], begin


def test_exactly_the_pure_packages_may_not_read_the_clock(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (pure,) = (contract["source_modules"] for contract in contracts() if contract["name"].startswith(PURE))
    others = ["titan.execution.session", "titan.runtime.http", "titan_operator.cluster.lease", "titan_operator.app"]
    written = {}
    for module in (*pure, *others):
        place = path_of(module, ROOT).relative_to(ROOT)
        written[str(place)] = module
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n")
    arguments = ("check", "--no-cache", "--select", "TID251", "--output-format", "concise", ".")
    found = run(tmp_path, "ruff", *arguments)
    refused = {written[line.split(":", 1)[0]] for line in found.splitlines() if "TID251" in line}
    assert refused == set(pure)
