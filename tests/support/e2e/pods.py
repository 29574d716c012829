"""A stack whose processes are pods: what Life sees of local processes, seen through the cluster's own doors."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from support.cluster.cluster_user import ClusterUser, WaitError
from support.cluster.installation import PHASES
from support.cluster.running_stack import LONG_MS, RunningStack
from support.e2e.target import Target
from support.stack.both_accounts import BothAccounts, disagreements, read_both
from titan.domain.enums import Posture
from titan.durable.latch import Latch
from titan.matching.state import VenueState
from titan.papervenue.store import FILE_NAME, VenueStore
from titan.papervenue.venue import first_state
from titan_operator.api.names import STATE_DIR

DEPOSIT = Decimal(200)
# Events under load must occur within a test's time.
BUSY_MS = 1500
# A cluster has more to do between two states than processes have.
PATIENCE_S = 180.0
_LATCHES = {"execution": "latch.json", "brain": "latch"}


@dataclass
class Pods(ClusterUser):
    """The cluster, with what people do on it."""

    plane: Target
    namespaces: Sequence[str]
    system: str

    def wait(self, what: str, holds: Callable[[], object], timeout_s: float = PATIENCE_S) -> Any:
        """Until ``holds()`` is true; what it returned."""
        return super().wait(what, holds, timeout_s)

    def wait_ready(self, namespace: str, timeout_s: float = PATIENCE_S) -> None:
        """Until every TitanPhase of the namespace is Ready, as ``kubectl wait`` sees it."""
        super().wait_ready(namespace, timeout_s)

    def describe(self) -> str:
        """Describe the state for a failure's message."""
        own = self.plane.kubectl("get", "pods", "-n", self.system, "-o", "wide", check=False)
        path = f"/api/v1/namespaces/{self.system}/services/titan-operator:8080/proxy/readyz"
        ready = self.plane.kubectl("get", "--raw", path, check=False)
        logs = self.plane.kubectl("logs", "-n", self.system, "deployment/titan-operator", "--tail=40", check=False)
        events = [
            self.plane.kubectl("get", "events", "-n", name, "--sort-by=.lastTimestamp", check=False).stdout[-3000:]
            for name in self.namespaces
        ]
        stacks = [
            self.titan(command, namespace=name, check=False)
            for name in self.namespaces
            for command in ("why", "explain")
        ]
        phases = [
            self.plane.kubectl(
                *("get", "--raw", f"/api/v1/namespaces/{name}/services/http:{role}:http/proxy/status"), check=False
            )
            for name in self.namespaces
            for role in ("scavenger", "brain", "execution")
        ]
        said = [text for done in (own, ready, logs, *stacks, *phases) for text in (done.stdout, done.stderr)]
        return "\n".join([super().describe(), *said, *events])

    def memory(self) -> dict[str, float]:
        """Return the working set of every pod in MiB, as its node reports it, by ``namespace/name``."""
        found = {}
        for node in json.loads(self.plane.kubectl("get", "nodes", "-o", "json").stdout)["items"]:
            path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
            for pod in json.loads(self.plane.kubectl("get", "--raw", path).stdout)["pods"]:
                if size := pod.get("memory", {}).get("workingSetBytes", 0):
                    found[f"{pod['podRef']['namespace']}/{pod['podRef']['name']}"] = size / 2**20
        return found


@dataclass
class ActTimes:
    """When acts were written, and when they were answered, in seconds of the monotonic clock, by nonce."""

    written: dict[str, tuple[str, float]] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)

    def told(self, line: str) -> None:
        """One line of the watch: verb and nonce of the act, nonce and outcome of the answer."""
        words = line.split()
        if len(words) >= 2:
            self.written.setdefault(words[1], (words[0], time.monotonic()))
        if len(words) == 4 and words[3] == "Done":
            self.answered.setdefault(words[2], time.monotonic())

    def took_s(self, verb: str) -> float | None:
        """Between the last act of a verb and its answer; None where there is none yet."""
        for nonce, (written, at) in reversed(self.written.items()):
            if written == verb and nonce in self.answered:
                return self.answered[nonce] - at
        return None


