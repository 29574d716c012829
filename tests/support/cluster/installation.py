"""Titan as people install it: the charts on a control plane of its own, and all of its pods running."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.podrunner import PodRunner
from support.stack_model import documents

ROOT = Path(__file__).resolve().parents[3]
SYSTEM = "titan-system"
DIGEST = "sha256:" + "0" * 64
IMAGE = f"titan/titan@{DIGEST}"
NEXT = "titan/titan@sha256:" + "1" * 64
# Listed, and of no use: its programs end at once, or enforce a rule that was changed behind everybody's back.
BROKEN = "titan/titan@sha256:" + "2" * 64
LYING = "titan/titan@sha256:" + "3" * 64
PHASES = ("marketdata", "papervenue", "execution", "brain", "scavenger")


class WaitError(AssertionError):
    """Something did not come true in time; the message says what is there instead."""


@dataclass
class Installation:
    """A control plane with the charts and a pod runner."""

    plane: ControlPlane
    runner: PodRunner
    folder: Path
    namespaces: Sequence[str]
    images: Path = field(init=False)

    def __post_init__(self) -> None:
        self.images = self.folder / "images"

    def list_images(self, *images: str) -> None:
        """What the tests' verifier knows."""
        self.images.write_text("".join(f"{image}\n" for image in images))

    def install(self) -> None:
        """The charts, in their order, as the docs say."""
        stacks = f"stackNamespaces={{{','.join(self.namespaces)}}}"
        charts = ROOT / "charts"
        self.plane.kubectl("create", "namespace", SYSTEM)
        self.plane.helm(
            *("install", "titan-admission", str(charts / "titan-admission"), "-n", SYSTEM),
            *("--set", stacks, "--set", f"operator.imageDigests={{{DIGEST}}}"),
        )
        self.plane.helm(
            *("install", "titan", str(charts / "titan"), "-n", SYSTEM, "--wait", "--timeout", "60s"),
            *("--set", stacks, "--set", f"image.digest={DIGEST}", "--set", "settings.pollSeconds=1"),
        )

    def apply(self, namespace: str, resources: Sequence[dict[str, Any]]) -> None:
        """``kubectl apply`` of resources."""
        self.plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(resources))

    def quickstart(self, namespace: str) -> None:
        """The quick start as it is in the repository, with an image that the verifier knows; until all is ready."""
        self.apply(namespace, quickstart())
        self.wait_ready(namespace)

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

    def wait_ready(self, namespace: str, timeout_s: float = 90.0) -> None:
        """Until every TitanPhase of the namespace is Ready, as ``kubectl wait`` sees it."""
        self.plane.kubectl(
            *("wait", "--for=condition=Ready", "titanphases", "--all", "-n", namespace, f"--timeout={timeout_s:.0f}s")
        )

    def wait(self, what: str, holds: Callable[[], object], timeout_s: float = 60.0) -> Any:
        """Until ``holds()`` is true; what it returned."""
        deadline = time.monotonic() + timeout_s
        while not (found := holds()):
            if time.monotonic() > deadline:
                raise WaitError(f"not within {timeout_s:.0f} s: {what}\n{self.picture()}")
            time.sleep(0.2)
        return found

    def picture(self) -> str:
        """What a person would look at first."""
        look = ("get", "titan,pods", "-o", "wide", "-n")
        shown = [self.plane.kubectl(*look, namespace, check=False).stdout for namespace in self.namespaces]
        logs = [self.runner.log(SYSTEM, pod["metadata"]["name"])[-3000:] for pod in self.list("pods", SYSTEM)]
        return "\n".join([*shown, *logs])

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
        import os
        import subprocess

        kubeconfig = self.plane.kubeconfig(user) if user else self.plane.admin
        command = [str(Path(sys.executable).parent / "kubectl-titan"), *arguments]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "COLUMNS": "120"}
        where = ["--namespace", namespace]
        done = subprocess.run([*command, *where], env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}: {done.stdout}{done.stderr}")
        return done


def quickstart(image: str = IMAGE, policy: str = "demo") -> list[dict[str, Any]]:
    """The quick start's resources, all with one image."""
    resources = documents(f"policies/{policy}.yaml", "examples/quickstart.yaml")
    pinned = resources[0]
    for item in resources[1:]:
        item["spec"]["image"] = image
        if "policyRef" in item["spec"]:
            item["spec"]["policyRef"] = {"name": pinned["metadata"]["name"], "hash": pinned["spec"]["hash"]}
    return resources


@contextmanager
def installation(folder: Path, namespaces: Sequence[str]) -> Iterator[Installation]:
    """A fresh installation; everything of it ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    images = folder / "images"
    images.write_text(f"{IMAGE}\n{NEXT}\n{BROKEN}\n{LYING}\n")
    with ControlPlane(folder / "plane") as plane:
        commands = {
            "titan-operator": [sys.executable, "-m", "support.cluster.listed_operator"],
            BROKEN: [sys.executable, "-c", "raise SystemExit('this image is broken')"],
            LYING: [sys.executable, "-m", "support.cluster.other_policy"],
        }
        environment = {
            "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'ci'}",
            "TITAN_TEST_IMAGES_FILE": str(images),
        }
        with PodRunner(plane, folder / "run", commands=commands, environment=environment) as runner:
            made = Installation(plane, runner, folder, namespaces)
            made.install()
            yield made
