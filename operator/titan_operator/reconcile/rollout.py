"""Pure: bring one workload from the running revision to the wanted one, or back.

Execution is closed to entries, drained and its journal flushed. Then its pod is replaced, which its StatefulSet does
not do by itself. Other roles roll one at a time, by their Deployment. A failed roll goes back to the last verified
revision, disarmed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from titan.domain.enums import Posture
from titan_operator.api.names import PROTECTED, RENDERED_BY, REVISION, labels, verified_record
from titan_operator.cluster.event_types import EventType
from titan_operator.compare.diff import first_difference, kept_template, removals
from titan_operator.reconcile.effects import (
    Apply,
    Delete,
    Effect,
    Finding,
    Outcome,
    PhaseState,
    RecordEvent,
    RemoveFields,
    Tighten,
)
from titan_operator.reconcile.observed import Observed, ObservedResource, Pod
from titan_operator.render.kubernetes import Child

# A pod that is not ready after this time has failed.
DEADLINE_S = 120.0
_RESTARTS = 3


@dataclass(frozen=True)
class Roll:
    """One workload's step of this pass.

    Attributes
    ----------
    busy
        Whether other workloads must wait for it.
    waits_for
        Revision that it waits for, for the controller's clock; empty where it waits for none.
    """

    effects: tuple[Effect, ...]
    outcome: Outcome
    busy: bool = False
    waits_for: str = ""


def revision_of(workload: Mapping[str, Any]) -> str:
    """Return the revision of a Deployment's or StatefulSet's pod template."""
    annotations = workload["spec"]["template"]["metadata"].get("annotations", {})
    return str(annotations.get(REVISION, ""))


def record_of(observed: Observed, phase: str) -> tuple[str, dict[str, Any]] | None:
    """Return the last verified revision of a phase and its rendered workload, as recorded.

    None where its image is revoked: no roll goes back to it, and the API server would admit no pod of it.
    """
    stored = observed.children.get(("ConfigMap", verified_record(phase)))
    if stored is None or any(f"@{digest}" in stored["data"]["workload"] for digest in observed.revoked):
        return None
    return stored["data"]["revision"], json.loads(stored["data"]["workload"])


def is_rolling(child: Child, observed: Observed) -> bool:
    """Whether the workload has left its last verified revision and has neither come up nor gone back.

    A roll lasts no longer than ``DEADLINE_S``. The first start of a workload that was never verified is no roll.
    """
    live, recorded = observed.children.get((child.kind, child.name)), record_of(observed, child.phase)
    return live is not None and recorded is not None and revision_of(live) != recorded[0]


def record(resource: ObservedResource, child: Child, namespace: str) -> Apply:
    """Record ``child`` as the last verified revision."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": verified_record(resource.name),
            "namespace": namespace,
            "labels": labels(resource.name, child.role),
            "annotations": {PROTECTED: "true"},
        },
        "data": {
            "revision": revision_of(child.manifest),
            "workload": json.dumps(child.manifest, sort_keys=True, separators=(",", ":")),
        },
    }
    return Apply("ConfigMap", verified_record(resource.name), manifest, resource.name)


def roll_step(
    resource: ObservedResource, child: Child, observed: Observed, *, may_roll: bool, in_force: Finding
) -> Roll:
    """Bring the workload ``child`` of the TitanPhase ``resource`` one step further.

    Parameters
    ----------
    child
        Its Deployment or StatefulSet as wanted now.
    may_roll
        Whether it is its turn: one workload rolls at a time.
    in_force
        Whether the running process reports the plan's policy; a revision is verified only with it.
    """
    wanted = revision_of(child.manifest)
    failed = str((resource.status.get("revision") or {}).get("failed", ""))
    recorded = record_of(observed, resource.name)
    if failed == wanted and recorded is not None and recorded[0] != wanted:
        return _stay_reverted(resource, child, recorded, observed)
    live = observed.children.get((child.kind, child.name))
    if live is None:
        return Roll(
            (Apply(child.kind, child.name, child.manifest, resource.name), *deletion_events(resource, child, observed)),
            _starting(resource, wanted, recorded),
            waits_for=wanted,
        )
    running = revision_of(live)
    if running == wanted:
        return _settle(resource, child, live, observed, recorded, in_force)
    if not may_roll:
        message = f"revision {wanted} waits until another workload of the stack has rolled; {running} goes on"
        return Roll((), _outcome(resource, "Rolling", message, recorded, running, reconciling=True), busy=True)
    safe, effects = _safe_to_roll(child.role, resource, observed)
    if safe.holds is not True:
        outcome = _outcome(
            resource, "SafeToRoll", safe.message, recorded, running, reconciling=True, findings={"SafeToRoll": safe}
        )
        return Roll(tuple(effects), outcome, busy=True)
    # The claims of a StatefulSet cannot be changed, even where a newer renderer writes others.
    manifest = kept_template(child.manifest, live)
    difference = first_difference(manifest, live)
    note = f"revision {running} → {wanted}" + (f": {difference}" if difference else "")
    return Roll(
        (
            *effects,
            Apply(child.kind, child.name, manifest, resource.name),
            RecordEvent(resource.kind, resource.name, EventType.NORMAL, "Rolling", note),
        ),
        _outcome(resource, "Rolling", note, recorded, running, reconciling=True),
        busy=True,
        waits_for=wanted,
    )