@dataclass
class PodLife(RunningStack):
    """One stack in a cluster."""

    at: Pods

    def pods(self) -> dict[str, dict[str, Any]]:
        """Pods of processes by their role; those on their way out, and Jobs' pods, are left aside."""
        return {role: pod for role, pod in super().pods().items() if role in PHASES}

    def venue(self) -> VenueState:
        """The venue's own memory: the last that could be read, where its pod is away at this moment."""
        with tempfile.TemporaryDirectory() as folder:
            content = self.at.wait("the venue's file", lambda: self._file("papervenue", FILE_NAME))
            (Path(folder) / FILE_NAME).write_bytes(content)
            store = VenueStore(Path(folder), first_state(DEPOSIT))
            store.close()
            return store.state

    def latch(self, role: str = "execution") -> Posture:
        """Return the latch of a process from its own file; there is none before the first act."""
        name = _LATCHES[role]
        command = f"cat {STATE_DIR}/{name} 2>/dev/null; echo read"
        content = self.at.wait(f"the latch of {role}", lambda: self._read(role, "sh", "-c", command))
        with tempfile.TemporaryDirectory() as folder:
            if written := content.removesuffix(b"read\n"):
                (Path(folder) / name).write_bytes(written)
            return Latch.load(Path(folder) / name).posture

    def arm(self) -> str:
        """Arm, again while the equity is unknown after a roll and arming is refused; return the output."""
        said: list[str] = []

        def armed() -> bool:
            done = self.at.titan("arm", "--reason", "the story goes on", namespace=self.namespace, check=False)
            said[:] = [f"{done.stdout}{done.stderr}"]
            return bool(done.returncode == 0)

        try:
            self.at.wait("the stack to be armed", armed)
        except WaitError as error:
            raise AssertionError(f"{said[0]}\n{error}") from error
        return said[0]

    def trade(self) -> None:
        """Arm, until a position is open with its stop, were it an old one."""
        self.arm()
        self.at.wait("a position", lambda: self.covered)
        self.at.wait("the posture in the status", lambda: self.at.posture(self.namespace) == "ARMED")

    def hold(self) -> None:
        """Close everything, then open a position that nothing but a person ends."""
        self._hold_for(LONG_MS)

    def busy(self) -> None:
        """Close everything, then open and close every few seconds."""
        self._hold_for(BUSY_MS)

    def _hold_for(self, hold_ms: int) -> None:
        self.at.titan("flatten", "--reason", "to begin anew", namespace=self.namespace)
        self.at.wait("nothing to be open", lambda: not self.venue().positions)
        self.patch("scavenger", {"parameters": {"holdMs": hold_ms}})
        self.at.wait_ready(self.namespace)
        self.trade()

    def processes(self, pod: str) -> list[str]:
        """Containers that run, of pods whose names begin so."""
        return [
            status["containerID"]
            for item in self.at.list("pods", self.namespace)
            if item["metadata"]["name"].startswith(pod)
            for status in item.get("status", {}).get("containerStatuses", [])
            if "running" in status["state"]
        ]

    @contextmanager
    def acts(self) -> Iterator[ActTimes]:
        """Watch the outcomes of acts, from the API server's first event on."""
        fields = "{.spec.act.verb} {.spec.act.nonce} {.status.act.nonce} {.status.act.outcome}"
        command = [
            "kubectl",
            "get",
            "riskpolicies",
            "-n",
            self.namespace,
            "--watch",
            "-o",
            f'jsonpath={fields}{{"\\n"}}',
        ]
        with (
            subprocess.Popen(command, env=self.at.plane.environment(), stdout=subprocess.PIPE, text=True) as watching,
            ThreadPoolExecutor(1) as pool,
        ):
            times = ActTimes()
            assert watching.stdout is not None
            times.told(watching.stdout.readline())
            reading = pool.submit(lambda lines: [times.told(line) for line in lines], watching.stdout)
            try:
                yield times
            finally:
                watching.terminate()
            reading.result()

    def entries(self) -> frozenset[str]:
        """Names of all orders that opened or added, at the venue."""
        return frozenset(name for name, order in self.venue().orders.items() if not order.reduce_only)

    def image(self, role: str) -> str:
        """The image of a role's pod; empty while it is on its way out, or has not come."""
        pod = self.pods().get(role)
        return pod["spec"]["containers"][0]["image"] if pod else ""

    def containers(self) -> dict[str, str]:
        """Which container of which pod runs, by role: another one after each restart."""
        return {role: pod["status"]["containerStatuses"][0]["containerID"] for role, pod in self.pods().items()}

    def books(self) -> BothAccounts:
        """Copy the files of Execution and of the venue, one after the other, and read them."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for role in ("execution", "papervenue"):
                self._copy(role, folder / "state" / role)
            return read_both(folder / "state", folder / "copy")

    def agreed(self) -> BothAccounts:
        """Wait until both books say the same: what happened between two copies is in the next ones."""
        found: list[BothAccounts] = []

        def same() -> bool:
            found[:] = [self.books()]
            return disagreements(found[0]) == []

        try:
            self.at.wait("both books agree", same)
        except AssertionError as error:
            raise AssertionError("; ".join(disagreements(found[0]))) from error
        return found[0]

    def equity(self) -> str:
        """The account's equity as the policy's status says it."""
        return str(self.at.policy(self.namespace).get("status", {}).get("equity", ""))

    def _file(self, role: str, name: str) -> bytes | None:
        return self._read(role, "cat", f"{STATE_DIR}/{name}")

    def _copy(self, role: str, folder: Path) -> None:
        # Files grow while they are read: their beginnings are what was there, as after a crash.
        command = f"tar -C {STATE_DIR} -cf - . || [ $? -eq 1 ]"
        content = self.at.wait(f"the state of {role}", lambda: self._read(role, "sh", "-c", command))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter="data")

    def _read(self, role: str, *command: str) -> bytes | None:
        pod = self.pods().get(role)
        return self.at.plane.read(self.namespace, pod["metadata"]["name"], *command) if pod else None
