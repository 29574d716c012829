"""Which lock files and programs each target of the Makefile uses, from Make's own list of the commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from releasing.commands import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_LOCK = re.compile(r"ci/install_lock\.py (\S+)")
BIN = Path(sys.executable).parent


def commands(target: str, environment: Path) -> str:
    """Return what Make would run for ``target`` where nothing is installed yet."""
    make = shutil.which("make")
    assert make is not None
    arguments = [make, "--dry-run", "--no-print-directory", f"VENV={environment}", f"PYTHON={sys.executable}", target]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["install", "up"])
def test_what_runs_needs_one_lock_and_no_tools(target: str, tmp_path: Path) -> None:
    found = commands(target, tmp_path / "venv")
    assert _LOCK.findall(found) == ["requirements.lock"]
    assert "ci/tools" not in found
    assert "git " not in found


@pytest.mark.parametrize("target", ["dev", "lint", "unit", "test", "service", "clustertests", "bench", "images", "e2e"])
def test_developing_needs_both(target: str, tmp_path: Path) -> None:
    # A target that makes others shows their commands too.
    found = dict.fromkeys(_LOCK.findall(commands(target, tmp_path / "venv")))
    assert list(found) == ["requirements.lock", "requirements-dev.lock"]


def test_an_installed_environment_is_let_be(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    major, minor = sys.version_info[:2]
    interpreter = Path(sys.executable).resolve()
    (tmp_path / "bin" / ".environment").write_text(f"{major}.{minor} {interpreter} {tmp_path}\n")
    for stamp in (".requirements", ".titan", ".requirements-dev"):
        (tmp_path / "bin" / stamp).touch()
    assert "install" not in commands("dev", tmp_path).replace(str(tmp_path), "")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_what_a_workflow_makes_can_be_made(file: Path, tmp_path: Path) -> None:
    jobs = yaml.safe_load(file.read_text())["jobs"]
    scripts = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    for target in re.findall(r"\bmake ([a-z]+)", scripts):
        assert commands(target, tmp_path / "venv")


def test_each_hook_runs_a_program_of_the_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    programs = [Path(hook["entry"].split()[0]) for hook in hooks]
    assert {program.parent for program in programs} == {Path(".venv/bin")}
    assert [program.name for program in programs if not (BIN / program.name).exists()] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The order is canceled.", 0),
        ("if task.cancelled() or code is CANCELLED:", 0),
        ("The order is cancelled.", 65),  # codespell:ignore
        ("The unrealised profit is normalised.", 65),  # codespell:ignore
        ("Unrealized profit, a neighbor, a license, a defense.", 0),
        ("A neighbour needs a licence.", 65),  # codespell:ignore
        ("Recieve an order.", 65),  # codespell:ignore
    ],
)
def test_spelling_is_checked(tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "text.md").write_text(text)
    done = subprocess.run([BIN / "codespell", tmp_path / "text.md"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == code
