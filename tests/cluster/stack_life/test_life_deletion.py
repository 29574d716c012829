"""Deleted with a position open: protected until a person releases it, and with policy and operator gone before it.

What its own time, a namespace's end and flattening do is at the end of the other stacks' modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from support.cluster.installation import ROOT, SYSTEM, Installation
from support.cluster.running_stack import RunningStack, eager

RELEASED, ORPHANED = "released", "orphaned"


@pytest.fixture
def alive(at: Installation) -> Iterator[Callable[[str], RunningStack]]:
    """Starts a stack with a position open; what is left of it ends with the test."""
    started: list[RunningStack] = []

    def start(namespace: str) -> RunningStack:
        stack = RunningStack(at, namespace)
        started.append(stack)
        stack.start(eager())
        return stack

    yield start
    for stack in started:
        stack.end()


def test_a_person_releases_it(alive: Callable[[str], RunningStack]) -> None:
    stack = alive(RELEASED)
    stack.delete("titanphases", "--all")
    stack.stays_protected()
    stack.at.titan("release", "execution", "--reason", "the venue is closed", namespace=RELEASED)
    stack.at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    # Its position, and the stop that waits at the venue, are the person's now.
    assert stack.covered
    stack.delete("riskpolicies", "--all")
    stack.at.wait("the end of the policy", stack.gone)


def test_its_policy_is_deleted_first_and_the_operator_is_uninstalled(
    alive: Callable[[str], RunningStack], at: Installation
) -> None:
    stack = alive(ORPHANED)
    values = yaml.safe_load(at.plane.helm("get", "values", "titan", "-n", SYSTEM, "-o", "yaml").stdout)
    file = Path(at.folder) / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with stack.watched():
        stack.delete("riskpolicies", "--all")
        at.wait("no entries", lambda: at.posture(ORPHANED) == "CLOSE_ONLY")
        stack.stays_protected()
        ready = at.ready(at.policy(ORPHANED)["metadata"]["name"], ORPHANED, "riskpolicy")
        assert (ready["reason"], "still pinned by" in ready["message"]) == ("Pinned", True)

        at.plane.helm("uninstall", "titan", "-n", SYSTEM, "--wait", "--timeout", "180s")
        stack.delete("titanphases", "--all", "--cascade=foreground")
        stack.stays_protected()
        assert len(stack.phases()) == 5
        # Trading depends on no operator; what is deleted waits for the next one.
        at.plane.helm(
            *("install", "titan", str(ROOT / "charts" / "titan"), "-n", SYSTEM, "--wait", "--timeout", "180s"),
            *("-f", str(file)),
        )
        at.wait("the drain", lambda: stack.condition("execution", "Ready").get("reason") == "Draining")
        stack.stays_protected()
        at.titan("flatten", namespace=ORPHANED)
    # The policy too: nothing pins it any longer.
    at.wait("the end of all", stack.gone)
    assert not stack.venue().positions
