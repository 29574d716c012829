"""Why an image or a policy is not trusted: one enumerated reason, and a sentence with what was expected and found."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Reasons, the most telling first: of several signatures that do not do, the first one here is told."""

    REVOKED = "Revoked"
    """The digest, or every key that signed it, was taken back."""
    KEY_EXPIRED = "KeyExpired"
    """A good signature, by a key whose time is over."""
    KEY_NOT_YET_VALID = "KeyNotYetValid"
    """A good signature, by a key whose time has not come."""
    KEY_NOT_FOR_IMAGE = "KeyNotForImage"
    """A good signature, by a key that may not sign this repository."""
    LOG_ENTRY_MISSING = "LogEntryMissing"
    """A good signature without the entry of a transparency log that its key requires."""
    LOG_ENTRY_INVALID = "LogEntryInvalid"
    """A good signature with a log entry that no trusted log made, or made of something else."""
    OTHER_IMAGE = "OtherImage"
    """A good signature, of another image."""
    OTHER_STATEMENT = "OtherStatement"
    """A good signature of something else than an image's signature: an attestation, say."""
    SIGNATURE_INVALID = "SignatureInvalid"
    """No trusted key made the signature."""
    MALFORMED = "Malformed"
    """It is no signature in a format that is known here."""
    TOO_LARGE = "TooLarge"
    """Longer than such a thing ever is, or more of them than are looked at."""
    DIGEST_MISMATCH = "DigestMismatch"
    """The registry answered with other bytes than were asked for."""
    REGISTRY_REFUSES = "RegistryRefuses"
    """The registry wants another login, or does not want to answer."""
    REGISTRY_UNREACHABLE = "RegistryUnreachable"
    """The registry does not answer, not in time, or says that it cannot."""
    IMAGE_NOT_FOUND = "ImageNotFound"
    """The registry has no such image."""
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    """No key of the trust policy may sign this repository."""
    NO_SIGNATURE = "NoSignature"
    """Nothing that could be a signature is attached."""
    BAD_REFERENCE = "BadReference"
    """The image is not named by registry, repository and digest."""


_ORDER = {reason: number for number, reason in enumerate(Refusal)}


class RefusedError(Exception):
    """Something is not trusted; ``reason`` says why, and the message what was expected and what was found."""

    def __init__(self, reason: Refusal, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def most_telling(refusals: list[RefusedError]) -> RefusedError:
    """The first by the order of :class:`Refusal`; of equal ones the first of the list."""
    return min(refusals, key=lambda refusal: _ORDER[refusal.reason])
