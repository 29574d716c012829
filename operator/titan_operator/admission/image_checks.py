"""Whether the images and the policy of a stack are trusted: by the lists first, then by the verifier.

What is listed under the trust policy in force is known without a network. What could not be verified is asked about
again after a while, longer each time: a registry that is down, or a signature that is still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from titan_operator.admission.rules.verified_images import digest_of, listed_verdict, revocation_reason, with_revocation
from titan_operator.admission.store import VerifiedImagesStore
from titan_operator.api import RiskPolicy
from titan_operator.api.images import VerifiedImagesSpec
from titan_operator.cluster.backoff import LAST_S, Backoff
from titan_operator.supplychain.verdict import REVOKED, TrustTerms, Verdict

_IMAGE = "image"


class Verifier(Protocol):
    """Says of an image whether its signature was verified. It answers for every image and raises nothing."""

    @property
    def terms(self) -> TrustTerms:
        """What the trust policy in force says of the lists."""

    @property
    def problem(self) -> str:
        """What is wrong with what it was given to verify by, in a sentence; empty where nothing is."""

    def reload(self) -> bool:
        """See whether it was given something else; return whether another trust policy is in force now."""

    async def verify(self, image: str) -> Verdict:
        """Judge ``image``, a reference by digest."""

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Judge the signature of ``policy`` over its hash, account and sequence; it has one."""


@dataclass(frozen=True)
class ImageCheckResult:
    """What is known of a stack's images.

    Attributes
    ----------
    verdicts
        By image that the stack asks for.
    listed
        Digests that admission admits in stacks.
    revoked
        Why, by digest, of what the stack asks for or runs.
    drain
        Whether what is revoked is to be drained.
    again_s
        When something is asked about again, in seconds; infinite where nothing waits.
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    revoked: Mapping[str, str] = field(default_factory=dict)
    drain: bool = False
    requeue_after_s: float = float("inf")


class ImageChecker:
    """One for all stacks of an operator."""

    def __init__(self, verifier: Verifier, store: VerifiedImagesStore, clock: Callable[[], float]) -> None:
        self._verifier = verifier
        self._store = store
        self._clock = clock
        # Refusals of one trust policy, which are not asked about again before their time.
        self._asked_under = ""
        self._waits = Backoff(clock)
        self._refused: dict[str, Verdict] = {}
        self._asked: dict[str, frozenset[str]] = {}

    async def check_images(self, namespace: str, images: Iterable[str], in_use: Iterable[str]) -> ImageCheckResult:
        """Judge what a stack asks for, and publish it.

        Parameters
        ----------
        in_use
            Digests that the stack runs or could go back to.

        Raises
        ------
        ApiError, Unreachable
            When the lists cannot be read or written.
        """
        asked, running = sorted(set(images)), frozenset(in_use)
        self._forget(namespace, asked)
        self._store.record_use(namespace, asked, running)
        current = await self._store.read()
        terms, lists = self._verifier.terms, current or VerifiedImagesSpec()
        answers = {image: listed_verdict(image, lists, terms) for image in asked}
        unknown = [image for image, verdict in answers.items() if verdict is None]
        fresh = await asyncio.gather(*(self._verify(image, terms) for image in unknown))
        verdicts = {image: verdict for image, verdict in answers.items() if verdict is not None}
        verdicts |= {
            image: with_revocation(image, verdict, lists, terms) for image, verdict in zip(unknown, fresh, strict=True)
        }
        lists = await self._store.update(verdicts, lambda: self._verifier.terms, current)
        listed = frozenset(item.digest for item in lists.images)
        # Changed meanwhile: the next pass asks under the trust policy that is in force then.
        verdicts |= {
            image: Verdict(
                False, verdict.digest, "TrustPolicyChanged", "the trust policy changed while it was verified"
            )
            for image, verdict in verdicts.items()
            if verdict.verified and digest_of(image) not in listed
        }
        told = {digest_of(image): verdict.message for image, verdict in verdicts.items() if verdict.reason == REVOKED}
        told |= {digest: why for digest in running - listed if (why := revocation_reason(digest, lists, terms))}
        return ImageCheckResult(verdicts, listed, told, terms.drain, self._waits.next_s())

    async def check_policies(self, policies: Sequence[RiskPolicy]) -> dict[str, Verdict]:
        """A verdict for each policy, by name; each has a signature."""
        answers = await asyncio.gather(*(self._verifier.verify_policy(policy) for policy in policies))
        return {policy.metadata.name: verdict for policy, verdict in zip(policies, answers, strict=True)}

    async def apply_trust_terms(self) -> None:
        """Publish what the trust policy alone says: what it pins and what it revokes.

        Raises
        ------
        ApiError, Unreachable
            When the lists cannot be read or written.
        """
        await self._store.update({}, lambda: self._verifier.terms)

    async def _verify(self, image: str, terms: TrustTerms) -> Verdict:
        if terms.trust_policy != self._asked_under:
            # Another trust policy: what it says is asked at once.
            self._asked_under, self._waits, self._refused = terms.trust_policy, Backoff(self._clock), {}
        if self._waits.waits(_IMAGE, image):
            return self._refused[image]
        verdict = await self._verifier.verify(image)
        if verdict.verified:
            self._waits.done(_IMAGE, image)
            return verdict
        self._waits.failed(_IMAGE, image, verdict.reason)
        # A sentence that stays the same, or each try would be news.
        self._refused[image] = replace(verdict, message=f"{verdict.message}; it is tried again within {LAST_S:.0f} s")
        return self._refused[image]

    def _forget(self, namespace: str, asked: Sequence[str]) -> None:
        self._asked[namespace] = frozenset(asked)
        wanted = frozenset().union(*self._asked.values())
        self._waits.forget({(_IMAGE, image) for image in wanted})
        self._refused = {image: verdict for image, verdict in self._refused.items() if image in wanted}
