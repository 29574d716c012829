"""Pure: the steps of a stack whose plan stands: its shared objects first, then one roll at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from titan.domain.enums import Posture
from titan_operator.api import TitanPhase
from titan_operator.planning.gates import GateReason
from titan_operator.planning.plan import Plan
from titan_operator.planning.roles import PLANNED_ROLES, ROLL_ORDER
from titan_operator.reconcile.effects import Apply, Certificate, Effect, Finding, Outcome, Step, Tighten
from titan_operator.reconcile.gates import image_finding
from titan_operator.reconcile.migrations import hold_for_tables, tables_migrated, tables_written
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.phases import finding_events
from titan_operator.reconcile.policies import policy_in_force
from titan_operator.reconcile.rollout import deletion_events, is_rolling, revert_drift, roll_step
from titan_operator.render.kubernetes import Child

Active = Mapping[str, ObservedResource]


def shared_effects(
    planned: Plan,
    children: Sequence[Child],
    active: Active,
    staying: Sequence[ObservedResource],
    observed: Observed,
) -> tuple[Effect, ...]:
    """Close to entries before another policy takes over, then bring all objects but workloads to the plan."""
    by_name = {resource.name: resource for resource in staying}
    policy = next((item for item in observed.policies if item.name == planned.policy_name), None)
    effects: list[Effect] = []
    execution = observed.stack.execution
    if execution is not None and execution.in_force > Posture.CLOSE_ONLY and _policy_changes(planned, observed):
        effects.append(Tighten(Posture.CLOSE_ONLY, f"the policy becomes {planned.policy_name}"))
    for child in children:
        needed = child.phase in active or (not child.phase and active)
        if needed and not child.workload:
            # Events about objects of the whole stack are recorded on its policy.
            effects += _object_effects(by_name.get(child.phase) or policy, child, observed)
    return tuple(effects)


def _object_effects(about: ObservedResource | None, child: Child, observed: Observed) -> list[Effect]:
    live = observed.children.get((child.kind, child.name))
    if live is None:
        apply = Apply(child.kind, child.name, child.manifest, child.phase)
        return [apply, *deletion_events(about, child, observed)]
    # A claim is hardly changeable once it is bound, and a Job not at all: what is there is kept.
    return [] if child.kind in ("PersistentVolumeClaim", "Job") else revert_drift(about, child, live, observed)


def roll_steps(planned: Plan, children: Sequence[Child], active: Active, observed: Observed) -> dict[str, Step]:
    """Bring each workload one step further, in roll order; a roll that has begun ends before another begins."""
    workloads = {item.role: item for item in children if item.workload and item.phase in active}
    # The workload that has begun ends first, even where Execution waits for it.
    turn = next((role for role in ROLL_ORDER if role in workloads and is_rolling(workloads[role], observed)), "")
    steps: dict[str, Step] = {}
    for role in (role for role in ROLL_ORDER if role in workloads):
        resource = active[workloads[role].phase]
        may_roll = turn in ("", role)
        steps[resource.name], busy = _workload_step(planned, children, workloads[role], resource, observed, may_roll)
        if busy and not turn:
            turn = role
    return steps


def _workload_step(
    planned: Plan,
    children: Sequence[Child],
    workload: Child,
    resource: ObservedResource,
    observed: Observed,
    may_roll: bool,
) -> tuple[Step, bool]:
    """Return the step of one workload, and whether the others must wait for it."""
    role = workload.role
    in_force = policy_in_force(role, planned, observed)
    tables = tables_migrated(resource, children, observed)
    held = hold_for_tables(resource, workload, observed, tables) if planned.workload(role).database else None
    roll = held or roll_step(resource, workload, observed, may_roll=may_roll, in_force=in_force)
    checks = {"PolicyInForce": in_force, "DependenciesReady": _dependencies_ready(role, planned, observed)}
    if PLANNED_ROLES[role].has_tables:
        checks |= {"StorageMigrated": tables, "TablesWritten": tables_written(role, observed)}
    image_kind, image = GateReason.IMAGE_VERIFIED.value, image_finding(resource, observed)
    checks[image_kind] = image
    events = finding_events(resource, image_kind, image) if image.holds is False else ()
    step = Step(
        (Certificate(resource.name, role), *roll.effects, *events),
        _with_facts(roll.outcome, resource, planned, checks),
        {(resource.name, roll.waits_for): role} if roll.waits_for else {},
    )
    return step, roll.busy


def _dependencies_ready(role: str, planned: Plan, observed: Observed) -> Finding:
    waits = [peer for peer in planned.workload(role).depends if not _is_ready(planned.workload(peer).name, observed)]
    if waits:
        return Finding(False, "Waiting", f"{role} needs {', '.join(waits)}, not ready yet")
    return Finding(True, "Ready", "all that it needs is ready")


def _is_ready(phase: str, observed: Observed) -> bool:
    return any(pod.ready for pod in observed.pods_of(phase))


def _with_facts(outcome: Outcome, resource: ObservedResource, planned: Plan, checks: Mapping[str, Finding]) -> Outcome:
    assert isinstance(resource.resource, TitanPhase)
    spec = resource.resource.spec
    findings = {
        "SpecValid": Finding(True, "Valid", "every field is allowed"),
        "AdmissionEnforced": Finding(True, "CanaryPassed", "the API server refuses images that are not listed"),
        **checks,
        **outcome.findings,
    }
    enforced = planned.policy_hash if PLANNED_ROLES[spec.role].binds_policy else ""
    return replace(outcome, findings=findings, image_digest=spec.image.rpartition("@")[2], policy_hash=enforced)


def _policy_changes(planned: Plan, observed: Observed) -> bool:
    views = (observed.stack.brain, observed.stack.execution)
    running = {view.policy_hash for view in views if view is not None and view.policy_hash}
    return bool(running - {planned.policy_hash})
