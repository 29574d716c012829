"""Pure: when and how a TitanPhase's processes are removed. A position is never left without its Execution."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from titan.domain.enums import Posture
from titan_operator.api.names import LABEL_INSTANCE, POLICY_SEQUENCE, PROTECTED
from titan_operator.reconcile.effects import (
    Annotate,
    Delete,
    Effect,
    Outcome,
    PhaseState,
    RecordActResult,
    SetFinalizer,
    Tighten,
)
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.posture import released

EXECUTION_KIND = "StatefulSet"
# Volumes stay: Execution's journal and the venue's account belong to each other and to the person, not to the operator.
_KEPT = ("PersistentVolumeClaim",)
_ORDER = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class RemovalCheck:
    """Whether processes may be removed; ``message`` has the reason or obstacle, ``effects`` work on the obstacle."""

    allowed: bool
    message: str
    effects: tuple[Effect, ...] = ()


def execution_child(observed: Observed) -> Mapping[str, Any] | None:
    """Return Execution's StatefulSet, if there is one: while it is there, positions may be open."""
    for (kind, _), child in observed.children.items():
        if kind == EXECUTION_KIND:
            return child
    return None


def may_remove(observed: Observed, resource: ObservedResource, *, deleting: bool) -> RemovalCheck:
    """Check whether the processes of ``resource`` may be removed now.

    Any process of a stack may be removed while Execution has no working order, no unknown order and no position, at
    CLOSE_ONLY or below. It may also be removed where there is no Execution, where a person released it, or, on
    deletion, where ``spec.onDelete`` is Orphan.
    """
    if execution_child(observed) is None:
        return RemovalCheck(True, "no Execution runs in this stack")
    policy = released(observed, resource.name)
    if deleting and policy is not None and policy.act is not None:
        message = f"released by {policy.act.by}: {policy.act.reason or 'no reason given'}"
        return RemovalCheck(True, message)
    spec = resource.raw.get("spec", {})
    on_delete = spec.get("onDelete", "Drain")
    if deleting and on_delete == "Orphan" and spec.get("role") != "execution":
        return RemovalCheck(True, "spec.onDelete: Orphan")
    wanted = Posture.FLATTEN if deleting and on_delete == "Flatten" else Posture.CLOSE_ONLY
    check = nothing_open(observed, wanted, f"TitanPhase {resource.name} is going")
    if check.allowed or not deleting:
        return check
    return replace(check, message=f"{check.message}; kubectl titan release lets it go at once")


def nothing_open(observed: Observed, wanted: Posture, why: str) -> RemovalCheck:
    """Check that Execution has no working order, no unknown order and no position, at ``wanted`` or below."""
    if execution_child(observed) is None:
        return RemovalCheck(True, "no Execution runs in this stack")
    execution = observed.stack.execution
    if execution is None:
        problem = observed.stack.problems.get("execution", "it has no running pod")
        return RemovalCheck(False, f"Execution does not answer ({problem}), so its positions are not known")
    if execution.in_force > wanted:
        return RemovalCheck(False, f"closing to entries first ({wanted.name})", (Tighten(wanted, why),))
    open_things = {
        "open positions": execution.open_positions,
        "working orders": execution.working_orders,
        "orders of unknown state": execution.unresolved_orders,
    }
    left = [f"{count} {what}" for what, count in open_things.items() if count]
    return (
        RemovalCheck(False, f"Execution still has {', '.join(left)}") if left else RemovalCheck(True, "nothing is open")
    )


def removal_effects(observed: Observed, resource: ObservedResource, allowed: RemovalCheck) -> list[Effect]:
    """Delete the objects of ``resource``, and remove our finalizer last."""
    effects: list[Effect] = []
    mine = [
        (kind, name, child) for (kind, name), child in observed.children.items() if _instance(child) == resource.name
    ]
    for kind, name, child in sorted(mine, key=lambda item: (_rank(item[0]), item[0], item[1])):
        if _protected(child):
            effects.append(Annotate(kind, name, PROTECTED, None))
        if kind not in _KEPT and "deletionTimestamp" not in child["metadata"]:
            effects.append(Delete(kind, name, child["metadata"]["uid"]))
    gone = not [item for item in mine if item[0] not in _KEPT] and not observed.pods_of(resource.name)
    if resource.deleting and gone:
        effects.append(SetFinalizer(resource.kind, resource.name, present=False))
        policy = released(observed, resource.name)
        others = [item for item in observed.phases if item.deleting and item.name != resource.name]
        if policy is not None and policy.act is not None and (policy.act.phase or not others):
            effects.append(RecordActResult(policy.name, policy.act, True, allowed.message))
    return effects


def leaving_outcome(check: RemovalCheck) -> Outcome:
    """Report a TitanPhase that is being deleted."""
    state = PhaseState.TERMINATING if check.allowed else PhaseState.DRAINING
    return Outcome(False, state.value, check.message, state, reconciling=True)


def garbage(observed: Observed, wanted: Iterable[tuple[str, str]]) -> list[Effect]:
    """Delete children that nothing needs any more.

    These are children of TitanPhases that are gone, and ConfigMaps named by content that no workload mounts and no
    record keeps. Processes of a TitanPhase that lost its finalizer by force stay until nothing is open, as any other's.
    """
    known = {item.name for item in observed.phases}
    keep = set(wanted)
    used = json.dumps([child for (kind, name), child in observed.children.items() if _keeps(kind, name)])
    effects: list[Effect] = []
    forced = any(_instance(child) and _instance(child) not in known for child in observed.children.values())
    if forced and not (check := nothing_open(observed, Posture.CLOSE_ONLY, "a TitanPhase is gone")).allowed:
        return list(check.effects)
    for (kind, name), child in observed.children.items():
        instance = _instance(child)
        orphan = bool(instance) and instance not in known
        superseded = kind == "ConfigMap" and child.get("immutable") is True and name not in used
        # A Job is for one image and one database: another one supersedes it. Without a plan neither is known.
        superseded = superseded or (kind == "Job" and bool(keep))
        stack_is_gone = not instance and not known and name != POLICY_SEQUENCE
        if (
            (kind, name) in keep
            or not (orphan or superseded or stack_is_gone)
            or "deletionTimestamp" in child["metadata"]
        ):
            continue
        if _protected(child):
            effects.append(Annotate(kind, name, PROTECTED, None))
        if kind not in _KEPT:
            effects.append(Delete(kind, name, child["metadata"]["uid"]))
    return effects


def _keeps(kind: str, name: str) -> bool:
    # The record of the last verified revision is a mutable ConfigMap: its mounts must stay, or no roll can go back.
    return kind in _ORDER or (kind == "ConfigMap" and name.endswith("-verified"))


def _instance(child: Mapping[str, Any]) -> str:
    return str(child["metadata"].get("labels", {}).get(LABEL_INSTANCE, ""))


def _protected(child: Mapping[str, Any]) -> bool:
    return bool(child["metadata"].get("annotations", {}).get(PROTECTED) == "true")


def _rank(kind: str) -> int:
    # Processes first: their mounts and their Services go after them.
    return 0 if kind in _ORDER else 1
