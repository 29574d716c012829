"""Pure: the next step for each obstacle that the operator reports; one table, in the operator's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from titan.cli.cluster.stack_view import Condition, Item, StackView
from titan.cli.obstacles import Obstacle

# By condition type: gates in their order, then checks. A gate or check without a row here fails a test.
ADVICE: Mapping[str, str] = {
    "SpecValid": "correct the field that the message names, in Git or with `kubectl edit`",
    "NotSuspended": "set spec.suspend to false when it should run",
    "RolesComplete": "apply a TitanPhase for each role that the message names",
    "OnePolicyPerStack": "`kubectl titan policy pin NAME` pins one policy in every phase of the namespace",
    "PolicyFound": "apply that RiskPolicy, or `kubectl titan policy pin NAME` one that is there",
    "PolicyHashMatches": "`kubectl titan policy pin NAME` writes name and hash together; never edit one alone",
    "PolicySigned": "sign the policy's hash with a key of the trust policy, with a sequence above the last one",
    "SymbolsTradable": "`kubectl titan policy new --from NAME --set symbols=…` makes a policy that names the symbol",
    "LiveApproved": "set spec.mode to paper in every phase",
    "MarketCovers": "give the market data phase the symbol, files or step that the message names",
    "ImageVerified": "use an image that a key of the trust policy has signed; "
    "`titan verify-image REF --policy FILE` shows the problem",
    "AdmissionEnforced": "install or repair the titan-admission chart; the operator tries again every minute",
    "SecretsPresent": "create every key that the message names in the Secret that it names",
    "SafeToRoll": "wait: it rolls when nothing works any more; `kubectl titan flatten` gets there sooner",
    "Applied": "read the API server's refusal in the message; the operator tries again by itself",
    "StorageMigrated": "read the log of the migration's pod; the old version keeps running until it succeeds",
    "TablesWritten": "repair the database: orders go on without it, and waiting records are stored later",
    "DependenciesReady": "wait for the process that the message names; `kubectl titan why NAME` shows its obstacles",
    "PolicyInForce": "wait for the roll; a pod that keeps another hash does not run the verified policy: halt it",
}

# By the reason of Ready, where every gate and check is True.
READY_ADVICE: Mapping[str, str] = {
    "Draining": "wait until nothing is open; `kubectl titan flatten` closes everything, "
    "`kubectl titan release NAME` ends the deletion of a phase with positions open",
    "Terminating": "wait for its processes to end",
    "EquityUnknown": "see why Brain is away or does not know the equity; the phase starts when it is known and enough",
    "RollFailed": "change the spec to another image or to the former one; the last verified revision keeps running",
}
_DESCRIBE = "`kubectl describe titanphase NAME` shows its Events, `kubectl logs` its process"


def obstacles(stack_view: StackView, phase: str | None) -> list[Obstacle]:
    """List what keeps the stack, or one phase of it, from trading, the first obstacle first.

    Raises
    ------
    Refused
        When there is no such phase.
    """
    phases = stack_view.phases if phase is None else (stack_view.phase(phase),)
    of_phases = [obstacle for item in phases for obstacle in _of_phase(item)]
    return of_phases + list(_of_posture(stack_view))


def _of_phase(item: Item) -> Iterator[Obstacle]:
    where = f"{item.kind} {item.name}"
    if not item.seen:
        yield Obstacle(
            where, "the operator has not seen it yet", "check that the operator runs and watches this namespace"
        )
        return
    if not item.observed:
        yield Obstacle(where, "its status is of an earlier spec", "wait; or check that the operator runs")
    refusing = [each for kind in ADVICE if (each := item.condition(kind)) is not None and each.status != "True"]
    for condition in refusing:
        yield Obstacle(where, describe(condition), ADVICE[condition.type])
    ready = item.condition("Ready")
    if not refusing and (ready is None or ready.status != "True"):
        reported = ready or Condition("Ready", "Unknown", "", "it has not reported whether it is ready")
        remedy = READY_ADVICE.get(reported.reason, _DESCRIBE.replace("NAME", item.name))
        yield Obstacle(where, describe(reported), remedy)
    elif not refusing and ready is not None and ready.reason == "Dormant":
        yield Obstacle(
            where, describe(ready), "none is needed: it starts by itself when the account has its starting equity"
        )


def describe(condition: Condition) -> str:
    """Describe a condition in one sentence."""
    message = condition.message or "no message"
    reason = f" ({condition.reason})" if condition.reason and condition.reason != condition.type else ""
    return f"{condition.type} is {condition.status}{reason}: {message}"


def _of_posture(stack_view: StackView) -> Iterator[Obstacle]:
    for policy in stack_view.policies:
        if policy.name not in stack_view.pins:
            continue
        where = f"RiskPolicy {policy.name}"
        ready = policy.condition("Ready")
        if ready is not None and ready.status != "True" and ready.reason in ADVICE:
            yield Obstacle(where, describe(ready), ADVICE[ready.reason])
        posture = policy.at("status", "posture") or {}
        in_force = posture.get("inForce")
        if in_force is None:
            yield Obstacle(
                where, "the posture in force is not known: Brain has not reported it", "see the obstacles above"
            )
        elif in_force != "ARMED":
            yield Obstacle(where, *_not_armed(policy, posture, str(in_force)))


def _not_armed(policy: Item, posture: Mapping[str, object], in_force: str) -> tuple[str, str]:
    ceiling = str(posture.get("ceiling") or policy.text("spec", "posture"))
    if ceiling != "ARMED":
        return (
            f"posture is {in_force}: the ceiling is {ceiling}",
            "raise spec.posture to ARMED, which needs the verb `loosen`, then `kubectl titan arm`",
        )
    if posture.get("latch") not in (None, "ARMED"):
        if policy.text("status", "riskLevel") == "EMERGENCY":
            return (
                f"posture is {in_force}: the latch is {posture['latch']}, the risk level EMERGENCY",
                "`kubectl titan rebase --reason TEXT` ends a flat account's drawdown, then `kubectl titan arm`",
            )
        return (
            f"posture is {in_force}: the latch is {posture['latch']}",
            "`kubectl titan arm` arms it again, when that is right",
        )
    level = policy.text("status", "riskLevel") or "unknown"
    return f"posture is {in_force} though armed: risk level {level}", "wait, or see why the risk level changed"
