"""Pure: the gates as a cluster has them: those of the stack, then those of one phase.

The stack's own (:mod:`titan_operator.planning.gates`) are the same that ``titan up`` passes; images, admission
and secrets are a cluster's.
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

# These end by themselves, or when the other resources of the stack are written too, one after the other; the rest need
# a person who changes the resource.
_PASSING = frozenset(
    {
        GateReason.ADMISSION_ENFORCED,
        GateReason.SAFE_TO_ROLL,
        GateReason.ROLES_COMPLETE,
        GateReason.POLICY_FOUND,
        GateReason.ONE_POLICY_PER_STACK,
    }
)


# Reasons of verdicts that end by themselves: nobody has to change the resource.
_PASSING_CAUSES = frozenset({"NotVerifiedYet", "TrustPolicyChanged", "RegistryUnreachable"})


@dataclass(frozen=True)
class Refusal:
    """Which gate refused, and why in one sentence with both values; ``cause`` is the verifier's own reason."""

    reason: GateReason
    message: str
    cause: str = ""

    @property
    def needs_person(self) -> bool:
        """Whether it stays as it is until somebody changes something."""
        return self.reason not in _PASSING and self.cause not in _PASSING_CAUSES


def stack_refusal(world: Observed) -> Refusal | None:
    """The first gate that refuses the stack as a whole; None where a plan can be made."""
    for given in (*world.policies, *world.phases):
        if given.resource is None and not _unpinned(given, world):
            return Refusal(GateReason.SPEC_VALID, given.problem)
    resources = [item.resource for item in (*world.policies, *world.phases) if item.resource is not None]
    refused = first_refusal(Stack.of(resources, PAPER_INSTRUMENTS, with_suspended=True))
    if refused is not None:
        return Refusal(*refused)
    if problem := signature_problem(world):
        return Refusal(GateReason.POLICY_SIGNED, problem)
    if world.admission:
        return Refusal(GateReason.ADMISSION_ENFORCED, world.admission)
    return None


def phase_refusal(given: ObservedResource, world: Observed) -> Refusal | None:
    """The first gate that refuses this TitanPhase alone."""
    if not isinstance(given.resource, TitanPhase):
        return Refusal(GateReason.SPEC_VALID, given.problem)
    image = given.resource.spec.image
    verdict = world.verdicts.get(image) or Verdict(
        False, reason="NotVerifiedYet", message="nobody has looked at it yet"
    )
    if not verdict.verified and not runs_already(given, world):
        message = f"spec.image: {image}: {verdict.reason}: {verdict.message}"
        return Refusal(GateReason.IMAGE_VERIFIED, message, verdict.reason)
    if missing := world.missing_secrets.get(given.name):
        return Refusal(GateReason.SECRETS_PRESENT, missing)
    return None


def image_finding(given: ObservedResource, world: Observed) -> Finding:
    """What is told of the image of a phase that :func:`phase_refusal` lets pass."""
    image = str(given.raw.get("spec", {}).get("image", ""))
    if why := running_revoked(given, world):
        return Finding(False, REVOKED, f"{why}; it runs until {image} has taken its place")
    verdict = world.verdicts[image]
    if not verdict.verified:
        told = f"{image} runs and stays listed; anew it could not be verified now: {verdict.reason}: {verdict.message}"
        return Finding(True, "VerifiedBefore", told)
    who, policy = verdict.evidence.get("verifiedBy", ""), verdict.evidence.get("trustPolicy", "")
    signed = f", signed by {who}" if who else ""
    return Finding(True, "Verified", f"{image}{signed}" + (f", trust policy {short_hash(policy)}" if policy else ""))


def running_digests(given: ObservedResource, world: Observed) -> set[str]:
    """Digests of images in the workload of a phase as the API server has it."""
    workloads = [world.children.get((kind, given.name)) for kind in _WORKLOADS]
    return set(_DIGEST.findall(json.dumps([item["spec"]["template"] for item in workloads if item is not None])))


def running_revoked(given: ObservedResource, world: Observed) -> str:
    """What took back an image that a phase runs now, in a sentence; empty where nothing did."""
    return next((world.revoked[one] for one in sorted(running_digests(given, world)) if one in world.revoked), "")


def digests(children: Mapping[tuple[str, str], Raw]) -> set[str]:
    """Digests of images that a stack's workloads run, or that a recorded revision would."""
    kept = [child for (kind, name), child in children.items() if kind in _WORKLOADS or name.endswith("-verified")]
    return set(_DIGEST.findall(json.dumps(kept)))


def runs_already(given: ObservedResource, world: Observed) -> bool:
    """Whether the image of a phase is what the stack runs or could go back to, is listed still and not revoked.

    It was verified once: an expired key, another trust policy or a registry that is away keep it from nothing but new
    images. Its certificates and its policy must go on being renewed, and a roll must find its way back.
    """
    digest = str(given.raw.get("spec", {}).get("image", "")).rpartition("@")[2]
    return digest in world.listed and digest not in world.revoked and digest in digests(world.children)


def _unpinned(given: ObservedResource, world: Observed) -> bool:
    # A policy that nothing pins may be anything: Git keeps old ones.
    if given.kind != "RiskPolicy":
        return False
    pins = {item.raw.get("spec", {}).get("policyRef", {}).get("name") for item in world.phases}
    return given.name not in pins
