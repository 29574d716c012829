"""A user of any cluster: actions by kubectl and helm, and observations of stacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml


class WaitError(AssertionError):
    """A condition did not hold in time; the message describes the state."""


class ClusterAccess(Protocol):
    """The way to an API server, as an administrator."""

    @property
    def admin(self) -> Path:
        """Path of the kubeconfig."""

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl."""

    def kubeconfig(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Path of another user's kubeconfig."""


class ClusterUser:
    """Verbs of a person, on the cluster that ``plane`` reaches."""

    plane: ClusterAccess
    namespaces: Sequence[str]

    def apply(self, namespace: str, resources: Sequence[dict[str, Any]]) -> None:
        """``kubectl apply`` of resources."""
        self.plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(resources))

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """One object."""
        text = self.plane.kubectl("get", kind, name, "-n", namespace, "-o", "json").stdout
        found: dict[str, Any] = json.loads(text)
        return found

    def list(self, kinds: str, namespace: str) -> list[dict[str, Any]]:
        """All objects of some kinds."""
        items: list[dict[str, Any]] = json.loads(
            self.plane.kubectl("get", kinds, "-n", namespace, "-o", "json").stdout
        )["items"]
        return items

    def wait_ready(self, namespace: str, timeout_s: float = 180.0) -> None:
        """Until every TitanPhase of the namespace is Ready, as ``kubectl wait`` sees it."""
        self.plane.kubectl(
            *("wait", "--for=condition=Ready", "titanphases", "--all", "-n", namespace, f"--timeout={timeout_s:.0f}s")
        )

    def wait(self, what: str, holds: Callable[[], object], timeout_s: float = 120.0, every_s: float = 0.2) -> Any:
        """Until ``holds()`` is true; what it returned."""
        deadline = time.monotonic() + timeout_s
        while not (found := holds()):
            if time.monotonic() > deadline:
                raise WaitError(f"not within {timeout_s:.0f} s: {what}\n{self.describe()}")
            time.sleep(every_s)
        return found

    def describe(self) -> str:
        """Describe the state for a failure's message."""
        look = ("get", "titan,pods", "-o", "wide", "-n")
        return "\n".join(self.plane.kubectl(*look, namespace, check=False).stdout for namespace in self.namespaces)

    def ready(self, name: str, namespace: str, kind: str = "titanphase") -> dict[str, Any]:
        """Its Ready condition."""
        conditions = self.get(kind, name, namespace).get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == "Ready"), {"status": "Unknown", "reason": ""})

    def policy(self, namespace: str) -> dict[str, Any]:
        """The one RiskPolicy there."""
        return self.list("riskpolicies", namespace)[0]

    def posture(self, namespace: str) -> str:
        """The posture in force as the policy's status says it."""
        return str(self.policy(namespace).get("status", {}).get("posture", {}).get("inForce", ""))

    def titan(self, *arguments: str, namespace: str, user: str = "", check: bool = True) -> Any:
        """``kubectl titan`` as a person."""
        kubeconfig = self.plane.kubeconfig(user) if user else self.plane.admin
        command = [str(Path(sys.executable).parent / "kubectl-titan"), *arguments]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "COLUMNS": "120"}
        where = ["--namespace", namespace]
        done = subprocess.run([*command, *where], env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}: {done.stdout}{done.stderr}")
        return done
