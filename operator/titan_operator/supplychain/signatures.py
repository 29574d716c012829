"""Pure: whether one signature vouches for an image, by a key of the trust policy; and for a risk policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from titan_operator.supplychain.formats.bundle import (
    SIGNED,
    STATEMENT_TYPE,
    Bundle,
    read_bundle,
    read_statement,
)
from titan_operator.supplychain.formats.errors import FormatError
from titan_operator.supplychain.formats.oci import Layer
from titan_operator.supplychain.formats.simple_signing import is_keyless, read_payload, read_signature
from titan_operator.supplychain.refusals import Refusal, Refused
from titan_operator.supplychain.trust import TrustedKey, TrustPolicy, Use, instant


class Format(StrEnum):
    """How a signature was written."""

    BUNDLE = "bundle v0.3"
    SIMPLE_SIGNING = "simple signing"
    BLOB = "signed blob"


@dataclass(frozen=True)
class Accepted:
    """Who vouches."""

    signer: str
    format: Format


@dataclass(frozen=True)
class Asked:
    """What a signature has to be by and for.

    Attributes
    ----------
    use
        What the signer must be trusted for.
    signers
        Names of the signers that count; empty: every one of this use.
    now
        When, UTC: a signature that is logged nowhere has no time of its own.
    """

    policy: TrustPolicy
    use: Use
    signers: Sequence[str]
    now: datetime

    def permitted(self, key: TrustedKey) -> bool:
        """Whether the key is one for this at all."""
        return self.use in key.uses and (not self.signers or key.name in self.signers)


def judge_bundle(raw: bytes, digest: str, asked: Asked) -> Accepted | Refused:
    """Whether a bundle says that the image ``digest`` is signed."""
    try:
        bundle = read_bundle(raw)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, str(error))
    if bundle.statement is None:
        return Refused(Refusal.OTHER_STATEMENT, "a signature of a blob; expected is one of an image")
    key = _signer(bundle, bundle.signed, asked)
    if isinstance(key, Refused):
        return key
    if bundle.payload_type != STATEMENT_TYPE:
        what = f"{key.name} signed a payload of type {bundle.payload_type[:100]!r}; expected is {STATEMENT_TYPE}"
        return Refused(Refusal.OTHER_STATEMENT, what)
    try:
        statement = read_statement(bundle.statement)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, f"signed by {key.name}: {error}")
    if digest not in statement.digests:
        found = ", ".join(statement.digests[:3])[:300] or "nothing with a SHA-256 digest"
        return Refused(Refusal.OTHER_IMAGE, f"{key.name} signed {found}; expected is {digest}")
    if statement.predicate_type != SIGNED:
        what = f"{key.name} stated {statement.predicate_type[:200]!r} of it; expected is {SIGNED}"
        return Refused(Refusal.OTHER_STATEMENT, what)
    return _accepted(key, Format.BUNDLE, asked)


def judge_simple_signing(layer: Layer, payload: bytes, digest: str, asked: Asked) -> Accepted | Refused:
    """Whether a layer of cosign's older format says that the image ``digest`` is signed."""
    try:
        signature = read_signature(layer)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, str(error))
    if is_keyless(layer):
        return Refused(Refusal.UNKNOWN_KEY, "signed by a certificate; expected is a key of the trust policy")
    key = next((key for key in asked.policy.keys if key.public.verifies(signature, payload)), None)
    if key is None:
        return _unknown(asked)
    try:
        found = read_payload(payload)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, f"signed by {key.name}: {error}")
    if found != digest:
        return Refused(Refusal.OTHER_IMAGE, f"{key.name} signed {found[:200]}; expected is {digest}")
    return _accepted(key, Format.SIMPLE_SIGNING, asked)


def judge_blob(raw: bytes, blob: bytes, asked: Asked) -> Accepted | Refused:
    """Whether a bundle of ``cosign sign-blob`` signs ``blob``."""
    try:
        bundle = read_bundle(raw)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, str(error))
    if bundle.statement is not None:
        return Refused(Refusal.OTHER_STATEMENT, "a statement; expected is a signature as cosign sign-blob makes it")
    key = _signer(bundle, blob, asked)
    return key if isinstance(key, Refused) else _accepted(key, Format.BLOB, asked)


def _signer(bundle: Bundle, signed: bytes, asked: Asked) -> TrustedKey | Refused:
    if bundle.keyless:
        return Refused(Refusal.UNKNOWN_KEY, "signed by a certificate; expected is a key of the trust policy")
    # Who it says it is comes first: with it a forged one costs one check, not one for each key.
    named = [key for key in asked.policy.keys if key.public.hint == bundle.hint]
    for key in named or asked.policy.keys:
        if any(key.public.verifies(signature, signed) for signature in bundle.signatures):
            return key
    if named:
        return Refused(Refusal.BAD_SIGNATURE, f"says it is signed by {named[0].name}, which did not sign these bytes")
    return _unknown(asked)


def _unknown(asked: Asked) -> Refused:
    names = ", ".join(key.name for key in asked.policy.keys)
    return Refused(Refusal.UNKNOWN_KEY, f"made by none of the trust policy's keys; expected is one of {names}"[:500])


def _accepted(key: TrustedKey, form: Format, asked: Asked) -> Accepted | Refused:
    if not asked.permitted(key):
        allowed = ", ".join(item.name for item in asked.policy.keys if asked.permitted(item)) or "none"
        return Refused(Refusal.SIGNER_NOT_ALLOWED, f"signed by {key.name}; allowed for this are {allowed}"[:500])
    if key.revoked:
        return Refused(Refusal.REVOKED, f"signed by {key.name}, a key that the trust policy revokes")
    # No word of the hour: a refusal that is said again is the same sentence.
    if key.not_before is not None and asked.now < instant(key.not_before):
        what = f"signed by {key.name}, which counts from {key.not_before} on; expected is a key that counts now"
        return Refused(Refusal.KEY_NOT_YET_VALID, what)
    if key.not_after is not None and asked.now > instant(key.not_after):
        what = f"signed by {key.name}, which counted until {key.not_after}; expected is a key that counts now"
        return Refused(Refusal.KEY_EXPIRED, what)
    return Accepted(key.name, form)
