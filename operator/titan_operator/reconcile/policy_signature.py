"""Pure: check that the pinned policy is signed, where required, and not older than one that was in force.

The newest sequence that was in force is recorded beside the stack, and outlives its resources. An older signed policy
is a replay, even after everything was deleted and applied again.
"""

from __future__ import annotations

from titan_operator.api import RiskPolicy
from titan_operator.api.names import POLICY_SEQUENCE, stack_labels
from titan_operator.reconcile.effects import Apply, Outcome
from titan_operator.reconcile.observed import Observed
from titan_operator.reconcile.posture import pinned
from titan_operator.supplychain.verdict import REVOKED, Verdict


def signature_problem(observed: Observed) -> str:
    """Return why the pinned policy's signature is refused, with both values; empty where it is fine or not required."""
    if not observed.signatures_required:
        return ""
    policy = next((item.resource for item in pinned(observed) if isinstance(item.resource, RiskPolicy)), None)
    if policy is None:
        return ""
    where = f"RiskPolicy {policy.metadata.name}: spec.signature"
    signature = policy.spec.signature
    if signature is None:
        return f"{where}: missing; this operator accepts signed policies only"
    verdict = observed.policy_verdicts.get(policy.metadata.name)
    if (verdict is None or not verdict.verified) and not _was_in_force(policy, verdict, observed):
        why = f"{verdict.reason}: {verdict.message}" if verdict else "it has not been verified yet"
        return f"{where}: {why}"
    account, newest = recorded(observed)
    if account and signature.account != account:
        return f"{where}.account: {signature.account}; allowed is this stack's account, {account}"
    if signature.sequence < newest:
        return f"{where}.sequence: {signature.sequence}; allowed is at least {newest}, which was in force for {account}"
    return ""


def _was_in_force(policy: RiskPolicy, verdict: Verdict | None, observed: Observed) -> bool:
    # As with images: an expired key or another trust policy block new policies; only a revocation blocks a running one.
    stored = observed.children.get(("ConfigMap", POLICY_SEQUENCE))
    return stored is not None and stored["data"] == _data(policy) and (verdict is None or verdict.reason != REVOKED)


def _data(policy: RiskPolicy) -> dict[str, str]:
    assert policy.spec.signature is not None
    signature = policy.spec.signature
    return {"account": signature.account, "sequence": str(signature.sequence), "hash": policy.spec.hash}


def recorded(observed: Observed) -> tuple[str, int]:
    """Return the account and the newest sequence that was in force for it; empty and 0 before any was."""
    stored = observed.children.get(("ConfigMap", POLICY_SEQUENCE))
    return ("", 0) if stored is None else (stored["data"]["account"], int(stored["data"]["sequence"]))


def sequence_record(observed: Observed, outcome: Outcome) -> list[Apply]:
    """Record the sequence of a signed policy that has come into force, where it is newer than the last one."""
    policy = next((item.resource for item in pinned(observed) if isinstance(item.resource, RiskPolicy)), None)
    if policy is None or policy.spec.signature is None or outcome.reason != "InForce":
        return []
    signature = policy.spec.signature
    verdict = observed.policy_verdicts.get(policy.metadata.name)
    # A sequence that no key has signed must not raise the mark: it would lock out signed policies.
    if verdict is None or not verdict.verified or signature.sequence <= recorded(observed)[1]:
        return []
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": POLICY_SEQUENCE, "namespace": observed.namespace, "labels": stack_labels()},
        "data": _data(policy),
    }
    return [Apply("ConfigMap", POLICY_SEQUENCE, manifest)]
