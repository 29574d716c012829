"""Source of the images: the repository's files, their commit, and its time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from releasing.commands import ROOT, ReleaseError, run

# Files from which the wheel is built.
WHEEL = ("services", "operator", "protos", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE")
_ALL = ("images/Dockerfile", "ci/releasing/base.py", "ci/releasing/build.py", "ci/releasing/context.py")
_PYTHON = (*WHEEL, *_ALL, "requirements.lock", "images/install", "images/installer.lock")
# A commit that touches none of an image's makes the same image, to the byte.
INPUTS = {
    "operator": (*_PYTHON, "images/operator.lock"),
    "services": (*_PYTHON, "images/services.lock"),
    "postgresql": (*_ALL, "images/parts/postgresql"),
    "nats": (*_ALL, "ci/tools/nats"),
}


@dataclass(frozen=True)
class Source:
    """One state of an image's inputs.

    Parameters
    ----------
    revision
        The last commit that changed an input; with ``-dirty`` where files differ from it.
    epoch_s
        When that was, in seconds since 1970: every time in an image is this one.
    dirty
        An input is not as committed.
    shallow
        The history is cut, so an older commit may be the right one.
    """

    revision: str
    epoch_s: int
    dirty: bool
    shallow: bool


def source(target: str, root: Path = ROOT) -> Source:
    """Ask Git about what the image of that name is made of.

    Raises
    ------
    ReleaseError
        ``root`` is no Git work tree, or no commit has any input.
    """
    said = _git(root, "log", "-1", "--format=%H %ct", "--", *INPUTS[target]).split()
    if len(said) != 2:
        raise ReleaseError(f"{root}: no commit here touches {', '.join(INPUTS[target])}")
    dirty = bool(_git(root, "status", "--porcelain", "--", *INPUTS[target]).strip())
    shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    return Source(said[0] + ("-dirty" if dirty else ""), int(said[1]), dirty, shallow)


def copy_files(target: Path, names: tuple[str, ...], root: Path = ROOT) -> None:
    """Copy what Git has or would take: nothing generated, no cache, nothing that a build in place would disturb."""
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *names)
    for name in filter(None, listed.split("\0")):
        # A file that was removed and not yet committed so is still listed.
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target / name)


def _git(root: Path, *arguments: str) -> str:
    return run("git", "-C", str(root), *arguments)
