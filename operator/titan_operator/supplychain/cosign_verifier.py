"""The verifier: whether an image, or a risk policy, is signed as the trust policy requires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from titan_operator.api import RiskPolicy
from titan_operator.supplychain.references import ImageReference, ReferenceFormatError, parse_reference
from titan_operator.supplychain.refusals import Refusal, Refused
from titan_operator.supplychain.registry import Registries, Repository
from titan_operator.supplychain.signature_checks import Pending, Requirements, SignatureResult, check_blob
from titan_operator.supplychain.signature_search import Search
from titan_operator.supplychain.sigstore_client import SigstoreClient, complete_blob_check
from titan_operator.supplychain.trust import TrustPolicy
from titan_operator.supplychain.verdict import Verdict

# For one image, however many signatures lie beside it.
_LONGEST_S = 30.0


def policy_payload(policy_hash: str, account: str, sequence: int) -> bytes:
    """Return the bytes that ``cosign sign-blob`` signs for a risk policy of this hash, account and sequence."""
    return f"titan.riskpolicy.signature.v1\n{policy_hash}\n{account}\n{sequence}\n".encode()


class CosignVerifier:
    """Verifies cosign's signatures under one trust policy.

    Its verdicts are not stored here: :mod:`titan_operator.admission.rules.verified_images` stores them by digest and
    trust policy.

    Parameters
    ----------
    now
        Returns the time, UTC.
    longest_s
        Longest time of the search for one image's signature, in seconds.
    """

    def __init__(
        self,
        policy: TrustPolicy,
        registries: Registries,
        now: Callable[[], datetime],
        longest_s: float = _LONGEST_S,
    ) -> None:
        self._policy = policy
        self._registries = registries
        self._now = now
        self._longest_s = longest_s

    async def verify(self, image: str) -> Verdict:
        """Verify ``image``, a reference by digest; this raises nothing."""
        try:
            reference = parse_reference(image)
        except ReferenceFormatError as error:
            return Verdict(False, reason=Refusal.INVALID_REFERENCE, message=str(error))
        result = await self._check(reference)
        return self._verdict(result, reference.digest)

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        """Verify the signature of ``policy`` over its hash, account and sequence; it has one."""
        signature = policy.spec.signature
        assert signature is not None
        payload = policy_payload(policy.spec.hash, signature.account, signature.sequence)
        required = Requirements(self._policy, "policies", (), self._now())
        result = check_blob(signature.bundle.encode(), payload, required)
        if isinstance(result, Pending):
            result = await self._complete(result, payload, required)
        return self._verdict(result, "")

    async def _complete(self, pending: Pending, payload: bytes, required: Requirements) -> SignatureResult:
        try:
            async with asyncio.timeout(self._longest_s), SigstoreClient(self._policy.trusted_root or "") as sigstore:
                return await complete_blob_check(pending, payload, required, sigstore)
        except TimeoutError:
            why = f"the log's entry was not verified within {self._longest_s:g} s"
            return Refused(Refusal.KEYLESS_UNAVAILABLE, why)

    def _verdict(self, result: SignatureResult, digest: str) -> Verdict:
        if isinstance(result, Refused):
            return Verdict(False, digest, result.reason, result.message)
        evidence = {
            "verifiedBy": result.signer,
            "format": result.format,
            "verifiedAt": f"{self._now():%Y-%m-%dT%H:%M:%SZ}",
            "trustPolicy": self._policy.hash,
        }
        return Verdict(True, digest, evidence=evidence)

    async def _check(self, image: ImageReference) -> SignatureResult:
        if image.digest in self._policy.revoked_digests:
            return Refused(Refusal.REVOKED, f"{image.digest} is in revokedDigests of {self._policy.hash}")
        rule = self._policy.rule_for(image.name)
        if rule is None:
            patterns = ", ".join(item.pattern for item in self._policy.images)
            return Refused(Refusal.IMAGE_NOT_ALLOWED, f"{image.name}; allowed are {patterns}"[:500])
        required = Requirements(self._policy, "images", rule.signed_by, self._now())
        repository = Repository(image.registry, image.repository)
        return await Search(self._registries, repository, image.digest, required).run(self._longest_s)
