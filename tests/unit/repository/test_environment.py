"""When ``make`` makes its virtual environment anew, with interpreters that are scripts: a real one takes seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from releasing.commands import ROOT

SCRIPT = ROOT / "ci" / "environment.sh"
FAKE = """#!/bin/sh
self=$(readlink -f "$0")
case "$*" in
*realpath*) echo "{version} $self" ;;
*"sys.version_info < "*) exit {old} ;;
*"import ensurepip"*) exit {bare} ;;
"-m venv --clear "*)
	{interrupt}
	rm -rf "$4"; mkdir -p "$4/bin"; touch "$4/pyvenv.cfg"
	ln -s "$self" "$4/bin/python"; echo "#!$PWD/$4/bin/python" > "$4/bin/pip" ;;
esac
"""


def interpreter(path: Path, version: str = "3.11", bare: int = 0, interrupt: str = "") -> Path:
    old = int(version == "3.9")
    path.write_text(FAKE.format(version=version, old=old, bare=bare, interrupt=interrupt))
    path.chmod(0o755)
    return path


class Clone:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )

    def make(self, python: str | Path, *given: str) -> str:
        """Make the environment as the Makefile does where it is stale; return what people read."""
        done = self.run("make", ".venv", python, *given)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert not self.stale()
        return done.stderr

    def stale(self, *python: str | Path) -> bool:
        done = self.run("stale", ".venv", *python)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout == "stale\n"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return interpreter(tmp_path / "python3.11")


@pytest.fixture
def clone(tmp_path: Path, python: Path) -> Clone:
    clone = Clone(tmp_path / "clone")
    assert clone.make(python) == f"titan: making .venv with {python}\n"
    return clone


def test_the_stamp_names_version_interpreter_and_folder(clone: Clone, python: Path) -> None:
    stamp = clone.folder / ".venv/bin/.environment"
    assert stamp.read_text() == f"3.11 {python} {clone.folder}/.venv\n"
    assert not clone.stale(python)
    assert clone.make(python, "given") == ""


def test_an_interpreter_that_is_gone_is_replaced(clone: Clone, python: Path, tmp_path: Path) -> None:
    other = interpreter(tmp_path / "other")
    python.unlink()
    assert clone.stale()
    assert clone.make(other) == f"titan: making .venv with {other} anew: its interpreter does not run\n"


def test_a_clone_that_was_moved_has_its_environment_made_anew(clone: Clone, python: Path, tmp_path: Path) -> None:
    clone.folder = clone.folder.rename(tmp_path / "moved")
    assert clone.stale()
    assert clone.make(python) == f"titan: making .venv with {python} anew: it was made in another folder\n"


def test_only_a_given_python_replaces_one_that_runs(clone: Clone, python: Path, tmp_path: Path) -> None:
    other = interpreter(tmp_path / "python3.12", "3.12")
    assert clone.make(other) == ""
    assert clone.stale(other)
    assert clone.make(other, "given") == f"titan: making .venv with {other} anew: it has {python}\n"


def test_an_environment_of_an_old_python_is_replaced(clone: Clone, python: Path) -> None:
    interpreter(python, "3.9")
    assert clone.stale()
    new = interpreter(clone.folder / "new")
    assert clone.make(new) == f"titan: making .venv with {new} anew: it has Python 3.9\n"


def test_an_environment_from_before_the_stamp_is_kept(clone: Clone, python: Path) -> None:
    stamp = clone.folder / ".venv/bin/.environment"
    stamp.write_text("")
    assert clone.stale()
    assert clone.make(python) == ""
    # As old as the environment, so that nothing is installed again.
    assert stamp.stat().st_mtime == (clone.folder / ".venv/pyvenv.cfg").stat().st_mtime


def test_an_interrupted_making_is_done_again(clone: Clone, python: Path) -> None:
    (clone.folder / ".venv/bin/pip").unlink()
    assert clone.make(python) == f"titan: making .venv with {python} anew: its making was interrupted\n"


@pytest.mark.parametrize(
    ("version", "bare", "message"),
    [
        ("3.9", 0, "PYTHON={}: is Python 3.9; allowed is the name or path of a Python 3.11 or newer"),
        ("3.11", 1, "{} comes without venv and pip; install them (Debian, Ubuntu: apt-get install python3-venv)"),
        (None, 0, "PYTHON={}: does not run; allowed is the name or path of a Python 3.11 or newer"),
    ],
)
def test_a_python_that_does_not_fit_is_refused(tmp_path: Path, version: str | None, bare: int, message: str) -> None:
    python = tmp_path / "python"
    if version:
        interpreter(python, version, bare)
    done = Clone(tmp_path / "clone").run("make", ".venv", python, "given")
    assert (done.returncode, done.stderr) == (1, f"titan: {message.format(python)}\n")


def test_an_interruption_is_one_line(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "python", interrupt="echo Traceback >&2; kill -INT 0; exit 1")
    done = Clone(tmp_path / "clone").run("make", ".venv", python)
    assert done.returncode == 130
    assert done.stderr.splitlines() == [
        f"titan: making .venv with {python}",
        "titan: .venv: interrupted; the same command goes on",
    ]


@pytest.mark.parametrize(("target", "made"), [("install", True), ("help", False)])
def test_make_asks_only_where_it_installs(tmp_path: Path, target: str, made: bool) -> None:
    for name in ("Makefile", "ci/environment.sh", "requirements.lock", "ci/install_lock.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "hatch_build.py"):
        (tmp_path / name).touch()
    make = shutil.which("make")
    assert make is not None
    python = interpreter(tmp_path / "python")

    def run() -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        command = [make, target, f"PYTHON={python}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert run() == (f"titan: making .venv with {python}\n" if made else "")
    assert (tmp_path / ".venv/bin/.titan").exists() == made
    # Everything is there.
    assert run() == ""
    (tmp_path / ".venv/bin/python").unlink(missing_ok=True)
    assert run() == (f"titan: making .venv with {python} anew: its interpreter does not run\n" if made else "")
    assert (tmp_path / ".venv/bin/.titan").exists() == made
