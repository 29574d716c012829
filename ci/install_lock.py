"""Install one lock file into the environment of the Python that runs this: ``python ci/install_lock.py LOCK``.

No resolver runs. A lock is complete: a resolver could only find what was released after it, and refuse that for having
no hash. The requirements of the packages are checked when all are installed.
"""

from __future__ import annotations

import csv
import os
import queue
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# Wheels only: pip fetches what builds a source distribution by name and without a hash.
FLAGS = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
_PLAIN = ("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off")
_REPORT_S = 5.0
_INTERRUPTED = 130
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_FILE = re.compile(r"\s+(?:Using cached|Downloading) (\S+?)-\S+\.whl \(([\d.]+) (bytes|kB|MB|GB)\)")
_BYTES = {"bytes": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def command(lock: Path) -> list[str]:
    """Return pip's command line for ``lock``."""
    return [sys.executable, "-m", "pip", "install", *_PLAIN, *FLAGS, "--requirement", str(lock)]


def pinned(lock: Path) -> list[str]:
    """Return the packages that ``lock`` pins, by normalized name; one of several versions is there several times."""
    return [_normalized(name) for name in _PIN.findall(lock.read_text())]


def repair(site: Path) -> list[str]:
    """Remove the records of packages whose installation was interrupted; pip would take them for installed.

    Parameters
    ----------
    site
        A ``site-packages`` folder.

    Returns
    -------
    list of str
        The names of the removed folders.
    """
    # A name that begins with ~ is what pip was about to replace.
    removed = [*site.glob("~*"), *(info for info in site.glob("*.dist-info") if not _complete(info))]
    for path in removed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return sorted(path.name for path in removed)


def _complete(info: Path) -> bool:
    record = info / "RECORD"
    if not record.is_file():
        return False
    with record.open(newline="") as file:
        names = [row[0] for row in csv.reader(file) if row]
    # pip adds INSTALLER to the list when all files are written. Bytecode may have been removed since.
    return f"{info.name}/INSTALLER" in names and all(
        name.endswith(".pyc") or (info.parent / name).exists() for name in names
    )


class _Progress:
    """Pip's progress, read from the lines that it prints."""

    def __init__(self, lock: Path) -> None:
        self.lock = lock.name
        self.total = len(pinned(lock))
        self.present = 0
        self.files = 0
        self.bytes = 0.0
        self.unpacking = False
        self._counted = False
        self.began_s = self._printed_s = time.monotonic()

    def read(self, line: str) -> None:
        if line.startswith("Ignoring "):
            # What the lock has for other systems and Pythons: pip says that first.
            self.total -= 1
            return
        if not self._counted and line.startswith(("Collecting", "Processing", "Requirement already satisfied")):
            self._counted = True
            say(f"{self.lock}: {self.total} packages into {os.path.relpath(sys.prefix)}")
        if line.startswith("Requirement already satisfied"):
            self.present += 1
        elif found := _FILE.match(line):
            self.files += 1
            self.bytes += float(found[2]) * _BYTES[found[3]]
        elif line.startswith("Installing collected packages"):
            self.unpacking = True

    def report(self) -> None:
        """Print a line where the last one is some seconds old."""
        if time.monotonic() - self._printed_s < _REPORT_S:
            return
        self._printed_s = time.monotonic()
        if self.unpacking:
            step = f"unpacking {self.total - self.present} packages"
        else:
            step = f"{self.present + self.files} of {self.total} packages at hand"
        say(f"{self.lock}: {step}, {self.size} fetched, {self.seconds} s")

    @property
    def size(self) -> str:
        return f"{self.bytes / 1e6:.0f} MB"

    @property
    def seconds(self) -> int:
        return round(time.monotonic() - self.began_s)


def install(lock: Path) -> bool:
    """Install what ``lock`` pins, with a line of progress every few seconds; return whether pip did it."""
    progress = _Progress(lock)
    kept: list[str] = []
    pip = subprocess.Popen(
        command(lock), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
    )
    try:
        for line in _lines(pip):
            if line is not None:
                kept.append(line)
                progress.read(line)
            progress.report()
    except KeyboardInterrupt:
        pip.terminate()
        raise
    finally:
        pip.wait()
    if pip.returncode != 0:
        errors = [line for line in kept if line.startswith("ERROR")] or kept[-20:]
        say(*errors, f"{lock.name}: pip ended with {pip.returncode}; the same command goes on where this one stopped")
        return False
    new = progress.total - progress.present
    there = f"; {progress.present} were there" if progress.present else ""
    say(f"{lock.name}: {new} packages installed, {progress.size}, {progress.seconds} s{there}")
    return True


def _environment() -> dict[str, str]:
    """Return the environment without what would silence pip, from whose lines progress is read."""
    return {name: value for name, value in os.environ.items() if name not in {"PIP_QUIET", "PIP_VERBOSE"}} | {
        "PYTHONUNBUFFERED": "1"
    }


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """Yield the lines of ``process`` until it closes its output, and None for each second without one."""
    assert process.stdout is not None
    output = process.stdout
    received: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in output:
            received.put(line.rstrip())
        received.put("\0")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = received.get(timeout=1)
        except queue.Empty:
            yield None
            continue
        if line == "\0":
            return
        yield line


def unmet(lock: Path) -> list[str]:
    """Return pip's lines about requirements of packages in ``lock`` that the environment does not meet.

    An environment may hold other packages too. Those are the matter of the lock that names them: between the updates of
    two locks they may be older than what they require.
    """
    check = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-color", "check"]
    names = set(pinned(lock))
    lines = subprocess.run(check, capture_output=True, text=True, check=False, env=_environment()).stdout.splitlines()
    return [line for line in lines if _normalized(line.split(" ", 1)[0]) in names]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def say(*lines: str) -> None:
    """Print lines for people."""
    for line in lines:
        print(f"titan: {line}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Install the lock file that is named; returns the exit code."""
    if len(arguments) != 1:
        say("install_lock: one argument, the lock file")
        return 2
    lock = Path(arguments[0])
    for site in {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))}:
        for name in repair(site):
            say(f"{name}: its installation was interrupted; it is installed again")
    try:
        if not install(lock):
            return 1
    except KeyboardInterrupt:
        say(f"{lock.name}: interrupted; the same command goes on where this one stopped")
        return _INTERRUPTED
    if missing := unmet(lock):
        say(*missing, f"{lock.name}: it is not complete; `make lock` makes it anew")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
