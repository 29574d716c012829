"""Execution as a process of its own that kills itself (SIGKILL) after its n-th journal record, request or sync.

Run as a program, it is :class:`titan.execution.app.ExecutionApp` with counted calls. ``CRASH_AFTER`` names the counted
call (``record``, ``sync``, ``send``, ``before send``), ``CRASH_AT`` the count at which it ends. ``CRASH_SIGNAL`` STOP
stops it instead.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.stack.local_processes import REPOSITORY, Stack


class ExecutionProcess:
    """Starts the process, and waits for its end."""

    def __init__(self, stack: Stack, settings: Any, after: str = "", at: int = 0, stop: bool = False) -> None:
        self._environment = {
            **stack.environment(settings),
            "PYTHONPATH": f"{REPOSITORY / 'tests'}:{REPOSITORY / 'ci'}",
            "CRASH_AFTER": after,
            "CRASH_AT": str(at),
            "CRASH_SIGNAL": "STOP" if stop else "KILL",
        }
        self._log = Path(settings.state_dir) / "process.log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "support.processes.execution_process",
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def died(self) -> int:
        assert self.process is not None
        return await self.process.wait()

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def stopped(self) -> bool:
        """Whether it is in SIGSTOP."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return self._log.read_text(errors="replace")


def _main() -> None:
    from titan.durable.journal.journal import Journal
    from titan.execution.app import main
    from titan.venues.paper import PaperVenue

    left = int(os.environ["CRASH_AT"])
    how = signal.SIGSTOP if os.environ["CRASH_SIGNAL"] == "STOP" else signal.SIGKILL

    def counted(real: Callable[..., Any], before: bool = False) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and before:
                os.kill(os.getpid(), how)
            result = real(*arguments)
            if left == 0 and not before:
                os.kill(os.getpid(), how)
            return result

        return call

    after = os.environ["CRASH_AFTER"]
    if after == "record":
        Journal.append = counted(Journal.append)  # type: ignore[method-assign]
    elif after == "sync":
        Journal.sync = counted(Journal.sync)  # type: ignore[method-assign]
    elif after == "send":
        PaperVenue.send_order = counted(PaperVenue.send_order)  # type: ignore[method-assign]
    elif after == "before send":
        PaperVenue.send_order = counted(PaperVenue.send_order, before=True)  # type: ignore[method-assign]
    main()


if __name__ == "__main__":
    _main()
