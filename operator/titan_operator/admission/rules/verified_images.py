"""Pure: the verdict on an image by the lists, and changes of the lists by verdicts and the trust policy.

Verdicts are kept by digest and trust policy. A verified image stays listed when its key expires or its registry is
unreachable: an evicted Execution must be able to start again. Only an explicit revocation removes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from titan_operator.api.verified_images import MAX_IMAGES, PinnedImage, RevokedImage, VerifiedImage, VerifiedImagesSpec
from titan_operator.supplychain.verdict import REVOKED, TrustTerms, Verdict

_Item = TypeVar("_Item", VerifiedImage, RevokedImage)


def digest_of(image: str) -> str:
    """Return the digest of a reference by digest."""
    return image.rpartition("@")[2]


def revocation_reason(digest: str, lists: VerifiedImagesSpec, terms: TrustTerms) -> str:
    """Return why ``digest`` is revoked, in a sentence; empty where it is not."""
    if digest in terms.revoked_digests:
        return f"{digest} is in revokedDigests of the trust policy {terms.trust_policy}"
    listed = next((item for item in lists.images if item.digest == digest), None)
    if listed is not None and listed.verified_by in terms.revoked_keys:
        return f"{digest} was signed by {listed.verified_by}, a key that the trust policy {terms.trust_policy} revokes"
    before = next((item for item in lists.revoked if item.digest == digest), None)
    return before.message if before is not None else ""


def listed_verdict(image: str, lists: VerifiedImagesSpec, terms: TrustTerms) -> Verdict | None:
    """Return the verdict on ``image`` by the lists alone; None where it has to be verified.

    An image of a revoked key may have another signature, so it is verified again before it is reported as revoked.
    """
    digest = digest_of(image)
    if digest in terms.revoked_digests:
        return Verdict(False, digest, REVOKED, revocation_reason(digest, lists, terms))
    listed = next((item for item in lists.images if item.digest == digest), None)
    if listed is None or not terms.trust_policy or listed.trust_policy != terms.trust_policy:
        return None
    return Verdict(True, digest, evidence=_evidence(listed))


def with_revocation(image: str, verdict: Verdict, lists: VerifiedImagesSpec, terms: TrustTerms) -> Verdict:
    """Return a fresh verdict with revocations applied: a revoked image stays revoked until it is verified again."""
    why = revocation_reason(digest_of(image), lists, terms)
    if verdict.verified or verdict.reason == REVOKED or not why:
        return verdict
    return Verdict(False, digest_of(image), REVOKED, f"{why}; now: {verdict.reason}: {verdict.message}")


def merge_lists(
    lists: VerifiedImagesSpec, verdicts: Mapping[str, Verdict], terms: TrustTerms, now: str, used: frozenset[str] | None
) -> VerifiedImagesSpec:
    """Return the lists with verdicts and terms applied.

    Parameters
    ----------
    verdicts
        Verdicts of this pass, by image.
    now
        UTC, as Kubernetes writes it.
    used
        Digests that a stack requests, runs or could go back to; the others are removed where the list is full. None
        while it is not known of every stack: then nothing is removed.
    """
    by_digest = {digest_of(image): (image, verdict) for image, verdict in sorted(verdicts.items())}
    # A verdict under another trust policy does not count: the one in force may have revoked the image.
    fresh = {
        digest: (image, verdict)
        for digest, (image, verdict) in by_digest.items()
        if verdict.verified
        and verdict.evidence.get("trustPolicy", "") == terms.trust_policy
        and digest not in terms.revoked_digests
    }
    images = {item.digest: item for item in lists.images}
    pinned = {item.digest: item for item in lists.infrastructure}
    revoked = {item.digest: item for item in lists.revoked if item.digest not in fresh}
    for digest, (image, verdict) in fresh.items():
        listed = images.get(digest)
        if listed is None or listed.trust_policy != (terms.trust_policy or None):
            images[digest] = _entry(image, verdict, now)
    for digest in [digest for digest in images if digest not in fresh]:
        _, verdict = by_digest.get(digest, ("", Verdict(False)))
        why = revocation_reason(digest, lists, terms) or (verdict.message if verdict.reason == REVOKED else "")
        if why:
            revoked[digest] = _revoked(images.pop(digest), why, terms, now)
    for image in terms.infrastructure:
        reference = PinnedImage(digest=digest_of(image), image=image, trust_policy=terms.trust_policy or None)
        pinned.setdefault(reference.digest, reference)
    for digest in [digest for digest in pinned if digest in terms.revoked_digests]:
        revoked[digest] = _revoked(pinned.pop(digest), revocation_reason(digest, lists, terms), terms, now)
    return VerifiedImagesSpec(
        images=_with_room(images.values(), used),
        infrastructure=tuple(pinned.values()),
        revoked=_with_room(revoked.values(), used),
    )


def _entry(image: str, verdict: Verdict, now: str) -> VerifiedImage:
    evidence = verdict.evidence
    return VerifiedImage(
        digest=digest_of(image),
        image=image,
        verified_by=evidence.get("verifiedBy") or None,
        verified_at=now,
        trust_policy=evidence.get("trustPolicy") or None,
    )


def _evidence(entry: VerifiedImage) -> dict[str, str]:
    evidence = {"verifiedBy": entry.verified_by, "trustPolicy": entry.trust_policy, "verifiedAt": entry.verified_at}
    return {key: value for key, value in evidence.items() if value}


def _revoked(item: VerifiedImage | PinnedImage, why: str, terms: TrustTerms, now: str) -> RevokedImage:
    return RevokedImage(
        digest=item.digest,
        image=item.image,
        message=why[:1024],
        revoked_at=now,
        trust_policy=terms.trust_policy or None,
    )


def _with_room(items: Iterable[_Item], used: frozenset[str] | None) -> tuple[_Item, ...]:
    found = tuple(items)
    surplus = len(found) - MAX_IMAGES
    if surplus <= 0 or used is None:
        return found
    unused = [item.digest for item in found if item.digest not in used][:surplus]
    return tuple(item for item in found if item.digest not in unused)
