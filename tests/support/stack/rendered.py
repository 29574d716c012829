"""Objects of a plan, and the contents of their pods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.stack.plans import OPTIONS, planned
from titan_operator.planning.plan import Plan
from titan_operator.render.kubernetes import Child, render_kubernetes

STACK_ROLES = ("marketdata", "papervenue", "execution", "brain", "scavenger")


def rendered(plan: Plan | None = None) -> dict[tuple[str, str], Child]:
    children = render_kubernetes(plan or planned(), OPTIONS)
    assert len({(child.kind, child.name) for child in children}) == len(children)
    return {(child.kind, child.name): child for child in children}


def workload(role: str, plan: Plan | None = None) -> Child:
    return next(child for child in rendered(plan).values() if child.workload and child.role == role)


def pod(role: str, plan: Plan | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = workload(role, plan).manifest["spec"]["template"]["spec"]
    return spec


def container(role: str, plan: Plan | None = None) -> dict[str, Any]:
    (one,) = pod(role, plan)["containers"]
    return dict(one)


def environment(role: str, plan: Plan | None = None) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container(role, plan)["env"]}


def changed(plan: Plan, role: str, **fields: Any) -> Plan:
    workloads = tuple(replace(item, **fields) if item.role == role else item for item in plan.workloads)
    return replace(plan, workloads=workloads)
