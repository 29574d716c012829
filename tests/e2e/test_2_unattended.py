"""The operator is away: the API server alone refuses unverified images; Execution comes back with its position."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from support.e2e.installed import STACK, SYSTEM, Titan, container_of, pod_of
from support.e2e.pods import PodLife
from support.e2e.story import Story
from support.tiers.abilities import skip_without
from titan.domain.enums import Posture

REPLICASETS = "system:serviceaccount:kube-system:replicaset-controller"
DEPLOYMENTS = "system:serviceaccount:kube-system:deployment-controller"
ADMIN, BOB = "", "bob"
FOREIGN_COMMAND = ["sh", "-c", "cat /etc/titan/tls/key.pem"]


@pytest.fixture(scope="module")
def alone(titan: Titan, stack: PodLife, story: Story) -> Iterator[str]:
    """No operator; an image that was signed after it went away."""
    stack.hold()
    scale(titan, 0)
    story.tell("the operator is scaled to 0; a position is open")
    yield titan.release.sign(titan.release.changed("unlisted", {"/opt/titan/share/version": "unlisted\n"}))
    scale(titan, 1)
    titan.pods.wait_ready(STACK)


def scale(titan: Titan, replicas: int) -> None:
    """Set how many operators there are, until it is so."""
    titan.target.kubectl("scale", "deployment/titan-operator", "-n", SYSTEM, f"--replicas={replicas}")
    titan.target.kubectl("rollout", "status", "deployment/titan-operator", "-n", SYSTEM, "--timeout=120s")
    if not replicas:
        titan.pods.wait("the end of the operator", lambda: not titan.pods.list("pods", SYSTEM))


@dataclass(frozen=True)
class Row:
    """One request that must be refused.

    Parameters
    ----------
    what
        What is tried.
    user
        Who asks, with every right that RBAC can give; empty for the administrator.
    policy
        Which policy refuses.
    names
        What the refusal names.
    ask
        Words for kubectl, and what it reads.
    """

    what: str
    user: str
    policy: str
    names: str
    ask: tuple[str, ...]
    stdin: dict[str, Any] | None = None


def deployment_of(image: str, command: list[str] | None = None) -> dict[str, Any]:
    """A Deployment of one pod."""
    spec = pod_of(image)["spec"] | {"restartPolicy": "Always"}
    if command:
        spec["containers"][0]["command"] = command
    labels = {"app": "foreign"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "foreign"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def rows(titan: Titan, unlisted: str, running: str, listed: str) -> list[Row]:
    """Requests that are tried while the operator is away."""
    unsigned = titan.release.changed("nobodys", {"/opt/titan/share/version": "nobody's\n"})
    tag = f"{listed.partition('@')[0]}:latest"
    create = ("create", "-f", "-")
    change = json.dumps({"spec": {"containers": [{"name": "execution", "image": unlisted}]}})
    return [
        Row("an image that nobody signed", REPLICASETS, "titan-images", unsigned, create, pod_of(unsigned)),
        Row("a tag", REPLICASETS, "titan-images", tag, create, pod_of(tag)),
        Row("a signed digest that was never listed", REPLICASETS, "titan-images", unlisted, create, pod_of(unlisted)),
        Row(
            *("an init container of it", REPLICASETS, "titan-images", unlisted, create),
            pod_of(listed, initContainers=[container_of(unlisted, "first")]),
        ),
        Row(
            *("an ephemeral container by kubectl debug", ADMIN, "titan-images", unlisted),
            ("debug", running, f"--image={unlisted}", "--profile=restricted", "--", "true"),
        ),
        Row(
            *("a running pod patched to it", DEPLOYMENTS, "titan-images", unlisted),
            ("patch", "pod", running, "--type=strategic", "-p", change),
        ),
        Row(
            "a foreign Deployment of a listed digest",
            ADMIN,
            "titan-writers",
            "deployments",
            create,
            deployment_of(listed),
        ),
        Row(
            *("a listed digest with a foreign command", BOB, "titan-writers", "bob", create),
            deployment_of(listed, FOREIGN_COMMAND),
        ),
        Row("a pod of a listed digest by a person", BOB, "titan-writers", "bob", create, pod_of(listed)),
    ]


def test_what_nobody_listed_is_refused_by_the_api_server(
    titan: Titan, stack: PodLife, story: Story, alone: str
) -> None:
    """Operator scaled to 0: the API server refuses, and admits a listed digest at that same moment"""
    pod = stack.pods()["execution"]
    running, image = pod["metadata"]["name"], pod["spec"]["containers"][0]["image"]
    for row in rows(titan, alone, running, image):
        assert titan.admits(STACK, image), f"the listed digest, before: {row.what}"
        who = ("--as", row.user, "--as-group=system:masters", "--as-group=system:authenticated") if row.user else ()
        said = titan.target.kubectl(
            *row.ask[:1],
            "-n",
            STACK,
            *who,
            *row.ask[1:],
            stdin=yaml.safe_dump(row.stdin) if row.stdin else None,
            check=False,
        )
        assert said.returncode != 0, f"{row.what}: {said.stdout}"
        assert f"ValidatingAdmissionPolicy '{row.policy}'" in said.stderr, f"{row.what}: {said.stderr}"
        assert row.names in said.stderr, f"{row.what}: {said.stderr}"
        story.tell(f"refused by {row.policy}: {row.what}")
    assert "foreign" not in {item["metadata"]["name"] for item in titan.pods.list("deployments", STACK)}
    assert stack.covered


def test_an_evicted_execution_comes_back_without_an_operator(
    titan: Titan, stack: PodLife, story: Story, alone: str
) -> None:
    """Execution is evicted with a position open, and nobody there: the cluster alone brings it back"""
    assert alone
    evict(titan, stack, story)


def test_it_comes_back_with_its_key_expired_and_the_registry_down(
    titan: Titan, stack: PodLife, story: Story, alone: str
) -> None:
    """The same with its key expired and the registry down, an operator there or not"""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    at, before = titan.pods, listed(titan)
    running = stack.pods()["scavenger"]["spec"]["containers"][0]["image"]
    scale(titan, 1)
    titan.upgrade("titan", SYSTEM, titan.operator_values(not_after=yesterday))
    # A file that is mounted follows its ConfigMap after a while; what runs is then told to have been verified before.
    at.wait("the new trust policy in force", lambda: verified(stack)["reason"] == "VerifiedBefore")
    stack.patch("scavenger", {"image": alone})
    at.wait("the refusal of what is new", lambda: verified(stack)["status"] == "False")
    assert "KeyExpired" in verified(stack)["message"]
    story.tell(verified(stack)["message"])
    stack.patch("scavenger", {"image": running})
    at.wait_ready(STACK)
    assert listed(titan) == before
    bring_back = registry_down(titan)
    try:
        evict(titan, stack, story)
        scale(titan, 0)
        evict(titan, stack, story)
    finally:
        bring_back()
    scale(titan, 1)
    titan.upgrade("titan", SYSTEM, titan.operator_values())
    at.wait_ready(STACK)


def evict(titan: Titan, stack: PodLife, story: Story) -> None:
    """Evict Execution as a drained node does; until it runs again, with the position and its stop as they were."""
    held, before = stack.held(), stack.pods()["execution"]
    assert held[0], "a position"
    name = before["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": STACK},
    }
    path = f"/api/v1/namespaces/{STACK}/pods/{name}/eviction"
    with story.timed("evicted, until it runs again with the same position"):
        titan.target.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
        titan.pods.wait("another Execution", lambda: _other(stack, before))
        titan.target.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", STACK, "--timeout=120s")
        titan.pods.wait("its position", stack.protected)
    assert stack.held() == held
    assert stack.latch() <= Posture.ARMED


def verified(stack: PodLife) -> dict[str, Any]:
    """Return the operator's condition on the phase's image."""
    return {"status": "", "reason": "", "message": "", **stack.condition("scavenger", "ImageVerified")}


def listed(titan: Titan) -> set[str]:
    """Digests that admission admits."""
    return {image["digest"] for image in titan.pods.get("verifiedimages", "titan", SYSTEM)["spec"]["images"]}


def _other(stack: PodLife, before: dict[str, Any]) -> bool:
    pod = stack.pods().get("execution")
    return pod is not None and pod["metadata"]["uid"] != before["metadata"]["uid"]


def registry_down(titan: Titan) -> Callable[[], None]:
    """Take the registry away; returns what brings it back."""
    if titan.target.node is None:
        skip_without("a node of ours, whose registry may be ended")
    titan.target.disturb("halt", "registry")
    return lambda: titan.target.disturb("resume", "registry")
