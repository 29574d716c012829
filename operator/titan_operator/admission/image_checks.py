"""Checks of a stack's images and policies: by the lists first, then by the verifier.

An image that is listed under the trust policy in force needs no network. A refused image is verified again with a
growing delay: its registry may be down, or its signature may still be pushed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from titan_operator.admission.rules.verified_images import digest_of, listed_verdict, revocation_reason, with_revocation
from titan_operator.admission.store import VerifiedImagesStore
from titan_operator.api import RiskPolicy
from titan_operator.api.verified_images import VerifiedImagesSpec
from titan_operator.cluster.backoff import LAST_S, Backoff
from titan_operator.supplychain.verdict import REVOKED, TrustTerms, Verdict

_IMAGE = "image"


class Verifier(Protocol):
    """Verifies images and policies. It returns a verdict for each of them and raises nothing."""

    @property
    def terms(self) -> TrustTerms:
        """Terms of the trust policy in force for the lists."""

    @property
    def problem(self) -> str:
        """Problem of the mounted trust policy or credentials, in a sentence; empty without one."""

    def reload(self) -> bool:
        """Read the mounted files again; return whether another trust policy is in force now."""

    async def verify(self, image: str) -> Verdict:
        """Verify ``image``, a reference by digest."""

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Verify the signature of ``policy`` over its hash, account and sequence; it has one."""


@dataclass(frozen=True)
class ImageCheckResult:
    """Result of a check of a stack's images.

    Attributes
    ----------
    verdicts
        Verdict of each image that the stack requests.
    listed
        Digests that admission admits in stacks.
    revoked
        Why a requested or running image is revoked, by digest.
    drain
        Whether processes of revoked images are to be drained.
    requeue_after_s
        Seconds until an image is verified again; infinite where none waits.
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    revoked: Mapping[str, str] = field(default_factory=dict)
    drain: bool = False
    requeue_after_s: float = float("inf")


class ImageChecker:
    """Checks the images of all stacks of an operator."""

    def __init__(self, verifier: Verifier, store: VerifiedImagesStore, clock: Callable[[], float]) -> None:
        self._verifier = verifier
        self._store = store
        self._clock = clock
        # Refusals under one trust policy; each is kept until its backoff is over.
        self._refused_under = ""
        self._waits = Backoff(clock)
        self._refused: dict[str, Verdict] = {}
        self._requested: dict[str, frozenset[str]] = {}

    async def check_images(self, namespace: str, images: Iterable[str], in_use: Iterable[str]) -> ImageCheckResult:
        """Check the images that a stack requests, and update the lists by the verdicts.

        Parameters
        ----------
        in_use
            Digests that the stack runs or could go back to.

        Raises
        ------
        ApiError, Unreachable
            When the lists cannot be read or written.
        """
        requested, running = sorted(set(images)), frozenset(in_use)
        self._forget(namespace, requested)
        self._store.record_use(namespace, requested, running)
        current = await self._store.read()
        terms, lists = self._verifier.terms, current or VerifiedImagesSpec()
        answers = {image: listed_verdict(image, lists, terms) for image in requested}
        unknown = [image for image, verdict in answers.items() if verdict is None]
        fresh = await asyncio.gather(*(self._verify(image, terms) for image in unknown))
        verdicts = {image: verdict for image, verdict in answers.items() if verdict is not None}
        verdicts |= {
            image: with_revocation(image, verdict, lists, terms) for image, verdict in zip(unknown, fresh, strict=True)
        }
        lists = await self._store.update(verdicts, lambda: self._verifier.terms, current)
        listed = frozenset(item.digest for item in lists.images)
        # The trust policy changed during verification: the next pass verifies under the new one.
        verdicts |= {
            image: Verdict(
                False, verdict.digest, "TrustPolicyChanged", "the trust policy changed while it was verified"
            )
            for image, verdict in verdicts.items()
            if verdict.verified and digest_of(image) not in listed
        }
        revoked = {
            digest_of(image): verdict.message for image, verdict in verdicts.items() if verdict.reason == REVOKED
        }
        revoked |= {digest: why for digest in running - listed if (why := revocation_reason(digest, lists, terms))}
        return ImageCheckResult(verdicts, listed, revoked, terms.drain, self._waits.next_s())

    async def check_policies(self, policies: Sequence[RiskPolicy]) -> dict[str, Verdict]:
        """Return a verdict for each policy, by name; each has a signature."""
        answers = await asyncio.gather(*(self._verifier.verify_policy(policy) for policy in policies))
        return {policy.metadata.name: verdict for policy, verdict in zip(policies, answers, strict=True)}

    async def apply_trust_terms(self) -> None:
        """Update the lists by the trust policy alone: by the images that it pins and revokes.

        Raises
        ------
        ApiError, Unreachable
            When the lists cannot be read or written.
        """
        await self._store.update({}, lambda: self._verifier.terms)

    async def _verify(self, image: str, terms: TrustTerms) -> Verdict:
        if terms.trust_policy != self._refused_under:
            # Another trust policy may accept what the last one refused: verify at once.
            self._refused_under, self._waits, self._refused = terms.trust_policy, Backoff(self._clock), {}
        if self._waits.waits(_IMAGE, image):
            return self._refused[image]
        verdict = await self._verifier.verify(image)
        if verdict.verified:
            self._waits.done(_IMAGE, image)
            return verdict
        self._waits.failed(_IMAGE, image, verdict.reason)
        # Keep the message constant; otherwise every retry would write the status.
        self._refused[image] = replace(verdict, message=f"{verdict.message}; it is tried again within {LAST_S:.0f} s")
        return self._refused[image]

    def _forget(self, namespace: str, requested: Sequence[str]) -> None:
        self._requested[namespace] = frozenset(requested)
        wanted = frozenset().union(*self._requested.values())
        self._waits.forget({(_IMAGE, image) for image in wanted})
        self._refused = {image: verdict for image, verdict in self._refused.items() if image in wanted}
