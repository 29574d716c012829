"""The command by which the Makefile installs a lock file, on toy packages and a local index."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import install_lock
import pip
import pytest
from releasing.commands import ROOT

SCRIPT = ROOT / "ci" / "install_lock.py"


def wheel(folder: Path, name: str, version: str, *metadata: str) -> str:
    """Make a package of one module; return its line in a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (*files.items(), (f"{info}/RECORD", record)):
            archive.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Toy:
    """An environment that has pip and nothing else, and an index of two packages: app wants base[fast]."""

    def __init__(self, folder: Path) -> None:
        self.index = folder / "index"
        self.index.mkdir()
        self.app = wheel(self.index, "app", "1.0", "Requires-Dist: base[fast]")
        self.base = wheel(self.index, "base", "1.0", "Provides-Extra: fast")
        # Released after the lock was made, and not part of it.
        wheel(self.index, "base", "2.0", "Provides-Extra: fast")
        self.lock = folder / "toy.lock"
        self.lock.write_text(self.app + self.base)
        environment = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        self.python = environment / "bin" / "python"
        (self.site,) = environment.glob("lib/python*/site-packages")
        # The installed pip, without its neighbors.
        (folder / "pip").mkdir()
        (folder / "pip" / "pip").symlink_to(Path(pip.__file__).parent)
        (self.site / "pip.pth").write_text(str(folder / "pip"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        own = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index)}
        return subprocess.run(
            [str(self.python), *arguments], env=plain | own, capture_output=True, text=True, check=False
        )

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.run(str(SCRIPT), str(self.lock))

    def version(self, name: str) -> str:
        return self.run("-c", f"import {name}; print({name}.VERSION)").stdout.strip()

    def installed(self) -> set[str]:
        return {folder.name for folder in self.site.glob("*.dist-info")}


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_a_newer_release_with_an_extra_changes_nothing(toy: Toy) -> None:
    done = toy.install()
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert toy.installed() == {"app-1.0.dist-info", "base-1.0.dist-info"}
    assert (toy.version("app"), toy.version("base")) == ("1.0", "1.0")
    assert "toy.lock: 2 packages into " in done.stderr
    assert "toy.lock: 2 packages installed, 0 MB" in done.stderr
    assert "Collecting" not in done.stderr


def test_a_resolver_refuses_the_same_lock(toy: Toy) -> None:
    resolving = [word for word in install_lock.command(toy.lock) if word != "--no-deps"]
    done = toy.run(*resolving[1:])
    assert done.returncode != 0
    assert "base[fast]" in done.stderr
    assert toy.installed() == set()


def test_a_lock_that_lacks_a_requirement_fails(toy: Toy) -> None:
    toy.lock.write_text(toy.app)
    done = toy.install()
    assert done.returncode == 1
    assert "app 1.0 requires base, which is not installed" in done.stderr
    assert "toy.lock: it is not complete" in done.stderr


def test_a_package_of_another_lock_is_not_judged(toy: Toy) -> None:
    toy.lock.write_text(toy.app)
    toy.install()
    toy.lock.write_text(wheel(toy.index, "other", "1.0"))
    assert toy.install().returncode == 0


def test_a_wrong_hash_is_refused_and_said(toy: Toy) -> None:
    toy.lock.write_text(f"{toy.app}base==1.0 --hash=sha256:{'0' * 64}\n")
    done = toy.install()
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert toy.installed() == set()


def test_a_source_distribution_is_not_built(toy: Toy) -> None:
    (toy.index / "base-1.0-py3-none-any.whl").unlink()
    source = toy.index / "base-1.0.tar.gz"
    source.write_bytes(b"never opened")
    toy.lock.write_text(f"{toy.app}base==1.0 --hash=sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}\n")
    done = toy.install()
    assert done.returncode == 1
    assert "No matching distribution found for base==1.0" in done.stderr


def test_a_second_time_nothing_is_fetched(toy: Toy) -> None:
    toy.install()
    shutil.rmtree(toy.index)
    toy.index.mkdir()
    done = toy.install()
    assert done.returncode == 0
    assert "0 packages installed, 0 MB, " in done.stderr
    assert "2 were there" in done.stderr


def test_an_interrupted_installation_is_repaired(toy: Toy) -> None:
    toy.install()
    record = toy.site / "base-1.0.dist-info" / "RECORD"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if "INSTALLER" not in line))
    (toy.site / "base.py").unlink()
    done = toy.install()
    assert done.returncode == 0
    assert "base-1.0.dist-info: its installation was interrupted" in done.stderr
    assert "app-1.0.dist-info" not in done.stderr
    assert toy.version("base") == "1.0"


@pytest.mark.parametrize(
    ("description", "files", "removed"),
    [
        ("complete", {}, []),
        ("bytecode was removed since", {"__pycache__/a.pyc": None}, []),
        ("a file of it was not written", {"a.py": None}, ["a-1.dist-info"]),
        ("its list of files is the wheel's own", {"a-1.dist-info/RECORD": "a.py,,\n"}, ["a-1.dist-info"]),
        ("it has no list of files", {"a-1.dist-info/RECORD": None}, ["a-1.dist-info"]),
        ("pip was replacing a package", {"~/a.py": ""}, ["~"]),
        ("pip was replacing a module", {"~.py": ""}, ["~.py"]),
    ],
)
def test_what_was_interrupted_is_removed(
    tmp_path: Path, description: str, files: dict[str, str | None], removed: list[str]
) -> None:
    record = "a.py,,\n__pycache__/a.pyc,,\na-1.dist-info/INSTALLER,,\n"
    names = {"a.py": "", "__pycache__/a.pyc": "", "a-1.dist-info/INSTALLER": "pip", "a-1.dist-info/RECORD": record}
    for name, text in (names | files).items():
        if text is not None:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
    assert install_lock.repair(tmp_path) == removed, description
    assert not any((tmp_path / name).exists() for name in removed)


@pytest.mark.parametrize("arguments", [[], ["a.lock", "b.lock"]])
def test_it_takes_one_lock(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert install_lock.main(arguments) == 2
    assert "one argument" in capsys.readouterr().err
