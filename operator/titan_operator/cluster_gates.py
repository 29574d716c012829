"""Pure: the gates as a cluster has them: those of the stack, then those of one phase.

The stack's own (:mod:`titan_operator.gates`) are the same that ``titan up`` passes; images, admission and secrets are
a cluster's.
"""

from __future__ import annotations

from dataclasses import dataclass

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan_operator.api import TitanPhase
from titan_operator.gates import GateReason, Stack, first_refusal
from titan_operator.policy_signature import signature_problem
from titan_operator.world import Given, World

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


@dataclass(frozen=True)
class Refusal:
    """Which gate refused, and why in one sentence with both values."""

    reason: GateReason
    message: str

    @property
    def needs_person(self) -> bool:
        """Whether it stays as it is until somebody changes something."""
        return self.reason not in _PASSING


def stack_refusal(world: World) -> Refusal | None:
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


def phase_refusal(given: Given, world: World) -> Refusal | None:
    """The first gate that refuses this TitanPhase alone."""
    if not isinstance(given.resource, TitanPhase):
        return Refusal(GateReason.SPEC_VALID, given.problem)
    image = given.resource.spec.image
    verdict = world.verdicts.get(image)
    if verdict is None or not verdict.verified:
        why = f"{verdict.reason}: {verdict.message}" if verdict else "it has not been verified yet"
        return Refusal(GateReason.IMAGE_VERIFIED, f"spec.image: {image}: {why}")
    if missing := world.missing_secrets.get(given.name):
        return Refusal(GateReason.SECRETS_PRESENT, f"spec.secretRef: {missing}")
    return None


def _unpinned(given: Given, world: World) -> bool:
    # A policy that nothing pins may be anything: Git keeps old ones.
    if given.kind != "RiskPolicy":
        return False
    pins = {item.raw.get("spec", {}).get("policyRef", {}).get("name") for item in world.phases}
    return given.name not in pins
