"""Deleted in every order with a position open: protected until it is drained or released, and gone then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster.installation import ROOT, SYSTEM, Installation, installation
from support.cluster.running_stack import Life, eager

NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
# Long enough to see it protected, and short enough to wait for.
SHORT_MS = 12_000


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The charts, over a namespace for each test."""
    with installation(tmp_path_factory.mktemp("deletion"), NAMES) as made:
        yield made


@pytest.fixture
def alive(at: Installation) -> Iterator[Callable[..., Life]]:
    """Starts a stack with a position open; what is left of it ends with the test."""
    started: list[Life] = []

    def start(namespace: str, **given: Any) -> Life:
        life = Life(at, namespace)
        started.append(life)
        life.start(eager(**given))
        return life

    yield start
    for life in started:
        life.end()


def draining(life: Life) -> None:
    """Wait until every phase says what it waits for, and how a person ends that."""

    def said() -> bool:
        found = [life.condition(phase["metadata"]["name"], "Ready") for phase in life.phases()]
        return len(found) == 5 and all(
            (ready["status"], ready["reason"]) == ("False", "Draining")
            and "Execution still has 1 open positions" in ready["message"]
            and "kubectl titan release" in ready["message"]
            for ready in found
        )

    life.at.wait(f"five phases of {life.namespace} that say what they wait for", said)


def test_deleted_in_the_foreground_as_argo_does_it(alive: Callable[..., Life]) -> None:
    life = alive("alpha", hold_ms=SHORT_MS)
    with life.watched():
        life.delete("titanphases", "--all", "--cascade=foreground")
        draining(life)
        life.stays_protected()
        # The phase itself closes it when its time is over: reducing orders pass to the end.
        life.at.wait("the end of the position", lambda: not life.venue().positions)
    life.at.wait("the end of all phases", lambda: not life.phases() and not life.processes(""))
    assert life.at.posture(life.namespace) == ""
    life.delete("riskpolicies", "--all")
    life.at.wait("the end of the policy", life.gone)


def test_its_namespace_is_deleted(alive: Callable[..., Life]) -> None:
    life = alive("bravo")
    plane = life.at.plane
    # Whoever may delete namespaces, and nothing of ours.
    plane.kubectl("create", "clusterrole", "janitor", "--verb=delete", "--resource=namespaces")
    plane.kubectl("create", "clusterrolebinding", "ana-janitor", "--clusterrole=janitor", "--user=ana")
    refused = plane.kubectl("delete", "namespace", "bravo", kubeconfig=plane.kubeconfig("ana"), check=False)
    assert "ana may not delete namespaces bravo" in refused.stderr
    assert "has the verb release" in refused.stderr

    with life.watched():
        plane.kubectl("delete", "namespace", "bravo", "--wait=false")
        draining(life)
        life.stays_protected()
        # All may be gone before the command has read the answer; that is an answer too.
        life.at.titan("flatten", namespace="bravo")
        life.at.wait("the end of the position", lambda: not life.venue().positions)
    life.at.wait("the end of all processes", lambda: not life.processes(""))
    life.at.wait("the end of its namespace", lambda: plane.kubectl("get", "namespace", "bravo", check=False).returncode)


def test_its_policy_is_deleted_first(alive: Callable[..., Life]) -> None:
    life = alive("charlie")
    with life.watched():
        life.delete("riskpolicies", "--all")
        life.at.wait("no entries", lambda: life.at.posture("charlie") == "CLOSE_ONLY")
        life.stays_protected()
        ready = life.at.ready(life.at.policy("charlie")["metadata"]["name"], "charlie", "riskpolicy")
        assert (ready["reason"], "still pinned by" in ready["message"]) == ("Pinned", True)
        life.delete("titanphases", "--all")
        life.stays_protected()
        life.at.titan("flatten", namespace="charlie")
    life.at.wait("the end of all", life.gone)
    assert not life.venue().positions


def test_a_person_releases_it(alive: Callable[..., Life]) -> None:
    life = alive("delta")
    life.delete("titanphases", "--all")
    life.stays_protected()
    life.at.titan("release", "execution", "--reason", "the venue is closed", namespace="delta")
    life.at.wait("the end of all phases", lambda: not life.phases() and not life.processes(""))
    # Its position, and the stop that waits at the venue, are the person's now.
    assert life.covered
    life.delete("riskpolicies", "--all")
    life.at.wait("the end of the policy", life.gone)


def test_flatten_on_delete_closes_it(alive: Callable[..., Life]) -> None:
    life = alive("echo", onDelete="Flatten")
    with life.watched():
        life.delete("titanphases", "--all")
        life.at.wait("the end of all phases", lambda: not life.phases() and not life.processes(""))
    state = life.venue()
    assert not state.positions
    assert not [order for order in state.orders.values() if not order.state.final]


def test_the_operator_is_uninstalled_first(alive: Callable[..., Life], at: Installation) -> None:
    life = alive("foxtrot")
    values = yaml.safe_load(at.plane.helm("get", "values", "titan", "-n", SYSTEM, "-o", "yaml").stdout)
    file = Path(at.folder) / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with life.watched():
        at.plane.helm("uninstall", "titan", "-n", SYSTEM, "--wait", "--timeout", "60s")
        life.delete("titanphases", "--all", "--cascade=foreground")
        life.stays_protected()
        assert len(life.phases()) == 5
        # Trading depends on no operator; what is deleted waits for the next one.
        at.plane.helm(
            *("install", "titan", str(ROOT / "charts" / "titan"), "-n", SYSTEM, "--wait", "--timeout", "60s"),
            *("-f", str(file)),
        )
        at.wait("the drain", lambda: life.condition("execution", "Ready").get("reason") == "Draining")
        life.stays_protected()
        at.titan("flatten", namespace="foxtrot")
    at.wait("the end of all phases", lambda: not life.phases() and not life.processes(""))
    assert not life.venue().positions
    life.delete("riskpolicies", "--all")
    at.wait("the end of the policy", life.gone)


def test_nothing_is_stuck_for_good(at: Installation) -> None:
    """All of those namespaces go, whatever was done in them."""
    at.plane.kubectl("delete", "namespace", *NAMES, "--ignore-not-found", "--wait=false")
    at.wait(
        "the end of the namespaces",
        lambda: not {item["metadata"]["name"] for item in at.list("namespaces", SYSTEM)} & set(NAMES),
    )
