"""Changes that make another revision, and changes that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.stack.plans import OPTIONS, STACK, planned
from support.stack.rendered import STACK_ROLES
from titan_operator.planning.plan import Plan
from titan_operator.render.kubernetes import render_kubernetes
from titan_operator.render.revision import revision

TRADING = ("execution", "brain", "scavenger")


def revisions(plan: Plan) -> dict[str, str]:
    return {item.role: revision(item, plan) for item in plan.workloads}


def templates(plan: Plan) -> dict[str, Any]:
    return {
        child.role: child.manifest["spec"]["template"] for child in render_kubernetes(plan, OPTIONS) if child.workload
    }


def with_workload(role: str, **fields: Any) -> Callable[[], Plan]:
    def make() -> Plan:
        plan = planned()
        workloads = (replace(item, **fields) if item.role == role else item for item in plan.workloads)
        return replace(plan, workloads=tuple(workloads))

    return make


OTHER_IMAGE = f"titan/titan@sha256:{'1' * 64}"

CHANGES: list[tuple[str, Callable[[], Plan], tuple[str, ...]]] = [
    ("nothing", planned, ()),
    ("another image", with_workload("brain", image=OTHER_IMAGE), ("brain",)),
    ("another policy: whoever enforces it", lambda: planned("standard"), TRADING),
    ("one with a lower margin: the venue too", lambda: planned("alpha"), ("papervenue", *TRADING)),
    ("another ceiling", with_workload("brain", live={"posture_ceiling": "HALTED"}), ()),
    ("another setting", with_workload("execution", settings={"mode": "paper", "margin_leverage": "2"}), ("execution",)),
    ("a parameter", lambda: planned(stack=STACK.replace('stopBps: "60"', 'stopBps: "61"')), ("scavenger",)),
    ("resources", with_workload("brain", resources={"limits": {"memory": "1Gi"}}), ("brain",)),
    ("another program", with_workload("brain", command=("titan-brain", "--x")), ("brain",)),
    ("another port of a server: its callers too", with_workload("execution", grpc_port=4000), ("execution", "brain")),
    (
        "another name of a server: its callers look for it there",
        lambda: planned(stack=STACK.replace("name: brain\n", "name: mind\n")),
        ("scavenger",),
    ),
    ("another registry's Secret: a template's", with_workload("brain", pull_secrets=("registry",)), ("brain",)),
    ("tables in a database", with_workload("brain", database="db"), ("brain",)),
    ("storage: a claim is no part of a pod's template", with_workload("brain", storage="2Gi"), ()),
]


@pytest.mark.parametrize(("description", "make", "rolled"), CHANGES)
def test_what_is_another_revision(description: str, make: Callable[[], Plan], rolled: tuple[str, ...]) -> None:
    before, after = revisions(planned()), revisions(make())
    assert {role for role in STACK_ROLES if before[role] != after[role]} == set(rolled)


@pytest.mark.parametrize(("description", "make", "rolled"), CHANGES)
def test_another_template_is_another_revision(
    description: str, make: Callable[[], Plan], rolled: tuple[str, ...]
) -> None:
    """Or a Deployment would restart a pod that the operator takes for unchanged."""
    before, after = templates(planned()), templates(make())
    changed = {role for role in STACK_ROLES if before[role] != after[role]}
    # A renamed phase is another object altogether.
    renamed = {role for role in changed if before[role]["metadata"]["labels"] != after[role]["metadata"]["labels"]}
    assert changed - renamed == set(rolled)


def test_the_spelling_of_a_file_is_no_revision() -> None:
    plan = planned()
    files = plan.workload("scavenger").files
    compact = {name: json.dumps(json.loads(text), sort_keys=True) for name, text in files.items()}
    assert compact != files
    assert revisions(with_workload("scavenger", files=compact)()) == revisions(plan)


def test_a_revision_is_a_short_name() -> None:
    for name in revisions(planned()).values():
        assert len(name) == 10
        int(name, 16)
