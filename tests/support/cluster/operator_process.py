"""The operator's real process over scripted stacks, behind a proxy of its own; it can be killed at any write."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.cluster.apiproxy import ApiProxy
from support.cluster.controller_fixture import SYSTEM
from support.stack.local_processes import REPOSITORY

# Long enough that a slow machine's holder keeps its Lease, short enough to wait for its end.
LEASE_S = 3.0
SETTINGS = {
    "TITAN_ROLE": "operator",
    "TITAN_HTTP_PORT": "0",
    "TITAN_OPERATOR_NAMESPACE": SYSTEM,
    "TITAN_RESYNC_S": "1",
    "TITAN_POLL_S": "1",
    "TITAN_ADMISSION_PROBE_S": "1",
    "TITAN_LEASE_S": str(LEASE_S),
    "TITAN_LOG_FORMAT": "json",
}


class OperatorProcess:
    """One operator, in no pod: only its Lease shows its end, and after a restart it is the same holder.

    Parameters
    ----------
    settings
        Environment, beside and before :data:`SETTINGS`.
    """

    def __init__(self, name: str, proxy: ApiProxy, token: str, folder: Path, stacks: str, **settings: str) -> None:
        self._log = folder / f"{name}.log"
        state = folder / name
        state.mkdir(parents=True)
        paths = (str(REPOSITORY / "tests"), str(REPOSITORY / "ci"), os.environ.get("PYTHONPATH", ""))
        self._environment = {
            **os.environ,
            **SETTINGS,
            "PYTHONPATH": ":".join(path for path in paths if path),
            "KUBECONFIG": str(proxy.kubeconfig(folder / f"{name}.kubeconfig", token)),
            "TITAN_TEST_STACKS": stacks,
            "TITAN_POD_NAME": name,
            "TITAN_STATE_DIR": str(state),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "support.cluster.scripted_stack_operator"]
            self.process = subprocess.Popen(command, env=self._environment, stderr=log, stdout=log)

    def kill(self) -> None:
        """SIGKILL: it has no chance to tidy up."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def stop(self) -> None:
        """As a kubelet does."""
        if self.process is None:
            return
        if self.runs:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, 15)
        except subprocess.TimeoutExpired:
            self.kill()

    def log(self) -> str:
        """Return the logs of all its runs."""
        return self._log.read_text() if self._log.exists() else ""
