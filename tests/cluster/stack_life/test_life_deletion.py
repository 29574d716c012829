"""Deleted in every order with a position open: protected until it is drained or released, and gone then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster.installation import ROOT, SYSTEM, Installation, installation
from support.cluster.running_stack import RunningStack, eager

NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
# Long enough to see it protected, and short enough to wait for.
SHORT_MS = 12_000


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The charts, over a namespace for each test."""
    with installation(tmp_path_factory.mktemp("deletion"), NAMES) as made:
        yield made


@pytest.fixture
def alive(at: Installation) -> Iterator[Callable[..., RunningStack]]:
    """Starts a stack with a position open; what is left of it ends with the test."""
    started: list[RunningStack] = []

    def start(namespace: str, **given: Any) -> RunningStack:
        stack = RunningStack(at, namespace)
        started.append(stack)
        stack.start(eager(**given))
        return stack

    yield start
    for stack in started:
        stack.end()


def draining(stack: RunningStack) -> None:
    """Wait until every phase reports what it waits for, and how a person ends that."""

    def said() -> bool:
        found = [stack.condition(phase["metadata"]["name"], "Ready") for phase in stack.phases()]
        return len(found) == 5 and all(
            (ready["status"], ready["reason"]) == ("False", "Draining")
            and "Execution still has 1 open positions" in ready["message"]
            and "kubectl titan release" in ready["message"]
            for ready in found
        )

    stack.at.wait(f"five phases of {stack.namespace} that say what they wait for", said)


def test_deleted_in_the_foreground_as_argo_does_it(alive: Callable[..., RunningStack]) -> None:
    stack = alive("alpha", hold_ms=SHORT_MS)
    with stack.watched():
        stack.delete("titanphases", "--all", "--cascade=foreground")
        draining(stack)
        stack.stays_protected()
        # The phase itself closes it when its time is over: reducing orders pass to the end.
        stack.at.wait("the end of the position", lambda: not stack.venue().positions)
    stack.at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    # No process reports a posture any longer; the operator writes that in its next pass.
    stack.at.wait("a status without a posture", lambda: stack.at.posture(stack.namespace) == "")
    stack.delete("riskpolicies", "--all")
    stack.at.wait("the end of the policy", stack.gone)


def test_its_namespace_is_deleted(alive: Callable[..., RunningStack]) -> None:
    stack = alive("bravo")
    plane = stack.at.plane
    # Whoever may delete namespaces, and nothing of ours.
    plane.kubectl("create", "clusterrole", "janitor", "--verb=delete", "--resource=namespaces")
    plane.kubectl("create", "clusterrolebinding", "ana-janitor", "--clusterrole=janitor", "--user=ana")
    refused = plane.kubectl("delete", "namespace", "bravo", kubeconfig=plane.kubeconfig("ana"), check=False)
    assert "ana may not delete namespaces bravo" in refused.stderr
    assert "has the verb release" in refused.stderr

    with stack.watched():
        plane.kubectl("delete", "namespace", "bravo", "--wait=false")
        draining(stack)
        stack.stays_protected()
        # All may be gone before the command has read the answer; that is an answer too.
        stack.at.titan("flatten", namespace="bravo")
        stack.at.wait("the end of the position", lambda: not stack.venue().positions)
    stack.at.wait("the end of all processes", lambda: not stack.processes(""))
    stack.at.wait(
        "the end of its namespace", lambda: plane.kubectl("get", "namespace", "bravo", check=False).returncode
    )


def test_its_policy_is_deleted_first(alive: Callable[..., RunningStack]) -> None:
    stack = alive("charlie")
    with stack.watched():
        stack.delete("riskpolicies", "--all")
        stack.at.wait("no entries", lambda: stack.at.posture("charlie") == "CLOSE_ONLY")
        stack.stays_protected()
        ready = stack.at.ready(stack.at.policy("charlie")["metadata"]["name"], "charlie", "riskpolicy")
        assert (ready["reason"], "still pinned by" in ready["message"]) == ("Pinned", True)
        stack.delete("titanphases", "--all")
        stack.stays_protected()
        stack.at.titan("flatten", namespace="charlie")
    stack.at.wait("the end of all", stack.gone)
    assert not stack.venue().positions


def test_a_person_releases_it(alive: Callable[..., RunningStack]) -> None:
    stack = alive("delta")
    stack.delete("titanphases", "--all")
    stack.stays_protected()
    stack.at.titan("release", "execution", "--reason", "the venue is closed", namespace="delta")
    stack.at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    # Its position, and the stop that waits at the venue, are the person's now.
    assert stack.covered
    stack.delete("riskpolicies", "--all")
    stack.at.wait("the end of the policy", stack.gone)


def test_flatten_on_delete_closes_it(alive: Callable[..., RunningStack]) -> None:
    stack = alive("echo", onDelete="Flatten")
    with stack.watched():
        stack.delete("titanphases", "--all")
        stack.at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    state = stack.venue()
    assert not state.positions
    assert not [order for order in state.orders.values() if not order.state.final]


def test_the_operator_is_uninstalled_first(alive: Callable[..., RunningStack], at: Installation) -> None:
    stack = alive("foxtrot")
    values = yaml.safe_load(at.plane.helm("get", "values", "titan", "-n", SYSTEM, "-o", "yaml").stdout)
    file = Path(at.folder) / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with stack.watched():
        at.plane.helm("uninstall", "titan", "-n", SYSTEM, "--wait", "--timeout", "60s")
        stack.delete("titanphases", "--all", "--cascade=foreground")
        stack.stays_protected()
        assert len(stack.phases()) == 5
        # Trading depends on no operator; what is deleted waits for the next one.
        at.plane.helm(
            *("install", "titan", str(ROOT / "charts" / "titan"), "-n", SYSTEM, "--wait", "--timeout", "60s"),
            *("-f", str(file)),
        )
        at.wait("the drain", lambda: stack.condition("execution", "Ready").get("reason") == "Draining")
        stack.stays_protected()
        at.titan("flatten", namespace="foxtrot")
    at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    assert not stack.venue().positions
    stack.delete("riskpolicies", "--all")
    at.wait("the end of the policy", stack.gone)


def test_nothing_is_stuck_for_good(at: Installation) -> None:
    """All of those namespaces go, whatever was done in them."""
    at.plane.kubectl("delete", "namespace", *NAMES, "--ignore-not-found", "--wait=false")
    at.wait(
        "the end of the namespaces",
        lambda: not {item["metadata"]["name"] for item in at.list("namespaces", SYSTEM)} & set(NAMES),
    )
