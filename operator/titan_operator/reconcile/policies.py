"""Pure: the step of a RiskPolicy, and the policy that the running processes enforce."""

from __future__ import annotations

from titan.domain.policy_hash import short_hash
from titan_operator.api import RiskPolicy
from titan_operator.planning.gates import GateReason
from titan_operator.planning.plan import Plan
from titan_operator.planning.roles import PLANNED_ROLES
from titan_operator.reconcile.effects import Finding, Outcome, PhaseState, SetFinalizer, Step
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.posture import pinned, pinned_names


def policy_in_force(role: str, planned: Plan, observed: Observed) -> Finding:
    """Compare the policy that the running process of a role reports with the plan's.

    Only the process's own report counts, never the file that the operator mounted.
    """
    if not PLANNED_ROLES[role].binds_policy:
        return Finding(True, "NotBound", "this role enforces no policy")
    brain, execution = observed.stack.brain, observed.stack.execution
    if role == "execution":
        reported, reporter = (execution.policy_hash if execution else ""), "execution"
    elif role == "brain":
        reported, reporter = (brain.policy_hash if brain else ""), "brain"
    else:
        state = brain.phases.get(role) if brain else None
        reported, reporter = (state.policy_hash if state and state.connected else ""), "brain"
    if not reported:
        why = observed.stack.problems.get(reporter, f"{role} has not reported its policy yet")
        return Finding(None, "NotTold", why)
    if reported != planned.policy_hash:
        return Finding(
            False,
            "PolicyInForce",
            f"{role} enforces {reported}, the stack's policy {planned.policy_name} is {planned.policy_hash}",
        )
    return Finding(True, "InForce", f"{role} enforces {planned.policy_name}, {short_hash(reported)}")


def policy_step(policy: ObservedResource, observed: Observed) -> Step:
    """Release a policy that is deleted and no longer pinned; report whether a pinned one is in force."""
    if policy.deleting:
        return _deletion(policy, observed)
    return Step((), _outcome(policy, observed))


def _deletion(policy: ObservedResource, observed: Observed) -> Step:
    if policy.name not in pinned_names(observed):
        gone = Outcome(False, "Terminating", "nothing pins it", PhaseState.TERMINATING, reconciling=True)
        return Step((SetFinalizer(policy.kind, policy.name, present=False),), gone)
    pins = ", ".join(
        item.name
        for item in observed.phases
        if item.raw.get("spec", {}).get("policyRef", {}).get("name") == policy.name
    )
    message = f"still pinned by {pins}; it goes when they have gone"
    return Step((), Outcome(False, "Pinned", message, PhaseState.DRAINING, reconciling=True))


def _outcome(policy: ObservedResource, observed: Observed) -> Outcome:
    if not isinstance(policy.resource, RiskPolicy):
        return Outcome(False, GateReason.SPEC_VALID.value, policy.problem, PhaseState.FAILED, stalled=True)
    if policy not in pinned(observed):
        return Outcome(True, "Unpinned", "no TitanPhase pins it", PhaseState.READY)
    wanted = policy.resource.spec.hash
    views = (("brain", observed.stack.brain), ("execution", observed.stack.execution))
    reported = {role: view.policy_hash for role, view in views if view and view.policy_hash}
    others = [f"{role} enforces {hash_}" for role, hash_ in reported.items() if hash_ != wanted]
    if others:
        message = f"{', '.join(others)}; this policy is {wanted}"
        return Outcome(False, "PolicyInForce", message, PhaseState.STARTING, reconciling=True)
    if len(reported) < len(views):
        problems = "; ".join(f"{role}: {why}" for role, why in sorted(observed.stack.problems.items()))
        message = problems or "Brain and Execution do not run yet"
        return Outcome(False, "NotTold", message, PhaseState.STARTING, reconciling=True)
    return Outcome(True, "InForce", f"Brain and Execution enforce {policy.name}", PhaseState.READY)
