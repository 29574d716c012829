"""Pure: the gates of a cluster: those of the stack, then those of one phase.

``titan up`` passes the stack's gates too (:mod:`titan_operator.planning.gates`). Images, admission and Secrets exist in
a cluster only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.policy_hash import short_hash
from titan_operator.api import TitanPhase
from titan_operator.planning.gates import GateReason, Stack, first_refusal
from titan_operator.reconcile.effects import Finding
from titan_operator.reconcile.observed import Observed, ObservedResource, Raw
from titan_operator.reconcile.policy_signature import signature_problem
from titan_operator.supplychain.verdict import REVOKED, Verdict

_WORKLOADS = ("Deployment", "StatefulSet")
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})")

# These refusals end by themselves, or as soon as the other resources of the stack are written too. The rest need a
# person who changes the resource.
_PASSING = frozenset(
    {
        GateReason.ADMISSION_ENFORCED,
        GateReason.SAFE_TO_ROLL,
        GateReason.ROLES_COMPLETE,
        GateReason.POLICY_FOUND,
        GateReason.ONE_POLICY_PER_STACK,
    }
)


# Verdicts with these reasons change by themselves: the resource may stay as it is.
_PASSING_CAUSES = frozenset({"NotVerifiedYet", "TrustPolicyChanged", "RegistryUnreachable"})


@dataclass(frozen=True)
class Refusal:
    """Gate that refused, with a message that has both values; ``cause`` is the verifier's own reason."""

    reason: GateReason
    message: str
    cause: str = ""

    @property
    def needs_person(self) -> bool:
        """Whether it stays until a person changes something."""
        return self.reason not in _PASSING and self.cause not in _PASSING_CAUSES


def stack_refusal(observed: Observed) -> Refusal | None:
    """Return the first gate that refuses the stack as a whole; None where a plan can be made."""
    for resource in (*observed.policies, *observed.phases):
        if resource.resource is None and not _unpinned(resource, observed):
            return Refusal(GateReason.SPEC_VALID, resource.problem)
    resources = [item.resource for item in (*observed.policies, *observed.phases) if item.resource is not None]
    refused = first_refusal(Stack.of(resources, PAPER_INSTRUMENTS, with_suspended=True))
    if refused is not None:
        return Refusal(*refused)
    if problem := signature_problem(observed):
        return Refusal(GateReason.POLICY_SIGNED, problem)
    if observed.admission:
        return Refusal(GateReason.ADMISSION_ENFORCED, observed.admission)
    return None


def phase_refusal(resource: ObservedResource, observed: Observed) -> Refusal | None:
    """Return the first gate that refuses this TitanPhase alone."""
    if not isinstance(resource.resource, TitanPhase):
        return Refusal(GateReason.SPEC_VALID, resource.problem)
    image = resource.resource.spec.image
    verdict = observed.verdicts.get(image) or Verdict(
        False, reason="NotVerifiedYet", message="it has not been verified yet"
    )
    if not verdict.verified and not runs_already(resource, observed):
        message = f"spec.image: {image}: {verdict.reason}: {verdict.message}"
        return Refusal(GateReason.IMAGE_VERIFIED, message, verdict.reason)
    if missing := observed.missing_secrets.get(resource.name):
        return Refusal(GateReason.SECRETS_PRESENT, missing)
    return None


def image_finding(resource: ObservedResource, observed: Observed) -> Finding:
    """Report on the image of a phase that :func:`phase_refusal` lets pass."""
    image = str(resource.raw.get("spec", {}).get("image", ""))
    if why := running_revoked(resource, observed):
        return Finding(False, REVOKED, f"{why}; it runs until {image} has taken its place")
    verdict = observed.verdicts[image]
    if not verdict.verified:
        message = f"{image} runs and stays listed; it could not be verified again: {verdict.reason}: {verdict.message}"
        return Finding(True, "VerifiedBefore", message)
    signer, policy = verdict.evidence.get("verifiedBy", ""), verdict.evidence.get("trustPolicy", "")
    signed = f", signed by {signer}" if signer else ""
    return Finding(True, "Verified", f"{image}{signed}" + (f", trust policy {short_hash(policy)}" if policy else ""))


def running_digests(resource: ObservedResource, observed: Observed) -> set[str]:
    """Collect the digests of images in the workload of a phase, as the API server has it."""
    workloads = [observed.children.get((kind, resource.name)) for kind in _WORKLOADS]
    return set(_DIGEST.findall(json.dumps([item["spec"]["template"] for item in workloads if item is not None])))


def running_revoked(resource: ObservedResource, observed: Observed) -> str:
    """Return the revocation of an image that a phase runs now, in a sentence; empty where there is none."""
    return next(
        (observed.revoked[one] for one in sorted(running_digests(resource, observed)) if one in observed.revoked), ""
    )


def digests(children: Mapping[tuple[str, str], Raw]) -> set[str]:
    """Collect the digests of images that a stack's workloads run, or that a recorded revision would."""
    kept = [child for (kind, name), child in children.items() if kind in _WORKLOADS or name.endswith("-verified")]
    return set(_DIGEST.findall(json.dumps(kept)))


def runs_already(resource: ObservedResource, observed: Observed) -> bool:
    """Whether the stack runs a phase's image or could go back to it, while it is listed and not revoked.

    Such an image was verified once. An expired key, another trust policy or an unreachable registry block new images
    only: certificates and policy of a running process are still renewed, and a roll can still go back.
    """
    digest = str(resource.raw.get("spec", {}).get("image", "")).rpartition("@")[2]
    return digest in observed.listed and digest not in observed.revoked and digest in digests(observed.children)


def _unpinned(resource: ObservedResource, observed: Observed) -> bool:
    # An invalid policy that nothing pins refuses nothing: Git keeps old ones.
    if resource.kind != "RiskPolicy":
        return False
    pins = {item.raw.get("spec", {}).get("policyRef", {}).get("name") for item in observed.phases}
    return resource.name not in pins
