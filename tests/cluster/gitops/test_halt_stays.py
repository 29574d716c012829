"""Halted by hand: nothing but a person with the verb arms again, whatever Git, Helm or the operator do meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.controller_fixture import SYSTEM, ControllerFixture, ScriptedStack, mark_pods
from support.cluster.guarded_plane import DESK, beside
from support.stack.local_processes import REPOSITORY
from support.stack.model import IMAGE
from titan.domain.enums import Posture
from titan_operator.api.names import OPERATOR
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import load
from titan_operator.cluster.resource_kinds import KINDS

CHART = str(REPOSITORY / "charts" / "titan-stack")
PROGRAM = str(Path(sys.executable).parent / "kubectl-titan")


@pytest.fixture(scope="module")
def plane(guarded_plane: ControlPlane) -> ControlPlane:
    """The guarded namespace; ana may write resources there, tom may trade too."""
    guarded_plane.kubectl("create", "namespace", DESK)
    roles = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": DESK},
            "rules": [{"apiGroups": ["titan.trading"], "resources": kinds, "verbs": verbs}],
        }
        for name, kinds, verbs in (
            ("author", ["riskpolicies", "titanphases"], ["get", "list", "patch", "update", "create"]),
            ("trader", ["riskpolicies"], ["arm", "loosen", "release"]),
        )
    ]
    guarded_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(roles))
    for role, person in (("author", "ana"), ("author", "tom"), ("trader", "tom")):
        guarded_plane.kubectl(
            "create", "rolebinding", f"{person}-{role}", f"--role={role}", f"--user={person}", "-n", DESK
        )
    return guarded_plane


@dataclass
class GitopsFixture:
    plane: ControlPlane
    fixture: ControllerFixture

    async def titan(self, person: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a person, while an operator runs."""
        command = [PROGRAM, *arguments, "-n", DESK, "--kubeconfig", str(self.plane.kubeconfig(person))]
        async with self.operating():
            return await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
            )

    @asynccontextmanager
    async def operating(self) -> AsyncIterator[None]:
        """A fresh operator that remembers nothing of one before."""
        async with self.fixture.controller() as controller:
            task = asyncio.create_task(controller.run())
            try:
                yield
                if task.done():
                    task.result()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def settled(self) -> dict[str, Any]:
        """Let a fresh operator run until all is well; return the pinned policy."""
        async with self.fixture.controller() as controller:
            await self.fixture.run_until(controller, self.fixture.settled)
            for _ in range(3):
                await controller.reconcile()
        (policy,) = await self.fixture.admin.list(KINDS["RiskPolicy"], DESK)
        return policy

    def rendered(self, *flags: str) -> str:
        return self.plane.helm("template", "quickstart", CHART, "-n", DESK, "--set", f"image={IMAGE}", *flags).stdout

    def policy(self) -> dict[str, Any]:
        documents = yaml.safe_load_all(self.rendered())
        return next(each for each in documents if each and each["kind"] == "RiskPolicy")


