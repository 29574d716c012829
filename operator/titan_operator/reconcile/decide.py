"""Pure: one pass over a namespace. The observed state in; effects and outcomes out.

Posture and people's acts come first and pass no gate: tightening always works. A phase that leaves is drained first.
Then come the gates, in order, and behind them the plan and each workload's next step.

Each part returns its effects; :func:`decide` joins them in the order in which they are executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan_operator.api.names import FINALIZER, PROTECTED
from titan_operator.planning.plan import Plan, plan
from titan_operator.reconcile.active import roll_steps, shared_effects
from titan_operator.reconcile.deletion import execution_child, garbage
from titan_operator.reconcile.effects import (
    Annotate,
    Certificate,
    Decision,
    Delete,
    Effect,
    SetFinalizer,
    Step,
    effects_of,
    waits_of,
)
from titan_operator.reconcile.gates import stack_refusal
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.phases import has_workload, inactive, leave, refuse
from titan_operator.reconcile.pod_retries import POD, pod_retries, without_pod
from titan_operator.reconcile.policies import policy_step
from titan_operator.reconcile.policy_signature import sequence_record
from titan_operator.reconcile.posture import pinned, posture_effects
from titan_operator.render.kubernetes import KubernetesOptions, render_kubernetes

# While something moves, the next pass comes this soon even without an event.
BUSY_S = 2.0


@dataclass(frozen=True)
class _Stack:
    """Parts of a pass over the phases that stay, in the order of their effects.

    ``inactive`` are the steps of phases that do not run, by name; ``shared`` the effects on objects that run no pods;
    ``rolling`` the steps of workloads; ``wanted`` the kind and name of each object of the plan.
    """

    inactive: Mapping[str, Step]
    shared: tuple[Effect, ...] = ()
    rolling: Mapping[str, Step] = field(default_factory=dict)
    wanted: tuple[tuple[str, str], ...] = ()


def decide(observed: Observed) -> Decision:
    """Decide one pass."""
    leaving = {item.name: leave(item, observed) for item in observed.phases if item.deleting}
    stack = _stack(observed)
    policies = {policy.name: policy_step(policy, observed) for policy in observed.policies}
    before_renewals = (
        *posture_effects(observed),
        *_finalizers(observed),
        *effects_of(leaving.values()),
        *effects_of(stack.inactive.values()),
        *stack.shared,
        *effects_of(stack.rolling.values()),
    )
    effects = (
        *before_renewals,
        *_renewals(observed, before_renewals),
        *pod_retries(observed),
        *garbage(observed, stack.wanted),
        *_namespace(observed),
        *effects_of(policies.values()),
        *(effect for policy in pinned(observed) for effect in sequence_record(observed, policies[policy.name].outcome)),
    )
    phases = {**leaving, **stack.inactive, **stack.rolling}
    outcomes = {name: step.outcome for name, step in phases.items()}
    return Decision(
        effects,
        outcomes,
        {name: step.outcome for name, step in policies.items()},
        waits_of(phases.values()) | {(name, POD): name for name in without_pod(observed)},
        BUSY_S if any(outcome.reconciling for outcome in outcomes.values()) else None,
    )


def _stack(observed: Observed) -> _Stack:
    staying = [item for item in observed.phases if not item.deleting]
    refusal = stack_refusal(observed)
    if refusal is not None:
        return _Stack({item.name: refuse(item, refusal, observed) for item in staying})
    planned = _planned(observed)
    options = KubernetesOptions(observed.namespace, observed.operator_namespace, observed.version)
    children = render_kubernetes(planned, options)
    steps = {item.name: inactive(item, observed) for item in staying}
    active = {item.name: item for item in staying if steps[item.name] is None}
    return _Stack(
        {name: step for name, step in steps.items() if step is not None},
        shared_effects(planned, children, active, staying, observed),
        roll_steps(planned, children, active, observed),
        tuple((child.kind, child.name) for child in children),
    )


def _planned(observed: Observed) -> Plan:
    resources = [item.resource for item in (*observed.policies, *observed.phases) if item.resource is not None]
    return plan(resources, PAPER_INSTRUMENTS, with_suspended=True)


def _renewals(observed: Observed, effects: Sequence[Effect]) -> list[Effect]:
    """Renew certificates of processes that run though they are refused or leave: without one they would end."""
    done = {effect.phase for effect in effects if isinstance(effect, Certificate)}
    ends = {effect.name for effect in effects if isinstance(effect, Delete)}
    return [
        Certificate(item.name, str(item.raw["spec"]["role"]))
        for item in observed.phases
        if has_workload(item, observed) and item.name not in done | ends
    ]


def _finalizers(observed: Observed) -> list[Effect]:
    return [
        SetFinalizer(item.kind, item.name, present=True)
        for item in (*observed.policies, *observed.phases)
        if not item.deleting and not item.finalized
    ]


def _namespace(observed: Observed) -> list[Effect]:
    annotations = observed.namespace_raw.get("metadata", {}).get("annotations", {})
    protected = annotations.get(PROTECTED) == "true"
    # Until our last finalizer is off: a namespace that goes takes the operator's own rights in it along.
    resources: tuple[ObservedResource, ...] = (*observed.phases, *observed.policies)
    held = any(FINALIZER in item.raw["metadata"].get("finalizers", ()) for item in resources)
    needed = held or execution_child(observed) is not None
    if needed == protected or not observed.namespace_raw:
        return []
    return [Annotate("Namespace", observed.namespace, PROTECTED, "true" if needed else None)]
