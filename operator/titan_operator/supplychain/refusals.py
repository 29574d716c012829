"""Pure: reasons why an image or a policy is not verified: one word of a closed list, and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """The reasons by precedence: of several refused signatures, the first reason here is reported."""

    INVALID_REFERENCE = "InvalidReference"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    REGISTRY_UNREACHABLE = "RegistryUnreachable"  # no answer, overloaded, cut off: passes by itself
    REGISTRY_REFUSED = "RegistryRefused"  # 401 and 403
    REGISTRY_MISBEHAVES = "RegistryMisbehaves"  # bytes of another digest, too many bytes, a forbidden redirect
    TOO_MANY_SIGNATURES = "TooManySignatures"  # a good one may be among those that were not checked
    KEYLESS_UNAVAILABLE = "KeylessUnavailable"  # trustedRoot, or the process that verifies by it, fails
    REVOKED = "Revoked"
    KEY_EXPIRED = "KeyExpired"
    KEY_NOT_YET_VALID = "KeyNotYetValid"
    SIGNER_NOT_ALLOWED = "SignerNotAllowed"  # a signer of the trust policy, but not for this
    LOG_ENTRY_MISSING = "LogEntryMissing"
    LOG_ENTRY_INVALID = "LogEntryInvalid"
    UNKNOWN_IDENTITY = "UnknownIdentity"  # a good certificate of an identity that the trust policy does not name
    BAD_CERTIFICATE = "BadCertificate"
    OTHER_IMAGE = "OtherImage"  # a good signature of something else
    OTHER_STATEMENT = "OtherStatement"  # of this image, with another predicate than cosign's signature
    BAD_SIGNATURE = "BadSignature"  # names a trusted key, which did not make it
    UNKNOWN_KEY = "UnknownKey"
    TOO_LARGE = "TooLarge"
    MALFORMED = "Malformed"
    IMAGE_NOT_FOUND = "ImageNotFound"
    NO_SIGNATURE = "NoSignature"


_RANK = {refusal: rank for rank, refusal in enumerate(Refusal)}


@dataclass(frozen=True)
class Refused:
    """Refusal of one signature, or of a whole image; ``message`` names what was found and what is expected."""

    reason: Refusal
    message: str


def primary_refusal(refused: Sequence[Refused]) -> Refused:
    """Return one refusal for several signatures: that of the first reason, with counts of all reasons."""
    # Sorted by message too, so that the sentence does not depend on which signature was checked first.
    first = min(refused, key=lambda item: (_RANK[item.reason], item.message))
    if len(refused) == 1:
        return first
    counts = Counter(item.reason for item in refused)
    summary = ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: _RANK[item[0]])
    )
    return Refused(first.reason, f"{first.message}; of {len(refused)} signatures: {summary}")
