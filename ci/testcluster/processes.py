"""Local processes in one folder, each with a log and a pid file. They end with their starter, also if it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READY_WITHIN_S = 180.0
# A program, not Popen's preexec_fn: that forks, and the handlers of a fork that gRPC brings can end the child of
# whoever uses it before it becomes what was asked for.
_DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


class ClusterError(Exception):
    """A part of the cluster does not work; the message names it, with the end of its log."""


class Processes:
    """The processes of ``folder``.

    Parameters
    ----------
    folder
        Where each process works, and where ``NAME.log`` and ``NAME.pid`` are.
    enter
        Command before each program, for another network namespace.
    """

    def __init__(self, folder: Path, enter: Sequence[str] = ()) -> None:
        self.folder = folder
        self._enter = tuple(enter)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(
        self, name: str, program: Path | str, *flags: str, environment: Mapping[str, str] | None = None, out: int = 0
    ) -> None:
        """Start a process; ``environment`` is added to a small one, ``out`` is a descriptor for its output."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*_DIES_WITH_PARENT, *self._enter, str(program), *flags],
                stdout=out or log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **(environment or {})},
            )
        self._running[name] = process
        (self.folder / f"{name}.pid").write_text(f"{process.pid} {start_time(process.pid)}")

    def end(self, name: str, first: signal.Signals = signal.SIGTERM) -> None:
        """End one by a signal, and with force where that does not help within 10 s; nothing where it does not run."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(first)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def log(self, name: str) -> str:
        """Return the log of a process."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, what: str, holds: Callable[[], object], blame: str, within_s: float = READY_WITHIN_S) -> None:
        """Until ``holds()``.

        Raises
        ------
        ClusterError
            A process ended meanwhile, or it takes too long: with the end of the log of ``blame``.
        """
        deadline = time.monotonic() + within_s
        while not holds():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise ClusterError(f"{name} ended with {process.returncode}:\n{self.log(name)[-2000:]}")
            if time.monotonic() > deadline:
                tail = self.log(blame)[-2000:]
                raise ClusterError(f"not within {within_s:.0f} s: {what}; the log of {blame} ends:\n{tail}")
            time.sleep(0.1)


def end_leftovers(folder: Path) -> list[str]:
    """End what an earlier run in ``folder`` left running; return the names of what was ended."""
    ended = []
    for file in folder.glob("*.pid"):
        pid, _, started = file.read_text().partition(" ")
        # The number may be another process's by now: compare the time of its start.
        if pid and started and start_time(int(pid)) == started:
            os.kill(int(pid), signal.SIGKILL)
            while start_time(int(pid)) == started:
                time.sleep(0.02)
            ended.append(file.stem)
        file.unlink()
    return ended


def start_time(pid: int) -> str:
    """The start of a process, in ticks since the machine's; empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
