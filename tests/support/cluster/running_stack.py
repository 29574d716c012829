"""A stack of an installation with a position open, and what the venue and the machine themselves say of it."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from support.cluster.cluster_user import WaitError
from support.cluster.installation import IMAGE, ROOT, Installation, quickstart
from titan.domain.enums import OrderType, Posture
from titan.domain.numbers import ZERO
from titan.durable.latch import Latch
from titan.matching.state import PositionState, VenueState
from titan.papervenue.store import FILE_NAME, VenueStore
from titan.papervenue.venue import first_state
from titan_operator.api.names import LABEL_COMPONENT

# The quick start's namespace, as its documentation has it.
QUICK = "titan"
_FILES = ("-f", str(ROOT / "policies" / "demo.yaml"), "-f", str(ROOT / "examples" / "quickstart.yaml"))
# Trades a few seconds after it is armed, and exits by nothing but time or a person: bars of a quarter of a second; each
# crossing scores well where the spread is usual; the market reaches neither the stop nor the target.
EAGER = {
    "barMs": 250,
    "levelBars": 4,
    "minLevelBars": 3,
    "memoryBars": 8,
    "minImbalance": "0",
    "minRangeBps": "0",
    "settleMs": 0,
    "confirmMs": 1000,
    "weightImbalance": "0",
    "weightAlignment": "0",
    "weightSpread": "1",
    "wickToleranceBps": "50",
    "stopBps": "150",
    "targetBps": "1000",
    "cooldownMs": 2000,
}
LONG_MS = 600_000
# How long a test observes a state that must last: several passes of the operator, which runs one each second.
LASTS_S = 2.5


def eager(image: str = IMAGE, hold_ms: int = LONG_MS, policy: str = "demo", **spec: Any) -> list[dict[str, Any]]:
    """The quick start with a phase that trades soon and holds for ``hold_ms``; ``spec`` is set where a policy binds."""
    resources = quickstart(image, policy)
    for item in resources[1:]:
        if "policyRef" in item["spec"]:
            item["spec"] |= spec
        if item["spec"]["role"] == "scavenger":
            item["spec"]["parameters"] = EAGER | {"holdMs": hold_ms}
    return resources


def apply_files(at: Installation) -> None:
    """Apply the quick start as a newcomer does it, until all is ready."""
    at.plane.kubectl("apply", "-n", QUICK, *_FILES)
    at.plane.kubectl("wait", "--for=condition=Ready", "titan", "--all", "-n", QUICK, "--timeout=180s")


@dataclass
class RunningStack:
    """One stack of an installation."""

    at: Installation
    namespace: str

    def start(self, resources: list[dict[str, Any]]) -> None:
        """Apply, until all is ready; then arm, until a position is open with its stop."""
        self.at.apply(self.namespace, resources)
        self.at.wait_ready(self.namespace)
        self.trade()

    def trade(self) -> None:
        """Arm, until a position is open with its stop, were it an old one."""
        self.arm()
        self.at.wait(f"a position in {self.namespace}", lambda: self.covered)
        self.at.wait("the posture in the status", lambda: self.at.posture(self.namespace) == "ARMED")

    def arm(self, reason: str = "test", user: str = "") -> None:
        """Ask until it is not refused, as it is while Execution is not connected, for a moment after each start."""
        said: list[str] = []

        def armed() -> bool:
            done = self.at.titan("arm", "--reason", reason, namespace=self.namespace, user=user, check=False)
            said[:] = [done.stdout, done.stderr]
            return not done.returncode

        try:
            self.at.wait(f"the arming of {self.namespace}", armed)
        except WaitError as error:
            raise WaitError(f"{error}\n{said}") from None

    def venue(self) -> VenueState:
        """The venue's own memory, from a copy, so that looking changes nothing."""
        source = self.at.folder / "run" / "claims" / self.namespace / "papervenue-state" / FILE_NAME
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(source, folder)
            store = VenueStore(Path(folder), first_state(Decimal(200)))
            store.close()
            return store.state

    @property
    def covered(self) -> bool:
        """Whether stops at the venue cover the whole position; false without one."""
        state = self.venue()
        for symbol, position in state.positions.items():
            stops = [
                order.quantity - order.filled_quantity
                for order in state.orders.values()
                if order.symbol == symbol
                and order.type is OrderType.STOP_MARKET
                and not order.state.final
                and order.side.sign * position.quantity < 0
            ]
            if sum(stops, ZERO) < abs(position.quantity):
                return False
        return bool(state.positions)

    def protected(self) -> bool:
        """Whether the position is open, covered, and Execution runs."""
        return self.covered and len(self.processes("execution-0")) == 1

    def stays_protected(self, seconds: float = LASTS_S) -> None:
        """Assert that it is so for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.protected(), self.at.describe()
            time.sleep(0.1)

    def processes(self, pod: str) -> list[int]:
        """Processes of a pod (or of all whose name begins so) that live, as the machine has them."""
        found = []
        for pid in self.at.runner.pids():
            try:
                folder = Path(f"/proc/{pid}/cwd").readlink()
            except OSError:
                continue
            if folder.parent.name == self.namespace and folder.name.startswith(f"{pod}-"):
                found.append(pid)
        return found

    def held(self) -> tuple[dict[str, PositionState], frozenset[str]]:
        """Positions and the names of what waits at the venue: what a roll must not touch."""
        state = self.venue()
        return dict(state.positions), frozenset(name for name, order in state.orders.items() if not order.state.final)

    def latch(self, role: str = "execution") -> Posture:
        """Return the latch that Execution (or Brain) has stored."""
        claims = self.at.folder / "run" / "claims" / self.namespace
        file = claims / ("state-execution-0/latch.json" if role == "execution" else "brain-state/latch")
        return Latch.load(file).posture

    def pods(self) -> dict[str, dict[str, Any]]:
        """Its pods by their role; those that are on their way out are left aside."""
        return {
            pod["metadata"]["labels"][LABEL_COMPONENT]: pod
            for pod in self.at.list("pods", self.namespace)
            if "deletionTimestamp" not in pod["metadata"]
        }

    def phases(self) -> list[dict[str, Any]]:
        """Its TitanPhases."""
        return self.at.list("titanphases", self.namespace)

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """A condition of a TitanPhase; empty where it has none."""
        conditions = self.at.get("titanphase", name, self.namespace).get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == kind), {})

    def delete(self, *what: str) -> None:
        """``kubectl delete`` that waits for nothing."""
        self.at.plane.kubectl("delete", *what, "-n", self.namespace, "--wait=false")

    def gone(self) -> bool:
        """Whether no resource of ours and no process is left."""
        return not self.at.list("titan,pods,deployments,statefulsets", self.namespace) and not self.processes("")

    def draining(self) -> None:
        """Wait until every phase reports what it waits for, and how a person ends that."""

        def said() -> bool:
            found = [self.condition(phase["metadata"]["name"], "Ready") for phase in self.phases()]
            return len(found) == 5 and all(
                (ready["status"], ready["reason"]) == ("False", "Draining")
                and "Execution still has 1 open positions" in ready["message"]
                and "kubectl titan release" in ready["message"]
                for ready in found
            )

        self.at.wait(f"five phases of {self.namespace} that say what they wait for", said)

    def end(self) -> None:
        """Have it drained by force and gone: a machine has few cores."""
        self.delete("titan", "--all")
        if self.phases():
            self.at.titan("flatten", namespace=self.namespace, check=False)
        self.at.wait(f"the end of {self.namespace}", self.gone)

    def patch(self, name: str, spec: dict[str, Any], kind: str = "titanphase") -> None:
        """Change a resource's spec, as a person does."""
        body = json.dumps({"spec": spec})
        self.at.plane.kubectl("patch", kind, name, "-n", self.namespace, "--type=merge", "-p", body)

    @contextmanager
    def watched(self, *, cap: Posture | None = None) -> Iterator[StackWatch]:
        """Look all the while: how many Executions there are, and whether a posture above ``cap`` is in force."""
        watch = StackWatch(self, cap)
        with watch.running():
            yield watch
        assert not watch.found, watch.found


@dataclass
class StackWatch:
    """Repeated observations of a stack during a test."""

    stack: RunningStack
    cap: Posture | None
    found: list[str] = field(default_factory=list)
    most: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look in a thread of its own."""
        over = threading.Event()
        looks: tuple[Callable[[], None], ...] = (self._executions, self._latches)

        def look() -> None:
            while not over.is_set():
                for one in looks:
                    one()
                over.wait(0.03)

        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look)
            try:
                yield
            finally:
                over.set()
            # A watch that broke has seen nothing.
            looking.result()

    def _executions(self) -> None:
        count = len(self.stack.processes("execution-0"))
        self.most = max(self.most, count)
        if count > 1:
            self.found.append(f"{count} Executions at once")

    def _latches(self) -> None:
        for role in ("brain", "execution"):
            if self.cap is not None and (posture := self.stack.latch(role)) > self.cap:
                self.found.append(f"the latch of {role} is {posture.name}, above {self.cap.name}")