@pytest.fixture
async def gitops(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[GitopsFixture]:
    operator = load({"KUBECONFIG": str(plane.service_account(SYSTEM, OPERATOR))})
    async with Cluster(load({"KUBECONFIG": str(plane.admin)}), timeout_s=60) as admin:
        fixture = ControllerFixture(admin, operator, DESK, tmp_path, ScriptedStack(admin, DESK))
        async with beside(mark_pods(admin, DESK, plane.admin)):
            yield GitopsFixture(plane, fixture)


def helm(gitops: GitopsFixture, *arguments: str) -> None:
    gitops.plane.helm(*arguments, "-n", DESK)


def self_heal(gitops: GitopsFixture) -> None:
    """Apply as Flux does each interval: server-side apply with force, by a manager of its own."""
    flags = ("--server-side", "--force-conflicts", "--field-manager=kustomize-controller")
    gitops.plane.kubectl("apply", *flags, "-n", DESK, "-f", "-", stdin=gitops.rendered())


def sync(gitops: GitopsFixture) -> None:
    """Apply as Argo CD does without server-side apply: a client's three-way merge."""
    gitops.plane.kubectl("apply", "-n", DESK, "-f", "-", stdin=gitops.rendered())


def replace(gitops: GitopsFixture) -> None:
    """A person puts the file's own policy back, whole: the act goes, and with it nothing."""
    policy = gitops.policy()
    live = json.loads(
        gitops.plane.kubectl("get", "riskpolicy", policy["metadata"]["name"], "-n", DESK, "-o", "json").stdout
    )
    assert "act" in live["spec"]
    policy["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    policy["metadata"]["finalizers"] = live["metadata"].get("finalizers", [])
    gitops.plane.kubectl("replace", "-n", DESK, "-f", "-", stdin=yaml.safe_dump(policy))


def lower_and_raise(gitops: GitopsFixture) -> None:
    """The ceiling goes down and up again: a ceiling arms nothing."""
    name = gitops.policy()["metadata"]["name"]
    for posture in ("CLOSE_ONLY", "ARMED"):
        body = json.dumps({"spec": {"posture": posture}})
        gitops.plane.kubectl("patch", "riskpolicy", name, "-n", DESK, "--type=merge", "-p", body)


def upgrade(gitops: GitopsFixture) -> None:
    changed = "phases.papervenue.parameters.latencyMs=60"
    helm(gitops, "upgrade", "quickstart", CHART, "--reuse-values", "--force-conflicts", "--set", changed)


def roll_back(gitops: GitopsFixture) -> None:
    helm(gitops, "rollback", "quickstart", "1", "--force-conflicts")


def restart(_: GitopsFixture) -> None:
    """Each operator here is a fresh one."""


# What is done, and whether the act stays written.
MEANWHILE: dict[str, tuple[Callable[[GitopsFixture], None], bool]] = {
    "the operator restarts": (restart, True),
    "Flux heals": (self_heal, True),
    "Argo CD syncs": (sync, True),
    "Helm upgrades": (upgrade, True),
    "Helm rolls back": (roll_back, True),
    "the ceiling goes down and up": (lower_and_raise, True),
    "the policy is replaced by its file": (replace, False),
}


async def test_a_halt_stays_until_a_person_with_the_verb_arms(gitops: GitopsFixture) -> None:
    stack = gitops.fixture.stack
    helm(gitops, "install", "quickstart", CHART, "--set", f"image={IMAGE}")
    policy = await gitops.settled()
    name = policy["metadata"]["name"]
    assert (policy["spec"]["posture"], stack.latch) == ("ARMED", Posture.CLOSE_ONLY)

    armed = await gitops.titan("tom", "arm", "--reason", "go")
    assert (armed.returncode, armed.stderr) == (0, "")
    assert (stack.latch, stack.raised) == (Posture.ARMED, [Posture.ARMED])
    first_arm = (await gitops.settled())["spec"]["act"]

    halted = await gitops.titan("ana", "halt", "--reason", "news")
    assert (halted.returncode, halted.stderr) == (0, "")
    assert "HALTED" in halted.stdout

    for what, (act, stays) in MEANWHILE.items():
        await asyncio.to_thread(act, gitops)
        policy = await gitops.settled()
        posture = policy["status"]["posture"]
        assert (policy["spec"]["posture"], "act" in policy["spec"]) == ("ARMED", stays), what
        assert (posture["ceiling"], posture["latch"], posture["inForce"]) == ("ARMED", "HALTED", "HALTED"), what
        assert (stack.latch, stack.raised) == (Posture.HALTED, [Posture.ARMED]), what

    # Another person: by the command line, and by hand in tom's name.
    refused = await gitops.titan("ana", "arm")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "ana may not arm: that takes the verb arm" in refused.stderr
    forged = json.dumps({"spec": {"act": {"verb": "arm", "nonce": os.urandom(8).hex(), "by": "tom"}}})
    kubectl = ("patch", "riskpolicy", name, "-n", DESK, "--type=merge", "-p")
    by_hand = gitops.plane.kubectl(*kubectl, forged, kubeconfig=gitops.plane.kubeconfig("ana"), check=False)
    assert "spec.act.by is tom, and ana asks: allowed is the own name" in by_hand.stderr
    # tom himself, with the act of before: a nonce arms once.
    again = json.dumps({"spec": {"act": {key: first_arm[key] for key in ("verb", "nonce", "by", "reason")}}})
    gitops.plane.kubectl(*kubectl, again, kubeconfig=gitops.plane.kubeconfig("tom"))
    policy = await gitops.settled()
    assert (policy["status"]["act"]["outcome"], stack.latch) == ("Refused", Posture.HALTED)

    assert (await gitops.titan("tom", "arm")).returncode == 0
    assert (stack.latch, stack.raised) == (Posture.ARMED, [Posture.ARMED, Posture.ARMED])

    acts = [
        (one["user"]["username"], one["responseObject"]["spec"]["act"]["verb"])
        for one in gitops.plane.audit()
        if one["objectRef"]["resource"] == "riskpolicies"
        and one["verb"] == "patch"
        and one["user"]["username"] in ("ana", "tom")
        and one["responseStatus"]["code"] == 200
    ]
    assert acts == [("tom", "arm"), ("ana", "halt"), ("tom", "arm"), ("tom", "arm")]