def _settle(
    resource: ObservedResource,
    child: Child,
    live: Mapping[str, Any],
    observed: Observed,
    recorded: tuple[str, dict[str, Any]] | None,
    in_force: Finding,
) -> Roll:
    wanted = revision_of(child.manifest)
    effects = list(revert_drift(resource, child, live, observed))
    pods = [pod for pod in observed.pods_of(resource.name) if not pod.deleting]
    if child.kind == "StatefulSet":
        # OnDelete: the StatefulSet leaves a broken or an old pod where it is.
        effects += [Delete("Pod", pod.name, pod.uid) for pod in pods if pod.revision != wanted]
    current = [pod for pod in pods if pod.revision == wanted]
    ready = any(pod.ready for pod in current)
    old = [pod for pod in observed.pods_of(resource.name) if pod.revision != wanted]
    verified = recorded is not None and recorded[0] == wanted
    if ready and not old and in_force.holds is True:
        if not verified:
            effects.append(record(resource, child, observed.namespace))
            effects.append(
                RecordEvent(
                    resource.kind,
                    resource.name,
                    EventType.NORMAL,
                    "Verified",
                    f"revision {wanted} runs and is verified",
                )
            )
        outcome = _outcome(
            resource, "Running", f"revision {wanted} runs", recorded, wanted, ready=True, last_verified=wanted
        )
        return Roll(tuple(effects), outcome)
    trouble = _trouble(current, observed) or _refused_pods(live)
    waited = observed.waited_s.get((resource.name, wanted), 0.0)
    broken = waited > DEADLINE_S or any(pod.restarts >= _RESTARTS and not pod.ready for pod in current)
    if broken and not verified and recorded is not None:
        return _revert(resource, child, wanted, recorded, trouble or in_force.message, observed)
    if ready and in_force.holds is False:
        outcome = _outcome(resource, in_force.reason, in_force.message, recorded, wanted, stalled=True)
        return Roll(tuple(effects), outcome, busy=not verified, waits_for="" if verified else wanted)
    message = trouble or (in_force.message if ready else f"revision {wanted}: no pod is ready yet")
    outcome = _outcome(
        resource,
        "Starting",
        message,
        recorded,
        wanted,
        reconciling=True,
        stalled=broken,
        state=PhaseState.FAILED if broken else PhaseState.STARTING,
    )
    return Roll(tuple(effects), outcome, busy=not verified, waits_for="" if verified else wanted)


def revert_drift(
    resource: ObservedResource | None, child: Child, live: Mapping[str, Any], observed: Observed
) -> list[Effect]:
    """Bring ``live`` back to its rendered form, with an Event where another hand changed it.

    A newer renderer of the same revision restarts no pod: the template then stays as it is.
    """
    wanted = kept_template(child.manifest, live) if child.workload else child.manifest
    difference = first_difference(wanted, live)
    if difference is None:
        return []
    effects: list[Effect] = [Apply(child.kind, child.name, wanted, child.phase)]
    if surplus := removals(wanted, live):
        effects.insert(0, RemoveFields(child.kind, child.name, tuple(surplus), child.phase))
    if resource is not None and difference.by:
        note = f"{child.kind} {child.name} was changed by another hand and is put back: {difference}"
        effects.append(RecordEvent(resource.kind, resource.name, EventType.WARNING, "Drifted", note))
    return effects


def deletion_events(resource: ObservedResource | None, child: Child, observed: Observed) -> list[Effect]:
    """Record that another hand deleted an object, where it is known to have existed.

    The objects of a running resource existed before, unless a newer renderer has added one. An object that is named by
    its content existed if a workload mounts it.
    """
    if resource is None or resource.condition("Ready").get("reason") not in ("Running", "InForce"):
        return []
    workloads = [live for (kind, _), live in observed.children.items() if kind in ("Deployment", "StatefulSet")]
    others = [live for (kind, _), live in observed.children.items() if kind not in ("Deployment", "StatefulSet")]
    settled = any(live["metadata"].get("annotations", {}).get(RENDERED_BY) == observed.version for live in others)
    mounted = child.name in json.dumps([live["spec"] for live in workloads])
    if not settled or (child.manifest.get("immutable") and not mounted):
        return []
    note = f"{child.kind} {child.name} was deleted by another hand and is made again"
    return [RecordEvent(resource.kind, resource.name, EventType.WARNING, "Drifted", note)]


