"""The state directory of a local stack: its paths, its lock, and whether it can be written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from titan.cli.errors import BadInput

DEFAULT = ".titan"
# Space for the first journal, databases and logs. A start with less would end half-way.
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
        """The plan of the last ``titan up``: the stack's processes and addresses."""
        return self.path / "plan.json"

    @property
    def processes(self) -> Path:
        """The last state of each process, as the supervisor saw it."""
        return self.path / "processes.json"

    @property
    def lock(self) -> Path:
        """The lock of the ``titan up`` that runs here; its content is the process id."""
        return self.path / "lock"

    def folder(self, process: str) -> Path:
        """A process's own folder."""
        return self.path / process

    def log(self, process: str) -> Path:
        """The standard error of a process."""
        return self.folder(process) / "log.jsonl"

    def read_plan(self) -> dict[str, Any]:
        """Read the last plan.

        Raises
        ------
        BadInput
            When the file is missing, or is no plan.
        """
        try:
            plan = json.loads(self.plan.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(f"--state: {self.path} holds no stack; {start_command(self.path)} makes one") from error
        except OSError as error:
            raise BadInput(f"{self.plan}: cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise BadInput(f"{self.plan}: cannot be read: it is not JSON; `titan up` writes it again") from error
        if not isinstance(plan, dict):
            raise BadInput(f"{self.plan}: holds no plan; `titan up` writes it again")
        return plan

    def supervisor_pid(self) -> int | None:
        """Process id of the ``titan up`` that runs here; None when none runs."""
        try:
            with self.lock.open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read().strip()
                    return int(text) if text.isdigit() else -1
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unwritable(self.path, error) from error
        return None

    def refuse_second(self) -> None:
        """Refuse a directory that another ``titan up`` holds now, without any change on disk.

        Raises
        ------
        BadInput
            With its process id.
        """
        pid = self.supervisor_pid()
        if pid is not None:
            raise self._in_use(str(pid))

    def _in_use(self, pid: str) -> BadInput:
        return BadInput(
            f"--state: {self.path} is in use by another `titan up` (process {pid}); "
            "stop it with `titan down`, or name another directory"
        )

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the directory, hold its lock, and check that it can be written.

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
                raise self._in_use(os.pread(descriptor, 32, 0).decode().strip()) from error
            try:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                _check_space(self.path)
            except OSError as error:
                raise unwritable(self.path, error) from error
            yield
        finally:
            os.close(descriptor)


def start_command(path: Path) -> str:
    """A command that works as it stands: it starts the demo's stack in ``path``."""
    return f"`titan up -f policies/demo.yaml -f examples/quickstart.yaml --state {shlex.quote(str(path))}`"


def unwritable(path: Path, error: OSError) -> BadInput:
    """Describe in one sentence why a state directory cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BadInput(f"--state: {path} is full; {NEEDED_BYTES >> 20} MB must be free")
    return BadInput(f"--state: {path} cannot be written: {error.strerror or error}")


def locate(option: Path | None) -> State:
    """Select the state directory of a command: ``--state``, else TITAN_STATE, else ``.titan``."""
    return State(Path(option or os.environ.get("TITAN_STATE") or DEFAULT))


def _check_space(path: Path) -> None:
    probe = path / ".space"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, NEEDED_BYTES)
    finally:
        os.close(descriptor)
        probe.unlink()
