"""Pure: one pass over a namespace. World in; effects and outcomes out.

Posture and people's acts come first and pass no gate: tightening always works. What leaves is drained before it goes.
Then the gates, in order; behind them the plan, and each workload's next step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.kinds import Posture
from titan.domain.policy_hash import short_hash
from titan_operator.api import RiskPolicy, TitanPhase
from titan_operator.api.names import FINALIZER, PROTECTED
from titan_operator.cluster.event_types import EventType
from titan_operator.planning.eligibility import dormant
from titan_operator.planning.gates import GateReason
from titan_operator.planning.plan import Plan, plan
from titan_operator.planning.roles import PLANNED_ROLES, ROLL_ORDER
from titan_operator.reconcile.deletion import execution_child, garbage, leave, leaving_outcome, removal
from titan_operator.reconcile.effects import (
    Annotate,
    Apply,
    Certificate,
    Decision,
    Delete,
    Effect,
    Finding,
    Outcome,
    PhaseState,
    RecordEvent,
    SetFinalizer,
    Tighten,
)
from titan_operator.reconcile.gates import Refusal, image_finding, phase_refusal, running_revoked, stack_refusal
from titan_operator.reconcile.migrations import held, migrated, written
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.pod_retries import POD, pod_retries, without_pod
from titan_operator.reconcile.policy_signature import sequence_record
from titan_operator.reconcile.posture import pinned, pinned_names, posture_effects
from titan_operator.reconcile.rollout import Roll, missed, put_back, revision_of, step, under_way
from titan_operator.render.kubernetes import Child, KubernetesOptions, render_kubernetes
from titan_operator.supplychain.verdict import REVOKED

# While something moves, look again this soon even if no event comes.
BUSY_S = 2.0


def decide(world: Observed) -> Decision:
    """Decide one pass."""
    effects: list[Effect] = posture_effects(world)
    effects += _finalizers(world)
    outcomes: dict[str, Outcome] = {}
    staying = [item for item in world.phases if not item.deleting]
    for given in world.phases:
        if given.deleting:
            outcomes[given.name] = _leaves(given, world, effects, deleting=True)
    planned, refused = _planned(world)
    wanted: list[tuple[str, str]] = []
    waits: dict[tuple[str, str], str] = {}
    if planned is None:
        assert refused is not None
        for given in staying:
            outcomes[given.name] = _refused(given, refused, world, effects)
    else:
        children = render_kubernetes(
            planned, KubernetesOptions(world.namespace, world.operator_namespace, world.version)
        )
        wanted = [(child.kind, child.name) for child in children]
        _follow(planned, children, world, staying, effects, outcomes, waits)
    effects += _renewals(world, effects)
    effects += pod_retries(world)
    waits |= {(name, POD): name for name in without_pod(world)}
    effects += garbage(world, wanted)
    effects += _namespace(world)
    policies = {policy.name: _policy_outcome(policy, world, effects) for policy in world.policies}
    for policy in pinned(world):
        effects += sequence_record(world, policies[policy.name])
    busy = any(item.reconciling for item in outcomes.values())
    return Decision(tuple(effects), outcomes, policies, waits, BUSY_S if busy else None)


def _renewals(world: Observed, effects: Sequence[Effect]) -> list[Effect]:
    """Certificates of what runs though it is refused or leaves: without them it would end by itself."""
    done = {effect.phase for effect in effects if isinstance(effect, Certificate)}
    ends = {effect.name for effect in effects if isinstance(effect, Delete)}
    return [
        Certificate(given.name, str(given.raw["spec"]["role"]))
        for given in world.phases
        if _runs(given, world) and given.name not in done | ends
    ]


def _finalizers(world: Observed) -> list[Effect]:
    return [
        SetFinalizer(item.kind, item.name, present=True)
        for item in (*world.policies, *world.phases)
        if not item.deleting and not item.finalized
    ]


def _planned(world: Observed) -> tuple[Plan | None, Refusal | None]:
    refused = stack_refusal(world)
    if refused is not None:
        return None, refused
    resources = [item.resource for item in (*world.policies, *world.phases) if item.resource is not None]
    return plan(resources, PAPER_INSTRUMENTS, with_suspended=True), None


def _refused(given: ObservedResource, refused: Refusal, world: Observed, effects: list[Effect]) -> Outcome:
    if (drained := _drained(given, world, effects)) is not None:
        return drained
    own = phase_refusal(given, world)
    refusal = own if own is not None and own.reason is GateReason.SPEC_VALID else refused
    return _refusal_outcome(given, refusal, world, effects)


def _refusal_outcome(given: ObservedResource, refusal: Refusal, world: Observed, effects: list[Effect]) -> Outcome:
    gate = refusal.reason.value
    findings = {gate: Finding(False, refusal.cause or gate, refusal.message)}
    if refusal.cause != REVOKED and (why := running_revoked(given, world)):
        of_image = findings.get(GateReason.IMAGE_VERIFIED.value)
        told = f"{why}; {of_image.message}" if of_image else why
        findings[GateReason.IMAGE_VERIFIED.value] = Finding(False, REVOKED, told)
    for kind, finding in findings.items():
        effects += _told(given, kind, finding)
    runs = [
        child
        for (kind, name), child in world.children.items()
        if kind in ("Deployment", "StatefulSet") and name == given.name
    ]
    revision = given.status.get("revision") or {}
    return Outcome(
        ready=False,
        reason=refusal.reason.value,
        message=refusal.message + (f"; revision {revision_of(runs[0])} goes on" if runs else ""),
        state=PhaseState.FAILED if refusal.needs_person else PhaseState.PENDING,
        stalled=refusal.needs_person,
        reconciling=not refusal.needs_person,
        findings=findings,
        current=revision_of(runs[0]) if runs else "",
        last_verified=str(revision.get("lastVerified", "")),
        failed=str(revision.get("failed", "")),
    )


def _told(given: ObservedResource, kind: str, finding: Finding) -> list[Effect]:
    """An Event about what does not hold, where it was not told yet."""
    if given.condition(kind).get("message") == finding.message:
        return []
    reason = REVOKED if finding.reason == REVOKED else kind
    return [RecordEvent(given.kind, given.name, EventType.WARNING, reason, finding.message)]


def _drained(given: ObservedResource, world: Observed, effects: list[Effect]) -> Outcome | None:
    """End what runs a revoked image where the trust policy asks for it, unless a trusted one takes its place."""
    why = running_revoked(given, world)
    if not why or not world.drain_revoked or phase_refusal(given, world) is None:
        return None
    finding = Finding(False, REVOKED, why)
    effects += _told(given, GateReason.IMAGE_VERIFIED.value, finding)
    outcome = _steps_aside(given, world, effects, PhaseState.DRAINING, REVOKED, why)
    return replace(outcome, findings={**outcome.findings, GateReason.IMAGE_VERIFIED.value: finding})


def _follow(
    planned: Plan,
    children: Sequence[Child],
    world: Observed,
    staying: Sequence[ObservedResource],
    effects: list[Effect],
    outcomes: dict[str, Outcome],
    waits: dict[tuple[str, str], str],
) -> None:
    by_name = {given.name: given for given in staying}
    policy = next((item for item in world.policies if item.name == planned.policy_name), None)
    active: dict[str, ObservedResource] = {}
    for given in staying:
        outcome = _inactive(given, world, effects)
        if outcome is None:
            active[given.name] = given
        else:
            outcomes[given.name] = outcome
    execution = world.stack.execution
    if execution is not None and execution.in_force > Posture.CLOSE_ONLY and _policy_changes(planned, world):
        effects.append(Tighten(Posture.CLOSE_ONLY, f"the policy becomes {planned.policy_name}"))
    for child in children:
        needed = child.phase in active or (not child.phase and active)
        if not needed or child.workload:
            continue
        if child.kind in ("PersistentVolumeClaim", "Job") and world.children.get((child.kind, child.name)) is not None:
            # A claim is hardly changeable once it is bound, and a Job not at all: what is there is kept.
            continue
        live = world.children.get((child.kind, child.name))
        # What belongs to the whole stack is told of its policy.
        about = by_name.get(child.phase) or policy
        if live is None:
            effects += [Apply(child.kind, child.name, child.manifest, child.phase), *missed(about, child, world)]
        else:
            effects += put_back(about, child, live, world)
    workloads = {item.role: item for item in children if item.workload and item.phase in active}
    # Whoever has begun ends first, were it Execution that waits for it.
    turn = next((role for role in ROLL_ORDER if role in workloads and under_way(workloads[role], world)), "")
    for role in ROLL_ORDER:
        workload = workloads.get(role)
        if workload is None:
            continue
        given = active[workload.phase]
        effects.append(Certificate(given.name, role))
        in_force = _in_force(role, planned, world)
        tables = migrated(given, children, world)
        waits_for_tables = held(given, workload, world, tables) if planned.workload(role).database else None
        roll: Roll = waits_for_tables or step(given, workload, world, may_roll=turn in ("", role), in_force=in_force)
        effects += roll.effects
        if roll.busy and not turn:
            turn = role
        if roll.waits_for:
            waits[(given.name, roll.waits_for)] = role
        checks = {"PolicyInForce": in_force, **_checks(role, planned, world)}
        if PLANNED_ROLES[role].has_tables:
            checks |= {"StorageMigrated": tables, "TablesWritten": written(role, world)}
        verified = image_finding(given, world)
        if verified.holds is False:
            effects += _told(given, GateReason.IMAGE_VERIFIED.value, verified)
        checks[GateReason.IMAGE_VERIFIED.value] = verified
        outcomes[given.name] = _with_facts(roll.outcome, given, planned, checks)


def _checks(role: str, planned: Plan, world: Observed) -> dict[str, Finding]:
    """What is checked of what runs, besides its policy."""
    found: dict[str, Finding] = {}
    waits = [peer for peer in planned.workload(role).depends if not _answers(planned.workload(peer).name, world)]
    if waits:
        found["DependenciesReady"] = Finding(False, "Waiting", f"{role} needs {', '.join(waits)}, not ready yet")
    else:
        found["DependenciesReady"] = Finding(True, "Ready", "all that it needs is ready")
    return found


def _answers(phase: str, world: Observed) -> bool:
    return any(pod.ready for pod in world.pods_of(phase))


def _with_facts(outcome: Outcome, given: ObservedResource, planned: Plan, checks: Mapping[str, Finding]) -> Outcome:
    image = given.resource.spec.image if isinstance(given.resource, TitanPhase) else ""
    findings = {
        "SpecValid": Finding(True, "Valid", "every field is allowed"),
        "AdmissionEnforced": Finding(True, "CanaryPassed", "the API server refuses images that are not listed"),
        **checks,
        **outcome.findings,
    }
    bound = isinstance(given.resource, TitanPhase) and PLANNED_ROLES[given.resource.spec.role].binds_policy
    enforced = planned.policy_hash if bound else ""
    return replace(outcome, findings=findings, image_digest=image.rpartition("@")[2], policy_hash=enforced)


def _inactive(given: ObservedResource, world: Observed, effects: list[Effect]) -> Outcome | None:
    """What keeps this phase from running, though the stack is fine; None where nothing does."""
    assert isinstance(given.resource, TitanPhase)
    spec = given.resource.spec
    if spec.suspend:
        return _steps_aside(given, world, effects, PhaseState.SUSPENDED, "NotSuspended", "spec.suspend is true")
    equity, slept = _equity(world), given.condition("Ready").get("reason") == "Dormant"
    asleep, why = dormant(spec.role, equity, True if slept else (False if _runs(given, world) else None))
    if asleep and equity is None and not slept:
        return Outcome(None, "EquityUnknown", why, PhaseState.PENDING, reconciling=True)
    if asleep:
        return _steps_aside(given, world, effects, PhaseState.DORMANT, "Dormant", why)
    if (drained := _drained(given, world, effects)) is not None:
        return drained
    refusal = phase_refusal(given, world)
    return None if refusal is None else _refusal_outcome(given, refusal, world, effects)


def _runs(given: ObservedResource, world: Observed) -> bool:
    return any((kind, given.name) in world.children for kind in ("Deployment", "StatefulSet"))


def _equity(world: Observed) -> Decimal | None:
    return None if world.stack.brain is None else world.stack.brain.equity


def _steps_aside(
    given: ObservedResource, world: Observed, effects: list[Effect], state: PhaseState, reason: str, why: str
) -> Outcome:
    if not _runs(given, world):
        # Ready: it is as its owner wants it, and `helm --wait` and `kubectl wait` end.
        findings = {"NotSuspended": Finding(False, "Suspended", why)} if state is PhaseState.SUSPENDED else {}
        ready_reason = "Suspended" if state is PhaseState.SUSPENDED else "Dormant"
        return Outcome(True, ready_reason, why, state, findings=findings)
    judged = leave(world, given, deleting=False)
    effects += judged.effects
    if judged.allowed:
        effects += removal(world, given, judged)
    return Outcome(False, "Draining", f"{why}: {judged.message}", PhaseState.DRAINING, reconciling=True)


def _leaves(given: ObservedResource, world: Observed, effects: list[Effect], *, deleting: bool) -> Outcome:
    judged = leave(world, given, deleting=deleting)
    effects += judged.effects
    if judged.allowed:
        effects += removal(world, given, judged)
    return leaving_outcome(given, judged)


def _policy_changes(planned: Plan, world: Observed) -> bool:
    brain, execution = world.stack.brain, world.stack.execution
    running = {view.policy_hash for view in (brain, execution) if view is not None and view.policy_hash}
    return bool(running - {planned.policy_hash})


def _in_force(role: str, planned: Plan, world: Observed) -> Finding:
    """What the running process says of its own policy: its word, never what the operator mounted."""
    if not PLANNED_ROLES[role].binds_policy:
        return Finding(True, "NotBound", "this role enforces no policy")
    brain, execution = world.stack.brain, world.stack.execution
    if role == "execution":
        said, who = (execution.policy_hash if execution else ""), "execution"
    elif role == "brain":
        said, who = (brain.policy_hash if brain else ""), "brain"
    else:
        state = brain.phases.get(role) if brain else None
        said, who = (state.policy_hash if state and state.connected else ""), "brain"
    if not said:
        why = world.stack.problems.get(who, f"{role} has not told its policy yet")
        return Finding(None, "NotTold", why)
    if said != planned.policy_hash:
        return Finding(
            False,
            "PolicyInForce",
            f"{role} enforces {said}, the stack's policy {planned.policy_name} is {planned.policy_hash}",
        )
    return Finding(True, "InForce", f"{role} enforces {planned.policy_name}, {short_hash(said)}")


def _namespace(world: Observed) -> list[Effect]:
    annotations = world.namespace_raw.get("metadata", {}).get("annotations", {})
    protected = annotations.get(PROTECTED) == "true"
    # Until our last finalizer is off: a namespace that goes takes the operator's own rights in it along.
    resources = (*world.phases, *world.policies)
    held = any(FINALIZER in item.raw["metadata"].get("finalizers", ()) for item in resources)
    needed = held or execution_child(world) is not None
    if needed == protected or not world.namespace_raw:
        return []
    return [Annotate("Namespace", world.namespace, PROTECTED, "true" if needed else None)]


def _policy_outcome(policy: ObservedResource, world: Observed, effects: list[Effect]) -> Outcome:
    names = pinned_names(world)
    if policy.deleting:
        if policy.name in names:
            pins = ", ".join(
                item.name
                for item in world.phases
                if item.raw.get("spec", {}).get("policyRef", {}).get("name") == policy.name
            )
            return Outcome(
                False,
                "Pinned",
                f"still pinned by {pins}; it goes when they have gone",
                PhaseState.DRAINING,
                reconciling=True,
            )
        effects.append(SetFinalizer(policy.kind, policy.name, present=False))
        return Outcome(False, "Terminating", "nothing pins it", PhaseState.TERMINATING, reconciling=True)
    if not isinstance(policy.resource, RiskPolicy):
        return Outcome(False, GateReason.SPEC_VALID.value, policy.problem, PhaseState.FAILED, stalled=True)
    if policy not in pinned(world):
        return Outcome(True, "Unpinned", "no TitanPhase pins it", PhaseState.READY)
    wanted = policy.resource.spec.hash
    told = {
        view: hash_
        for view, hash_ in (
            ("brain", world.stack.brain and world.stack.brain.policy_hash),
            ("execution", world.stack.execution and world.stack.execution.policy_hash),
        )
        if hash_
    }
    others = {who: said for who, said in told.items() if said != wanted}
    if others:
        said = ", ".join(f"{who} enforces {hash_}" for who, hash_ in others.items())
        return Outcome(
            False, "PolicyInForce", f"{said}; this policy is {wanted}", PhaseState.STARTING, reconciling=True
        )
    if len(told) < 2:
        problems = (
            "; ".join(f"{who}: {why}" for who, why in sorted(world.stack.problems.items()))
            or "Brain and Execution do not run yet"
        )
        return Outcome(False, "NotTold", problems, PhaseState.STARTING, reconciling=True)
    return Outcome(True, "InForce", f"Brain and Execution enforce {policy.name}", PhaseState.READY)
