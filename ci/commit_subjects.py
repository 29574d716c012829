"""Check the subjects of commits: ``area: imperative``, in at most 72 characters.

``ci/commit_subjects.py`` checks the commits that main does not have; on main, those since this file exists.
``ci/commit_subjects.py BASE`` checks the commits after BASE. ``ci/commit_subjects.py --message FILE`` checks a message
that Git is about to take.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

LONGEST = 72
_FORM = re.compile(r"[a-z0-9_, ./-]+: \S")
# From here on, a message that `git commit --verbose` offers holds the change.
_SCISSORS = re.compile(r"^# -+ >8 -+$", re.MULTILINE)
_OWN = "ci/commit_subjects.py"


def faults(subject: str) -> list[str]:
    """Return what is wrong with ``subject``, as value and what is allowed."""
    found = []
    if len(subject) > LONGEST:
        found.append(f"{len(subject)} characters; at most {LONGEST} are allowed")
    form = _FORM.match(subject)
    if form is None:
        return [*found, "no area; the form is `area: imperative`, the area in lower case"]
    if not subject[form.end() - 1].islower():
        found.append("the word after the colon; a verb in lower case is allowed")
    if subject.endswith("."):
        found.append("a period at the end; none is allowed")
    return found


def subject_of(message: str) -> str:
    """Return the first line of a commit message that is neither empty nor a comment."""
    lines = _SCISSORS.split(message)[0].splitlines()
    return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")


def subjects(root: Path, base: str | None) -> list[tuple[str, str]]:
    """Return abbreviated hash and subject of each commit to check, merges left out.

    Parameters
    ----------
    root
        A Git work tree. In a shallow one the oldest commit counts as the one that added this file.
    base
        The last commit that is not checked; None for main's, or for the one that added this file.

    Raises
    ------
    subprocess.CalledProcessError
        Git does not know ``base``.
    """
    if base is not None:
        return _log(root, f"{base}..HEAD")
    added = _git(root, "log", "--diff-filter=A", "--format=%H", "--", _OWN).split()
    if not added:
        return []
    since = f"^{added[-1]}"
    main = _git(root, "for-each-ref", "--format=%(objectname)", "refs/remotes/origin/main").strip()
    own = _log(root, "HEAD", since, f"^{main}") if main else []
    return own or _log(root, "HEAD", since)


def _log(root: Path, *revisions: str) -> list[tuple[str, str]]:
    lines = _git(root, "log", "--no-merges", "--format=%h%x00%s", *revisions, "--").splitlines()
    return [(commit, subject) for commit, _, subject in (line.partition("\0") for line in lines)]


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main(arguments: list[str], root: Path = Path(__file__).parents[1]) -> int:
    """Print one line for each fault; returns the exit code."""
    parser = argparse.ArgumentParser(prog="commit_subjects", description="Check the subjects of commits.")
    parser.add_argument("base", nargs="?", help="check the commits after this one")
    parser.add_argument("--message", metavar="FILE", type=Path, help="check a message that Git is about to take")
    options = parser.parse_args(arguments)
    if options.message is not None:
        checked = [("message", subject_of(options.message.read_text()))]
    elif not (root / ".git").exists():
        print("commit_subjects: no Git work tree; skipped", file=sys.stderr)
        return 0
    else:
        checked = subjects(root, options.base)
    found = [f"{commit} {subject!r}: {fault}" for commit, subject in checked for fault in faults(subject)]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
