"""Local processes under one supervisor: started by exec, restarted with back-off, stopped in order.

Each process has a process group of its own, so that a Ctrl-C in the terminal reaches the supervisor only. It dies with
the supervisor (:mod:`titan.cli.local.child`). Its output goes directly to its log file.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from titan.cli.errors import BAD_INPUT
from titan.cli.local import child
from titan.cli.local.health import fetch_health
from titan.cli.local.restart import Restarts

_POLL_STARTING_S = 0.05
_POLL_READY_S = 1.0
# Time for a process to stop by itself.
STOP_S = 8.0
_LOG_TAIL_BYTES = 16_384
_LOG_BYTES = 64 << 20
_CONSOLE_REASON = re.compile(r"""reason=(?P<quote>['"])(?P<reason>.*?)(?P=quote)""")


class ProcessState(StrEnum):
    """State of one process."""

    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RESTARTING = "restarting"
    CRASH_LOOP = "crash loop"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class Supervised:
    """One process: its command and its state. ``note`` is the reason why it is not ready."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    url: str
    state: ProcessState = ProcessState.STOPPED
    note: str = ""
    pid: int = 0
    # UTC at which it came into its state.
    since: str = ""
    restarts: Restarts = field(default_factory=Restarts)
    # Whether it was ready since its last start.
    was_ready: bool = False

    def document(self) -> dict[str, object]:
        """Make its entry of ``processes.json``."""
        return {
            "name": self.name,
            "pid": self.pid,
            "state": self.state.value,
            "since": self.since,
            "restarts": self.restarts.total,
            "note": self.note,
        }


class Supervisor:
    """Supervision of processes until :meth:`stop`. ``on_change`` is called at each change of a state or note."""

    def __init__(self, processes: Sequence[Supervised], on_change: Callable[[Supervised], None]) -> None:
        self.processes = {process.name: process for process in processes}
        self._on_change = on_change
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._runners: dict[str, asyncio.Task[None]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    def start(self, names: Sequence[str]) -> None:
        """Start processes at the same time, and keep them running."""
        loop = asyncio.get_running_loop()
        for name in names:
            process = self.processes[name]
            self._runners[name] = loop.create_task(self._keep(process), name=f"keep {name}")
            self._watchers.append(loop.create_task(self._watch(process), name=f"watch {name}"))
            for task in (self._runners[name], self._watchers[-1]):
                task.add_done_callback(lambda _task: self._wake())

    async def wait_ready(self, names: Sequence[str], timeout_s: float, *, until_hopeless: bool = False) -> bool:
        """Wait until every named process is ready; return False when one has failed or time is up.

        Parameters
        ----------
        until_hopeless
            Also end the wait when another start of one of them will not help.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not all(self.processes[name].state is ProcessState.READY for name in names):
                    if self.failed or self.broken is not None or (until_hopeless and self.hopeless):
                        return False
                    await self.next_change()
        except TimeoutError:
            return False
        return True

    def next_change(self) -> asyncio.Future[None]:
        """Return a future that completes at the next change of any process after this call."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    @property
    def failed(self) -> list[Supervised]:
        """Processes that are not started again."""
        return [process for process in self.processes.values() if process.state is ProcessState.FAILED]

    @property
    def hopeless(self) -> list[Supervised]:
        """Processes that another start will not help."""
        return [process for process in self.processes.values() if process.restarts.hopeless]

    @property
    def broken(self) -> BaseException | None:
        """The exception that ended a task of the supervisor, if any: a defect of this program."""
        tasks = (*self._runners.values(), *self._watchers)
        ended = [task for task in tasks if task.done() and not task.cancelled()]
        return next((error for task in ended if (error := task.exception()) is not None), None)

    async def stop(self, order: Sequence[str]) -> None:
        """Stop processes one after another, in ``order``; kill each that does not stop within its time."""
        self._stopping.set()
        for watcher in self._watchers:
            watcher.cancel()
        for name in order:
            keeper = self._runners.get(name)
            if keeper is None:
                continue
            self._signal(name, signal.SIGTERM)
            _, late = await asyncio.wait([keeper], timeout=STOP_S)
            if late:
                self._signal(name, signal.SIGKILL)
                await asyncio.wait([keeper])

    def kill(self) -> None:
        """Kill every process at once."""
        for name in self._children:
            self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> None:
        running = self._children.get(name)
        if running is not None and running.returncode is None:
            running.send_signal(number)

    def _set(self, process: Supervised, state: ProcessState, note: str = "") -> None:
        if (process.state, process.note) != (state, note):
            if process.state is not state:
                process.since = datetime.now(UTC).isoformat(timespec="seconds")
            process.state, process.note = state, note
            self._on_change(process)
            self._wake()

    async def _keep(self, process: Supervised) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            log_begins = process.log.stat().st_size if process.log.exists() else 0
            code = await self._run(process)
            if self._stopping.is_set():
                break
            reason = last_reason(process.log, log_begins)
            if code == BAD_INPUT:
                self._set(process, ProcessState.FAILED, reason or exit_text(code))
                return
            now_s = time.monotonic()
            delay_s = process.restarts.ended(now_s, now_s - began_s, process.was_ready, killed=code < 0)
            looping = process.restarts.crash_loop(now_s)
            state = ProcessState.CRASH_LOOP if looping else ProcessState.RESTARTING
            note = f"{exit_text(code)}{': ' if reason else ''}{reason}"
            self._set(process, state, f"{note}; again in {delay_s:g} s")
            try:
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        self._set(process, ProcessState.STOPPED)

    async def _run(self, process: Supervised) -> int:
        process.was_ready = False
        # Settings come from the plan only. GRPC_VERBOSITY is for the command line: with it a process would not log
        # failed handshakes.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TITAN_") and name != "GRPC_VERBOSITY"
        }
        # Somebody may have deleted the folder: the process then says what it misses, and the others go on.
        process.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotate(process.log)
        with process.log.open("ab") as log:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", child.__file__, str(os.getpid()), *process.argv),
                env={**environment, **process.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._children[process.name] = running
        process.pid = running.pid
        self._set(process, ProcessState.STARTING)
        if self._stopping.is_set():
            running.terminate()
        code = await running.wait()
        del self._children[process.name]
        process.pid = 0
        return code

    async def _watch(self, process: Supervised) -> None:
        while process.state is not ProcessState.FAILED:
            if process.pid:
                pid = process.pid
                health = await fetch_health(process.url)
                # The process may have ended or restarted during the request.
                if process.pid == pid:
                    self._apply_health(process, health.ready, "; ".join(health.reasons))
            ready = process.state is ProcessState.READY
            await asyncio.sleep(_POLL_READY_S if ready else _POLL_STARTING_S)

    def _apply_health(self, process: Supervised, ready: bool, reasons: str) -> None:
        if ready:
            process.was_ready = True
            self._set(process, ProcessState.READY)
        elif process.was_ready:
            self._set(process, ProcessState.NOT_READY, reasons)
        elif process.state is ProcessState.STARTING:
            self._set(process, ProcessState.STARTING, reasons)


def exit_text(code: int) -> str:
    """Describe an exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def last_reason(log: Path, begins: int = 0) -> str:
    """Find why a process ended in its log from offset ``begins`` on: the last reason, else the last line."""
    lines = _tail(log, begins)
    for line in reversed(lines):
        if reason := _reason(line):
            return reason
    # A program that failed before it could log leaves the last line of a trace.
    return lines[-1] if lines and not lines[-1].startswith("{") else ""


def rotate(log: Path) -> None:
    """Rename a log that has grown large before a process appends to it."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def _reason(line: str) -> str:
    try:
        document = json.loads(line)
    except ValueError:
        match = _CONSOLE_REASON.search(line)
        return match["reason"] if match else ""
    is_error = isinstance(document, dict) and document.get("level", "error") == "error"
    return str(document.get("reason", "")) if is_error else ""


def _tail(log: Path, begins: int) -> list[str]:
    if not log.exists():
        return []
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_TAIL_BYTES, min(begins, size)))
        return [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