def _revert(
    resource: ObservedResource,
    child: Child,
    wanted: str,
    recorded: tuple[str, dict[str, Any]],
    why: str,
    observed: Observed,
) -> Roll:
    note = f"revision {wanted} did not come up ({why}); going back to {recorded[0]}, disarmed"
    effects: list[Effect] = [
        Tighten(Posture.CLOSE_ONLY, note),
        RecordEvent(resource.kind, resource.name, EventType.WARNING, "RollFailed", note),
        *_restore(resource, child, recorded, observed),
    ]
    outcome = _outcome(
        resource, "RollFailed", note, recorded, wanted, stalled=True, failed=wanted, state=PhaseState.FAILED
    )
    return Roll(tuple(effects), outcome)


def _stay_reverted(
    resource: ObservedResource, child: Child, recorded: tuple[str, dict[str, Any]], observed: Observed
) -> Roll:
    wanted = revision_of(child.manifest)
    note = f"revision {wanted} did not come up; {recorded[0]} goes on. Change the spec to try again"
    current = [pod for pod in observed.pods_of(resource.name) if pod.revision == recorded[0]]
    ready = any(pod.ready for pod in current)
    outcome = _outcome(
        resource, "RollFailed", note, recorded, recorded[0], stalled=True, failed=wanted, state=PhaseState.FAILED
    )
    return Roll(tuple(_restore(resource, child, recorded, observed)), outcome, busy=not ready)


def _restore(
    resource: ObservedResource, child: Child, recorded: tuple[str, dict[str, Any]], observed: Observed
) -> list[Effect]:
    revision, workload = recorded
    effects: list[Effect] = []
    live = observed.children.get((child.kind, child.name))
    wanted = workload if live is None else kept_template(workload, live)
    if live is None or first_difference(wanted, live) is not None:
        effects.append(Apply(child.kind, child.name, wanted, resource.name))
    if child.kind == "StatefulSet":
        effects += [
            Delete("Pod", pod.name, pod.uid)
            for pod in observed.pods_of(resource.name)
            if pod.revision != revision and not pod.deleting
        ]
    return effects


def _safe_to_roll(role: str, resource: ObservedResource, observed: Observed) -> tuple[Finding, list[Effect]]:
    if role != "execution":
        return Finding(True, "SafeToRoll", "rolls by itself"), []
    pods = [pod for pod in observed.pods_of(resource.name) if not pod.deleting]
    view = observed.stack.execution
    if view is None:
        if not any(pod.ready for pod in pods):
            # A process that does not run cannot be drained; its journal is on its volume.
            return Finding(True, "SafeToRoll", "Execution does not run"), []
        why = observed.stack.problems.get("execution", "no answer")
        return Finding(
            False, "SafeToRoll", f"Execution does not answer ({why}): whether it is drained is not known"
        ), []
    effects: list[Effect] = []
    if view.in_force > Posture.CLOSE_ONLY:
        effects.append(Tighten(Posture.CLOSE_ONLY, "Execution is about to roll"))
        return Finding(False, "SafeToRoll", "closing Execution to entries before its roll"), effects
    waiting = [
        f"{count} {what}"
        for what, count in (
            ("working entries", view.working_entries),
            ("orders of unknown state", view.unresolved_orders),
        )
        if count
    ]
    if not view.journal_flushed:
        waiting.append("a journal that is not flushed")
    if waiting:
        return Finding(False, "SafeToRoll", f"Execution still has {', '.join(waiting)}"), effects
    return Finding(True, "SafeToRoll", "drained"), effects


def _trouble(pods: list[Pod], observed: Observed) -> str:
    for pod in pods:
        if reported := pod.trouble or "; ".join(observed.not_ready.get(pod.name, ())):
            return f"pod {pod.name}: {reported}"
    return ""


def _refused_pods(live: Mapping[str, Any]) -> str:
    """Return why no pod can be created: admission, quota, a missing class."""
    conditions = live.get("status", {}).get("conditions") or ()
    return next((str(item["message"]) for item in conditions if item["type"] == "ReplicaFailure"), "")


def _starting(resource: ObservedResource, wanted: str, recorded: tuple[str, dict[str, Any]] | None) -> Outcome:
    return _outcome(
        resource,
        "Starting",
        f"revision {wanted} is being created",
        recorded,
        wanted,
        reconciling=True,
        state=PhaseState.STARTING,
    )


def _outcome(
    resource: ObservedResource,
    reason: str,
    message: str,
    recorded: tuple[str, dict[str, Any]] | None,
    current: str,
    *,
    ready: bool = False,
    reconciling: bool = False,
    stalled: bool = False,
    state: PhaseState | None = None,
    failed: str = "",
    last_verified: str = "",
    findings: Mapping[str, Finding] | None = None,
) -> Outcome:
    return Outcome(
        ready=ready,
        reason=reason,
        message=message,
        state=state or (PhaseState.READY if ready else PhaseState.STARTING),
        stalled=stalled,
        reconciling=reconciling and not stalled,
        findings=findings or {},
        current=current,
        last_verified=last_verified or (recorded[0] if recorded else ""),
        failed=failed,
    )
