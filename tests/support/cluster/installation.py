"""Titan as people install it: the charts on a control plane of its own, and all of its pods running."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testcluster.controlplane import ControlPlane

from support.cluster.direct_reads import DirectReads
from support.podrunner.runner import PodRunner
from support.stack.model import documents

ROOT = Path(__file__).resolve().parents[3]
SYSTEM = "titan-system"
DIGEST = "sha256:" + "0" * 64
IMAGE = f"titan/titan@{DIGEST}"
NEXT = "titan/titan@sha256:" + "1" * 64
# Listed, but faulty: their programs end at once, or enforce a changed rule.
BROKEN = "titan/titan@sha256:" + "2" * 64
LYING = "titan/titan@sha256:" + "3" * 64
PHASES = ("marketdata", "papervenue", "execution", "brain", "scavenger")


@dataclass
class Installation(DirectReads):
    """A control plane with the charts and a pod runner."""

    plane: ControlPlane
    runner: PodRunner
    folder: Path
    namespaces: Sequence[str]
    images: Path = field(init=False)

    def __post_init__(self) -> None:
        super().__init__()
        self.images = self.folder / "images"

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
            *("install", "titan", str(charts / "titan"), "-n", SYSTEM, "--wait", "--timeout", "180s"),
            *("--set", stacks, "--set", f"image.digest={DIGEST}", "--set", "settings.pollSeconds=1"),
        )

    def restore(self) -> None:
        """Make what chart titan had in namespaces that are gone: without its rights there no operator is ready."""
        self.plane.helm(
            *("upgrade", "titan", str(ROOT / "charts" / "titan"), "-n", SYSTEM, "--reuse-values"),
            *("--wait", "--timeout", "180s"),
        )

    def quickstart(self, namespace: str) -> None:
        """The quick start as it is in the repository, with an image that the verifier knows; until all is ready."""
        self.apply(namespace, quickstart())
        self.wait_ready(namespace)

    def describe(self) -> str:
        """Describe the state for a failure's message, with the operator's log."""
        logs = [self.runner.log(SYSTEM, pod["metadata"]["name"])[-3000:] for pod in self.list("pods", SYSTEM)]
        return "\n".join([super().describe(), *logs])


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
def installation(folder: Path, namespaces: Sequence[str], *, listed: bool = True) -> Iterator[Installation]:
    """A fresh installation; everything of it ends with it.

    Parameters
    ----------
    listed
        Whether a list stands in the place of signatures; else the operator is as it is shipped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = folder / "images"
    images.write_text(f"{IMAGE}\n{NEXT}\n{BROKEN}\n{LYING}\n")
    with ControlPlane(folder / "plane") as plane:
        commands = {
            **({"titan-operator": [sys.executable, "-m", "support.cluster.listed_operator"]} if listed else {}),
            BROKEN: [sys.executable, "-c", "raise SystemExit('this image is broken')"],
            LYING: [sys.executable, "-m", "support.cluster.changed_policy_program"],
        }
        environment = {
            "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'ci'}",
            "TITAN_TEST_IMAGES_FILE": str(images),
        }
        with PodRunner(plane, folder / "run", commands=commands, environment=environment) as runner:
            made = Installation(plane, runner, folder, namespaces)
            with closing(made):
                made.install()
                yield made
