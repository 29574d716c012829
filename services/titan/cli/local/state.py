"""The state directory of a local stack: where everything lies, who runs it, and whether it can be written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from titan.cli.errors import BadInput, Unreachable

DEFAULT = ".titan"
# Enough for the journal, the databases and the logs to begin with; a start with less would end half-way.
NEEDED_BYTES = 32 << 20


@dataclass(frozen=True)
class State:
    """Paths below one state directory."""

    path: Path

    @property
    def authority(self) -> Path:
        """The stack's certificate authority."""
        return self.path / "ca"

    @property
    def client(self) -> Path:
        """The command line's own certificate."""
        return self.path / "cli"

    @property
    def plan(self) -> Path:
        """What the stack is made of, as planned by the last ``titan up``."""
        return self.path / "plan.json"

    @property
    def processes(self) -> Path:
        """What the supervisor last saw of each process."""
        return self.path / "processes.json"

    @property
    def lock(self) -> Path:
        """Held by the ``titan up`` that runs here; its content is that one's process id."""
        return self.path / "lock"

    def folder(self, process: str) -> Path:
        """A process's own folder."""
        return self.path / process

    def log(self, process: str) -> Path:
        """What a process writes to its standard error."""
        return self.folder(process) / "log.jsonl"

    def read_plan(self) -> dict[str, Any]:
        """The last plan.

        Raises
        ------
        BadInput
            When there is none, or it is no plan.
        """
        try:
            plan = json.loads(self.plan.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(f"--state: {self.path} holds no stack; `titan up --state {self.path}` makes one") from error
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.plan}: cannot be read: {error}") from error
        if not isinstance(plan, dict):
            raise BadInput(f"{self.plan}: no plan; allowed is what `titan up` wrote")
        return plan

    def supervisor_pid(self) -> int | None:
        """Process id of the ``titan up`` that runs here; None when none does."""
        try:
            with self.lock.open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read().strip()
                    return int(text) if text.isdigit() else -1
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the directory, hold its lock, and prove that it can be written.

        Raises
        ------
        BadInput
            When another ``titan up`` runs here, or the directory cannot be written or is full.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                pid = os.pread(descriptor, 32, 0).decode().strip()
                raise BadInput(
                    f"--state: {self.path} is in use by another `titan up` (process {pid}); "
                    "stop it with `titan down`, or name another directory"
                ) from error
            try:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                _prove_space(self.path)
            except OSError as error:
                raise unwritable(self.path, error) from error
            yield
        finally:
            os.close(descriptor)


def unwritable(path: Path, error: OSError) -> BadInput:
    """One sentence for a state directory that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BadInput(f"--state: {path} is full; {NEEDED_BYTES >> 20} MB must be free")
    return BadInput(f"--state: {path} cannot be written: {error.strerror or error}")


def locate(option: Path | None) -> State:
    """The state directory that a command means: ``--state``, else TITAN_STATE, else ``.titan``."""
    return State(Path(option or os.environ.get("TITAN_STATE") or DEFAULT))


def stack_running(state: State) -> None:
    """Raise :class:`Unreachable` when no ``titan up`` runs on ``state``."""
    if state.supervisor_pid() is None:
        raise Unreachable(f"no stack runs on {state.path}; start it with `titan up --state {state.path}`")


def _prove_space(path: Path) -> None:
    probe = path / ".space"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, NEEDED_BYTES)
    finally:
        os.close(descriptor)
        probe.unlink()
