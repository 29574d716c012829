"""What of the repository goes into an image, and of which commit it says that it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from releasing.commands import ROOT, ReleaseError
from releasing.source import INPUTS, WHEEL, copy_files, source

EPOCH_S = 1_700_000_000


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _commit(folder: Path, number: int, **files: str) -> str:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _git(folder, "add", "--all")
    stamp = f"{EPOCH_S + number} +0100"
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", str(number)],
        cwd=folder,
        check=True,
        env={"PATH": "/usr/bin:/bin", "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp, "HOME": str(folder)},
    )
    assert done.returncode == 0
    return _git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("generated/\n")
    return tmp_path


def test_a_commit_that_touches_no_input_is_none_of_an_image(repository: Path) -> None:
    code = _commit(repository, 1, services__a="1", images__Dockerfile="FROM scratch")
    _commit(repository, 2, docs__a="1")
    found = source("services", repository)
    assert (found.revision, found.epoch_s, found.dirty, found.shallow) == (code, EPOCH_S + 1, False, False)
    assert source("nats", repository).revision == code


def test_each_image_has_its_own_inputs(repository: Path) -> None:
    first = _commit(repository, 1, services__a="1", images__Dockerfile="FROM scratch")
    later = _commit(repository, 2, services__a="2")
    assert source("services", repository).revision == later
    assert source("postgresql", repository).revision == first


@pytest.mark.parametrize(("name", "dirty"), [("services/a", True), ("services/new", True), ("docs/a", False)])
def test_a_changed_input_is_told(repository: Path, name: str, dirty: bool) -> None:
    code = _commit(repository, 1, services__a="1", docs__a="1")
    (repository / name).write_text("changed")
    found = source("services", repository)
    assert (found.dirty, found.revision) == (dirty, f"{code}-dirty" if dirty else code)


def test_a_cut_history_is_told(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    _commit(repository, 1, services__a="1")
    _commit(repository, 2, docs__a="1")
    target = tmp_path_factory.mktemp("shallow") / "clone"
    _git(repository, "clone", "--quiet", "--depth=1", f"file://{repository}", str(target))
    assert source("services", target).shallow


def test_no_commit_with_an_input(repository: Path) -> None:
    _commit(repository, 1, docs__a="1")
    with pytest.raises(ReleaseError, match="no commit here touches services"):
        source("services", repository)


def test_what_is_generated_is_not_copied(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    _commit(repository, 1, services__a="1", services__gone="1", services__generated__b="1", docs__a="1")
    (repository / "services" / "new").write_text("1")
    (repository / "services" / "gone").unlink()
    target = tmp_path_factory.mktemp("copy")
    copy_files(target, ("services",), repository)
    assert {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()} == {
        "services/a",
        "services/new",
    }


def test_every_input_is_there() -> None:
    for names in (WHEEL, *INPUTS.values()):
        assert [name for name in names if not (ROOT / name).exists()] == []
