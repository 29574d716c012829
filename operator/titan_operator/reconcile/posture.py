"""Pure: the posture of a stack. The ceiling follows the resources; acts are sent once; nothing is raised."""

from __future__ import annotations

from collections.abc import Sequence

from titan.domain.enums import Posture
from titan.domain.posture import resolve_flatten
from titan_operator.api import RiskPolicy
from titan_operator.api.acts import LOOSENING, ActVerb
from titan_operator.reconcile.effects import Effect, ForwardAct, RecordActResult, SetCeiling, Tighten
from titan_operator.reconcile.observed import Observed, ObservedResource


def pinned_names(observed: Observed) -> tuple[str, ...]:
    """Name the policies that TitanPhases pin, in order of appearance; unreadable phases count too."""
    names = (item.raw.get("spec", {}).get("policyRef", {}).get("name") for item in observed.phases)
    return tuple(dict.fromkeys(name for name in names if name))


def pinned(observed: Observed) -> tuple[ObservedResource, ...]:
    """Return the pinned policies that exist."""
    by_name = {policy.name: policy for policy in observed.policies}
    return tuple(by_name[name] for name in pinned_names(observed) if name in by_name)


def ceiling(observed: Observed) -> Posture:
    """Return the highest posture that the resources allow: the lowest of the pinned ceilings.

    CLOSE_ONLY where pins differ, a pinned policy is missing, unreadable or being deleted: opening risk fails closed.
    """
    names, policies = pinned_names(observed), pinned(observed)
    allowed = [item.resource.spec.ceiling for item in policies if isinstance(item.resource, RiskPolicy)]
    whole = len(names) == len(policies) == len(allowed) == 1 and not policies[0].deleting
    return min([*allowed, Posture.ARMED if whole else Posture.CLOSE_ONLY])


def posture_effects(observed: Observed) -> list[Effect]:
    """Bring Brain and Execution to the ceiling, and send people's acts to both."""
    limit = ceiling(observed)
    brain, execution = observed.stack.brain, observed.stack.execution
    effects: list[Effect] = []
    flat = execution is not None and not execution.open_positions and not execution.working_orders
    # A finished FLATTEN is HALTED: a tightening would begin it again.
    highest = resolve_flatten(limit, finished=flat)
    if any(view is not None and view.in_force > highest for view in (brain, execution)):
        effects.append(Tighten(limit, f"the ceiling is {limit.name}"))
    if brain is not None and brain.ceiling != limit:
        hashes = [item.resource.spec.hash for item in pinned(observed) if isinstance(item.resource, RiskPolicy)]
        lowers = brain.ceiling is None or limit < brain.ceiling
        # A ceiling is raised only where Brain enforces the policy that it stands in.
        if lowers or hashes == [brain.policy_hash]:
            effects.append(SetCeiling(limit, brain.policy_hash))
    return effects + _acts(observed.policies, observed)


def _acts(policies: Sequence[ObservedResource], observed: Observed) -> list[Effect]:
    effects: list[Effect] = []
    names = pinned_names(observed)
    for policy in policies:
        act = policy.pending_act
        if act is None:
            continue
        if act.verb is ActVerb.RELEASE:
            going = [item.name for item in observed.phases if item.deleting and act.phase in ("", item.name)]
            if not going:
                subject = f"TitanPhase {act.phase} is not" if act.phase else "no TitanPhase is"
                message = f"{subject} being deleted: there is nothing to release"
                effects.append(RecordActResult(policy.name, act, False, message))
        elif act.verb in LOOSENING and policy.name not in names:
            message = f"no TitanPhase pins {policy.name}: it cannot {act.verb.value} anything"
            effects.append(RecordActResult(policy.name, act, False, message))
        else:
            effects.append(ForwardAct(policy.name, act))
    return effects


def released(observed: Observed, phase: str) -> ObservedResource | None:
    """Return the policy with a pending act that releases this TitanPhase."""
    for policy in observed.policies:
        act = policy.pending_act
        if act is not None and act.verb is ActVerb.RELEASE and act.phase in ("", phase):
            return policy
    return None
