"""One container as a process of this machine: started, probed, restarted and ended as its spec says."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from support.podrunner.api import Object
from support.podrunner.leftovers import guard_group, kill_group
from support.podrunner.spec import NotYetError

# Waits between two starts, in seconds: short, for tests wait for them. A container that lived so long starts afresh.
FIRST_BACKOFF_S, LAST_BACKOFF_S, LIVED_S = 0.2, 2.0, 10.0
# A container that is not ready is probed more often than its period, for the same reason.
EAGER_S = 0.25
_PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
# Ends with its parent, also when that is killed. The parent may have ended before it could be asked for.
_LAUNCH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(137)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""


@dataclass(frozen=True)
class Prepared:
    """A container to start: everything resolved and translated."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    address: str


@dataclass(eq=False)
class Container:
    """One container of a pod.

    Parameters
    ----------
    prepare
        Resolves what is to be started; raises :class:`NotYetError`.
    changed
        Called after each change of what a status would show.
    """

    spec: Object
    policy: str
    grace_s: float
    prepare: Callable[[Object], Prepared]
    changed: Callable[[], None]
    retry: Callable[[], asyncio.Event]
    state: dict[str, Any] = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    process: asyncio.subprocess.Process | None = None
    _address: str = ""
    _command: Prepared | None = None
    _since: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["name"])

    @property
    def exit_code(self) -> int | None:
        """How it ended for good; None while it has not."""
        return self.state["terminated"]["exitCode"] if "terminated" in self.state else None

    async def run(self) -> None:
        """Run it until it has ended and is not to be started again."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            prepared = await self._prepared()
            started = time.monotonic()
            code = await self._once(prepared)
            if self.policy == "Never" or (self.policy == "OnFailure" and code == 0):
                return
            if time.monotonic() - started > LIVED_S:
                backoff_s = FIRST_BACKOFF_S
            self.last = self.state
            self._show({"waiting": {"reason": "CrashLoopBackOff", "message": f"starts again in {backoff_s} s"}})
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
            self.restarts += 1

    async def _prepared(self) -> Prepared:
        while True:
            again = self.retry()
            try:
                return self.prepare(self.spec)
            except NotYetError as problem:
                self._show({"waiting": {"reason": problem.reason, "message": str(problem)}})
            await again.wait()

    async def _once(self, prepared: Prepared) -> int:
        self._command, self._address = prepared, prepared.address
        self.process = await spawn(prepared, prepared.command)
        self._since = now()
        self.started = not self.spec.get("startupProbe")
        self.ready = self.started and not self.spec.get("readinessProbe")
        self._show({"running": {"startedAt": self._since}})
        exited, care = asyncio.ensure_future(self.process.wait()), asyncio.ensure_future(self._care())
        try:
            await asyncio.wait({exited, care}, return_when=asyncio.FIRST_COMPLETED)
            why = ""
            if care.done():
                why = care.result()
                await self.end(self.grace_s)
            code = await exited
        finally:
            care.cancel()
            await asyncio.gather(care, return_exceptions=True)
        self._ended(code, why)
        return shown_code(code)

    async def end(self, grace_s: float, hurry: asyncio.Event | None = None) -> None:
        """Ask the process to end, and kill it after ``grace_s`` seconds, or as soon as ``hurry`` is set."""
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            exited = asyncio.ensure_future(process.wait())
            hurried = asyncio.ensure_future((hurry or asyncio.Event()).wait())
            try:
                await asyncio.wait({exited, hurried}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                hurried.cancel()
                kill_group(process.pid)
                await exited

    async def finish(self, grace_s: float, hurry: asyncio.Event | None = None) -> None:
        """End it for good, once nothing runs it any longer."""
        await self.end(grace_s, hurry)
        if self.process is not None and "running" in self.state:
            self._ended(await self.process.wait(), "")

    def _ended(self, code: int, why: str) -> None:
        assert self.process is not None
        # Its child processes end with it, as in a container.
        kill_group(self.process.pid)
        self.ready = self.started = False
        shown = shown_code(code)
        ended = {"exitCode": shown, "reason": "Completed" if shown == 0 else "Error", "startedAt": self._since}
        self._show({"terminated": {**ended, "finishedAt": now(), **({"message": why} if why else {})}})

    def _show(self, state: dict[str, Any]) -> None:
        if self.state != state:
            self.state = state
            self.changed()

    # Probes

    async def _care(self) -> str:
        """Probe until the container is to be restarted; return why."""
        if startup := self.spec.get("startupProbe"):
            problem = await self._start_up(startup)
            if problem:
                return f"startup probe failed: {problem}"
            self.started = True
            self.ready = not self.spec.get("readinessProbe")
            self.changed()
        readiness = asyncio.ensure_future(self._readiness())
        try:
            return await self._liveness()
        finally:
            readiness.cancel()
            await asyncio.gather(readiness, return_exceptions=True)

    async def _start_up(self, probe: Object) -> str:
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        deadline = time.monotonic() + probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
        while problem := await self._ask(probe):
            if time.monotonic() >= deadline:
                return problem
            await asyncio.sleep(min(EAGER_S, probe.get("periodSeconds", 10)))
        return ""

    async def _liveness(self) -> str:
        probe = self.spec.get("livenessProbe")
        if not probe:
            await asyncio.Event().wait()
            return ""
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        failures = 0
        while True:
            problem = await self._ask(probe)
            failures = failures + 1 if problem else 0
            if failures >= probe.get("failureThreshold", 3):
                return f"liveness probe failed: {problem}"
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def _readiness(self) -> None:
        probe = self.spec.get("readinessProbe")
        if not probe:
            return
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        failures = 0
        while True:
            failures = failures + 1 if await self._ask(probe) else 0
            ready = not failures or (self.ready and failures < probe.get("failureThreshold", 3))
            if ready != self.ready:
                self.ready = ready
                self.changed()
            period_s = probe.get("periodSeconds", 10)
            await asyncio.sleep(period_s if ready else min(EAGER_S, period_s))

    async def _ask(self, probe: Object) -> str:
        """Return the problem; empty when the probe succeeds."""
        timeout_s = probe.get("timeoutSeconds", 1)
        try:
            async with asyncio.timeout(timeout_s):
                if "httpGet" in probe:
                    return await self._get(probe["httpGet"])
                if "tcpSocket" in probe:
                    _, writer = await asyncio.open_connection(self._address, self._port(probe["tcpSocket"]["port"]))
                    writer.close()
                    return ""
                assert self._command is not None
                asked = await spawn(self._command, probe["exec"]["command"])
                try:
                    code = await asked.wait()
                finally:
                    kill_group(asked.pid)
                return f"exit code {code}" if code else ""
        except TimeoutError:
            return f"no answer in {timeout_s} s"
        except (aiohttp.ClientError, OSError) as error:
            return str(error)

    async def _get(self, target: Object) -> str:
        scheme, host = target.get("scheme", "HTTP").lower(), target.get("host") or self._address
        address = f"{scheme}://{host}:{self._port(target['port'])}{target.get('path', '/')}"
        headers = {item["name"]: item["value"] for item in target.get("httpHeaders") or ()}
        async with aiohttp.ClientSession() as session, session.get(address, headers=headers, ssl=False) as answer:
            text = (await answer.text())[:200]
            return "" if 200 <= answer.status < 400 else f"HTTP {answer.status}: {text}"

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(int(item["containerPort"]) for item in self.spec["ports"] if item.get("name") == port)


async def spawn(prepared: Prepared, command: Sequence[str]) -> asyncio.subprocess.Process:
    """Start a command in a process group of its own; what it says goes to the log."""
    program = shutil.which(command[0], path=_PATH) or command[0]
    environment = {"PATH": _PATH, "HOME": str(prepared.folder), "LANG": "C.UTF-8", **prepared.environment}
    with prepared.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-ISc", _LAUNCH, str(os.getpid()), program, *command[1:]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=prepared.folder,
            env=environment,
            start_new_session=True,
        )
    guard_group(process.pid)
    return process


def shown_code(code: int) -> int:
    """Exit code as a container runtime shows it: 128 and the signal's number where a signal ended it."""
    return 128 - code if code < 0 else code


def now() -> str:
    """This moment, as statuses have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
