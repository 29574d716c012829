"""Pure: turn outcomes into ``status`` as kstatus reads it.

Ready is always there; Reconciling and Stalled only while true; every condition has its observed generation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from titan.domain.numbers import format_decimal
from titan.domain.policy_hash import short_hash
from titan_operator.api import RiskPolicy
from titan_operator.reconcile.effects import Finding, Outcome
from titan_operator.reconcile.observed import Observed, ObservedResource

Status = dict[str, Any]
MAX_MESSAGE = 1024
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")

# Numbers that move all the time: where only they differ, a status is written once a minute.
_MOVING = frozenset({"equity", "drawdown", "truthScore", "allocation", "workingOrders", "openPositions"})


def first_status(resource: ObservedResource, now: str) -> Status:
    """Return the status of the first pass over a generation: Ready is unknown, Reconciling is true."""
    ready = Finding(None, "Reconciling", f"generation {resource.generation} has been seen")
    old = {key: value for key, value in resource.status.items() if key not in ("conditions", "observedGeneration")}
    return {
        **old,
        "observedGeneration": resource.generation,
        "conditions": _conditions(
            resource, {"Ready": ready, "Reconciling": Finding(True, "Reconciling", ready.message)}, now
        ),
    }


def phase_status(resource: ObservedResource, outcome: Outcome, observed: Observed, now: str) -> Status:
    """Return the status of a TitanPhase."""
    brain = observed.stack.brain
    role = resource.raw.get("spec", {}).get("role", "")
    state = brain.phases.get(role) if brain else None
    revision = {"current": outcome.current, "lastVerified": outcome.last_verified, "failed": outcome.failed}
    status: Status = {
        "observedGeneration": resource.generation,
        "phase": outcome.state.value,
        "revision": {key: value for key, value in revision.items() if value},
        "imageDigest": outcome.image_digest,
        "policyHash": outcome.policy_hash,
        "shortHash": short_hash(outcome.policy_hash),
        "equity": _number(brain.equity) if brain and role in ("brain", "execution") else "",
        "allocation": _number(state.allocation) if state else "",
        "conditions": _conditions(resource, _all(outcome), now),
    }
    return {key: value for key, value in status.items() if value not in ("", None, {})}


def policy_status(
    resource: ObservedResource,
    outcome: Outcome,
    observed: Observed,
    pinned: bool,
    act: Mapping[str, Any] | None,
    now: str,
) -> Status:
    """Return the status of a RiskPolicy; only a pinned one has the values that Brain and Execution report.

    Parameters
    ----------
    act
        Result of the last act, in this pass or before.
    """
    status: Status = {"observedGeneration": resource.generation}
    posture: Status = {}
    if isinstance(resource.resource, RiskPolicy):
        status |= {"hash": resource.resource.spec.hash, "shortHash": short_hash(resource.resource.spec.hash)}
        posture["ceiling"] = resource.resource.spec.posture
    brain, execution = observed.stack.brain, observed.stack.execution
    if pinned:
        if brain is not None:
            posture |= {"latch": brain.latch.name, "inForce": brain.in_force.name}
            status |= {
                "equity": _number(brain.equity),
                "drawdown": _number(brain.drawdown),
                "truthScore": brain.truth_score,
                "riskLevel": brain.risk_level.name if brain.risk_level else "",
            }
        if execution is not None:
            posture |= {
                "inForce": execution.in_force.name,
                "acknowledgedBy": "execution",
                "workingOrders": execution.working_orders,
                "openPositions": execution.open_positions,
            }
        status["inForce"] = {
            who: view.policy_hash
            for who, view in (("brain", brain), ("execution", execution))
            if view and view.policy_hash
        }
    status |= {"posture": posture, "act": dict(act or {}), "conditions": _conditions(resource, _all(outcome), now)}
    return {key: value for key, value in status.items() if value not in ("", None, {})}


def differs(old: Mapping[str, Any], new: Mapping[str, Any], *, moving_too: bool) -> bool:
    """Return whether ``new`` must be written: a lasting change, or moving numbers that are due."""
    if moving_too:
        return dict(old) != dict(new)
    return _still(old) != _still(new)


def _still(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _still_value(key, value) for key, value in status.items()}


def _still_value(key: str, value: Any) -> Any:
    if key in _MOVING:
        # The key stays: a number that becomes known or unknown is written at once, not a minute late.
        return ""
    if isinstance(value, Mapping):
        return _still(value)
    return _settled(value) if key == "conditions" else value


def _settled(conditions: Any) -> list[dict[str, Any]]:
    # A draining phase counts its orders in its message: a new count alone is no reason to write.
    return [{**item, "message": _NUMBER.sub("#", item.get("message", ""))} for item in conditions]


def _all(outcome: Outcome) -> dict[str, Finding]:
    findings = {"Ready": Finding(outcome.ready, outcome.reason, outcome.message)}
    if outcome.reconciling:
        findings["Reconciling"] = Finding(True, outcome.reason, outcome.message)
    if outcome.stalled:
        findings["Stalled"] = Finding(True, outcome.reason, outcome.message)
    return findings | dict(outcome.findings)


def _conditions(resource: ObservedResource, findings: Mapping[str, Finding], now: str) -> list[dict[str, Any]]:
    conditions = []
    for kind, finding in findings.items():
        status = {True: "True", False: "False", None: "Unknown"}[finding.holds]
        old = resource.condition(kind)
        since = old.get("lastTransitionTime", now) if old.get("status") == status else now
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": finding.reason,
                "message": finding.message[:MAX_MESSAGE],
                "observedGeneration": resource.generation,
                "lastTransitionTime": since,
            }
        )
    return conditions


def _number(value: Decimal | None) -> str:
    return "" if value is None else format_decimal(value)
