"""Other programs, run so that their failure is one sentence, and places where what they made is kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testcluster import toolchain

# Of each kind of thing, how many stay.
_KEPT = 16
_YOUNG_S = 3600.0
ROOT = Path(__file__).resolve().parents[2]


class ReleaseError(Exception):
    """Images cannot be made, pushed or signed; the message names the reason and what is missing."""


def say(line: str) -> None:
    """Tell who waits; standard output is for results."""
    print(f"images: {line}", file=sys.stderr, flush=True)


def run(
    program: str | Path,
    *arguments: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    within_s: float = 600,
) -> str:
    """Run a program and return what it printed.

    Raises
    ------
    ReleaseError
        It is missing, failed or took longer than ``within_s``; with the end of what it said.
    """
    name = Path(program).name
    try:
        done = subprocess.run(
            [str(program), *arguments],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            # Files of an image have modes of their own, not those of the building user.
            umask=0o022,
            capture_output=True,
            check=False,
            timeout=within_s,
        )
    except FileNotFoundError:
        raise ReleaseError(f"{name} is missing: ci/tools/apt installs what images need") from None
    except subprocess.TimeoutExpired:
        raise ReleaseError(f"{name} {' '.join(arguments[:2])}: not done within {within_s:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
        raise ReleaseError(f"{name} {' '.join(arguments[:2])}: exit code {done.returncode}: {said[-2000:]}")
    return done.stdout.decode(errors="replace")


def tool(name: str) -> Path:
    """Return where a pinned tool is, built when it is not there yet."""
    try:
        return toolchain.ensure((toolchain.BY_NAME[name],))[name]
    except toolchain.ToolchainError as error:
        raise ReleaseError(str(error)) from error


def sha256(path: Path) -> str:
    """Return the file's hash as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(*parts: str | bytes) -> str:
    """Return a name for what is made of these parts, and of these only."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


def cache(kind: str) -> Path:
    """Return the folder of one kind of thing: in ``TITAN_IMAGES_DIR``, or beside the pinned tools."""
    chosen = os.environ.get("TITAN_IMAGES_DIR")
    return (Path(chosen) if chosen else toolchain.cache_dir() / "images") / kind


@contextmanager
def made_once(kind: str, key: str, *, anew: bool = False) -> Iterator[tuple[Path, Path | None]]:
    """Give the folder of ``key``, and an empty one to fill where it is not there yet.

    What the caller put into the second becomes the first at the end of the block; nothing does when the block fails.
    Two processes that want the same wait for each other.
    """
    folder = cache(kind)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / key
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists() and not anew:
            # By this the oldest are known.
            os.utime(target)
            yield target, None
            return
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{key}.") as made:
            filling = Path(made) / "made"
            filling.mkdir()
            yield target, filling
            shutil.rmtree(target, ignore_errors=True)
            filling.rename(target)
        _forget(folder)


def _forget(folder: Path) -> None:
    """Remove what was not used for the longest time; a hundred megabytes an image add up."""
    made = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    now = time.time()
    for path in made[:-_KEPT]:
        # One that is young may be in use, or just being filled.
        if now - path.stat().st_mtime > _YOUNG_S:
            shutil.rmtree(path, ignore_errors=True)
