"""Pure: the step of a TitanPhase that does not run, is not to run, or leaves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from titan.domain.numbers import ZERO
from titan_operator.api import RiskPolicy, TitanPhase
from titan_operator.api.resources import Spec, TradingSpec
from titan_operator.cluster.event_types import EventType
from titan_operator.planning.eligibility import dormant
from titan_operator.planning.gates import GateReason
from titan_operator.reconcile.deletion import leaving_outcome, may_remove, removal_effects
from titan_operator.reconcile.effects import Effect, Finding, Outcome, PhaseState, RecordEvent, Step
from titan_operator.reconcile.gates import Refusal, phase_refusal, running_revoked
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.rollout import revision_of
from titan_operator.supplychain.verdict import REVOKED

_WORKLOADS = ("Deployment", "StatefulSet")


def has_workload(resource: ObservedResource, observed: Observed) -> bool:
    """Whether a phase has a Deployment or StatefulSet."""
    return any((kind, resource.name) in observed.children for kind in _WORKLOADS)


def leave(resource: ObservedResource, observed: Observed) -> Step:
    """Remove a phase that is being deleted, as soon as it may go."""
    check = may_remove(observed, resource, deleting=True)
    removal = removal_effects(observed, resource, check) if check.allowed else ()
    return Step((*check.effects, *removal), leaving_outcome(check))


def refuse(resource: ObservedResource, stack: Refusal, observed: Observed) -> Step:
    """Keep a phase as it is, because its stack is refused; a spec that cannot be read is named first."""
    if (drained := _drain_revoked(resource, observed)) is not None:
        return drained
    own = phase_refusal(resource, observed)
    return _refusal(resource, own if own is not None and own.reason is GateReason.SPEC_VALID else stack, observed)


def inactive(resource: ObservedResource, observed: Observed) -> Step | None:
    """Return the step of a phase that may not run, though its stack may; None where nothing keeps it from running."""
    assert isinstance(resource.resource, TitanPhase)
    spec = resource.resource.spec
    if spec.suspend:
        return _step_aside(resource, observed, PhaseState.SUSPENDED, "spec.suspend is true")
    equity, slept = _equity(observed), resource.condition("Ready").get("reason") == "Dormant"
    was_dormant = True if slept else (False if has_workload(resource, observed) else None)
    asleep, why = dormant(spec.role, equity, was_dormant, _equity_floor(spec, observed))
    if asleep and equity is None and not slept:
        return Step((), Outcome(None, "EquityUnknown", why, PhaseState.PENDING, reconciling=True))
    if asleep:
        return _step_aside(resource, observed, PhaseState.DORMANT, why)
    if (drained := _drain_revoked(resource, observed)) is not None:
        return drained
    refusal = phase_refusal(resource, observed)
    return None if refusal is None else _refusal(resource, refusal, observed)


def finding_events(resource: ObservedResource, kind: str, finding: Finding) -> tuple[Effect, ...]:
    """Record an Event about a finding that does not hold, unless the status has the same message already."""
    if resource.condition(kind).get("message") == finding.message:
        return ()
    reason = REVOKED if finding.reason == REVOKED else kind
    return (RecordEvent(resource.kind, resource.name, EventType.WARNING, reason, finding.message),)


def _refusal(resource: ObservedResource, refusal: Refusal, observed: Observed) -> Step:
    gate = refusal.reason.value
    findings = {gate: Finding(False, refusal.cause or gate, refusal.message)}
    if refusal.cause != REVOKED and (why := running_revoked(resource, observed)):
        of_image = findings.get(GateReason.IMAGE_VERIFIED.value)
        message = f"{why}; {of_image.message}" if of_image else why
        findings[GateReason.IMAGE_VERIFIED.value] = Finding(False, REVOKED, message)
    events = [event for kind, finding in findings.items() for event in finding_events(resource, kind, finding)]
    workloads = [
        child for (kind, name), child in observed.children.items() if kind in _WORKLOADS and name == resource.name
    ]
    revision = resource.status.get("revision") or {}
    outcome = Outcome(
        ready=False,
        reason=refusal.reason.value,
        message=refusal.message + (f"; revision {revision_of(workloads[0])} goes on" if workloads else ""),
        state=PhaseState.FAILED if refusal.needs_person else PhaseState.PENDING,
        stalled=refusal.needs_person,
        reconciling=not refusal.needs_person,
        findings=findings,
        current=revision_of(workloads[0]) if workloads else "",
        last_verified=str(revision.get("lastVerified", "")),
        failed=str(revision.get("failed", "")),
    )
    return Step(tuple(events), outcome)


def _drain_revoked(resource: ObservedResource, observed: Observed) -> Step | None:
    """End a revoked image that runs, where the trust policy asks for it and no trusted image takes its place."""
    why = running_revoked(resource, observed)
    if not why or not observed.drain_revoked or phase_refusal(resource, observed) is None:
        return None
    kind, finding = GateReason.IMAGE_VERIFIED.value, Finding(False, REVOKED, why)
    aside = _step_aside(resource, observed, PhaseState.DRAINING, why)
    outcome = replace(aside.outcome, findings={**aside.outcome.findings, kind: finding})
    return Step((*finding_events(resource, kind, finding), *aside.effects), outcome)


def _step_aside(resource: ObservedResource, observed: Observed, state: PhaseState, why: str) -> Step:
    if not has_workload(resource, observed):
        # Ready: it is as its owner wants it, and `helm --wait` and `kubectl wait` end.
        findings = {"NotSuspended": Finding(False, "Suspended", why)} if state is PhaseState.SUSPENDED else {}
        ready_reason = "Suspended" if state is PhaseState.SUSPENDED else "Dormant"
        return Step((), Outcome(True, ready_reason, why, state, findings=findings))
    check = may_remove(observed, resource, deleting=False)
    removal = removal_effects(observed, resource, check) if check.allowed else ()
    outcome = Outcome(False, "Draining", f"{why}: {check.message}", PhaseState.DRAINING, reconciling=True)
    return Step((*check.effects, *removal), outcome)


def _equity_floor(spec: Spec, observed: Observed) -> Decimal:
    """Return the floor of the policy that a phase pins; 0 where it pins none that can be read."""
    pinned = spec.policy_ref.name if isinstance(spec, TradingSpec) else ""
    policies = [item.resource for item in observed.policies if item.name == pinned]
    return next((item.spec.rules.equity_floor for item in policies if isinstance(item, RiskPolicy)), ZERO)


def _equity(observed: Observed) -> Decimal | None:
    return None if observed.stack.brain is None else observed.stack.brain.equity
