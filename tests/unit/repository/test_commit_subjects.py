"""The form of commit subjects, and which commits are held to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import commit_subjects
import pytest

GOOD = "execution: resend reduces after proof of absence"
BAD = "Commit: what was done, told at length."


@pytest.mark.parametrize(
    "subject",
    [
        GOOD,
        "cli, docs: print the version",
        "ci/tools: pin etcd 3.6",
        "operator: " + "x" * (72 - len("operator: ")),
    ],
)
def test_a_good_subject(subject: str) -> None:
    assert commit_subjects.faults(subject) == []


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("operator: " + "x" * 63, "73 characters; at most 72"),
        ("A pull Secret that is missing is named", "no area"),
        ("Operator: retry refused pods", "no area"),
        ("operator:retry refused pods", "no area"),
        ("operator: ", "no area"),
        ("", "no area"),
        ("operator: Retry refused pods", "the word after the colon"),
        ("operator: 'retry' pods", "a verb in lower case"),
        ("operator: retry refused pods.", "a period at the end"),
    ],
)
def test_a_bad_subject(subject: str, fault: str) -> None:
    (found,) = commit_subjects.faults(subject)
    assert fault in found


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, subject: str) -> str:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit from before the check, and the one that added it, on main."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, BAD)
    (folder / "ci").mkdir()
    (folder / "ci" / "commit_subjects.py").write_text("")
    git(folder, "add", "--all")
    commit(folder, BAD)
    return folder


def test_what_was_before_the_check_is_let_be(repository: Path) -> None:
    assert commit_subjects.main([], repository) == 0
    commit(repository, GOOD)
    assert commit_subjects.main([], repository) == 0


def test_a_bad_commit_on_main_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = commit(repository, BAD)
    commit(repository, GOOD)
    assert commit_subjects.main([], repository) == 1
    assert capsys.readouterr().err.startswith(f"{bad[:7]} 'Commit: what")


def test_on_a_branch_only_its_own_commits_are_held_to_it(repository: Path, tmp_path: Path) -> None:
    commit(repository, BAD)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "switch", "--quiet", "--create", "branch")
    commit(clone, GOOD)
    assert commit_subjects.main([], clone) == 0
    commit(clone, BAD)
    assert commit_subjects.main([], clone) == 1


def test_a_base_is_taken_as_it_is(repository: Path) -> None:
    base = commit(repository, BAD)
    commit(repository, GOOD)
    assert commit_subjects.main([base], repository) == 0
    assert commit_subjects.main([f"{base}~1"], repository) == 1
    with pytest.raises(subprocess.CalledProcessError):
        commit_subjects.main(["nothing"], repository)


@pytest.mark.parametrize(("depth", "code"), [(1, 0), (2, 0), (3, 1)])
def test_a_cut_history_is_checked_as_far_as_it_goes(repository: Path, tmp_path: Path, depth: int, code: int) -> None:
    commit(repository, BAD)
    commit(repository, GOOD)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", f"--depth={depth}", f"file://{repository}", str(clone))
    assert commit_subjects.main([], clone) == code


def test_without_git_nothing_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commit_subjects.main([], tmp_path) == 0
    assert "skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (f"{GOOD}\n\nWhy: it was sent twice.\n", 0),
        (f"\n# a comment\n{GOOD}\n# ------------------------ >8 ------------------------\n{BAD}\n", 0),
        (f"{BAD}\n\n{GOOD}\n", 1),
        ("# nothing\n", 1),
    ],
)
def test_a_message(tmp_path: Path, message: str, code: int) -> None:
    (tmp_path / "message").write_text(message)
    assert commit_subjects.main(["--message", str(tmp_path / "message")]) == code
