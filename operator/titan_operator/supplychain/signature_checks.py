"""Pure: checks of one signature of an image or of a risk policy, by the trust policy."""

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
from titan_operator.supplychain.formats.log_entry import is_entry_of
from titan_operator.supplychain.formats.oci import Layer
from titan_operator.supplychain.formats.simple_signing import is_keyless, read_payload, read_signature
from titan_operator.supplychain.refusals import Refusal, Refused
from titan_operator.supplychain.trust import TrustedIdentity, TrustedKey, TrustPolicy, Use, instant


class Format(StrEnum):
    """Formats of signatures."""

    BUNDLE = "bundle v0.3"
    KEYLESS = "bundle v0.3, keyless"
    SIMPLE_SIGNING = "simple signing"
    BLOB = "signed blob"


@dataclass(frozen=True)
class Accepted:
    """An accepted signature and its signer."""

    signer: str
    format: Format


@dataclass(frozen=True)
class Pending:
    """A signature that is good so far; the sigstore library has to verify the rest.

    Attributes
    ----------
    key
        The signer, where an entry of a log must be verified; None where a certificate must be.
    """

    bundle: Bundle
    key: TrustedKey | None
    form: Format


@dataclass(frozen=True)
class Requirements:
    """Requirements of a signature.

    Attributes
    ----------
    use
        The use for which the signer must be trusted.
    signers
        Names of the accepted signers; empty: every one of this use.
    now
        Time of the check, UTC: a signature without a log entry has no time of its own.
    """

    policy: TrustPolicy
    use: Use
    signers: Sequence[str]
    now: datetime

    def permitted(self, signer: TrustedKey | TrustedIdentity) -> bool:
        """Whether the signer is accepted for this use."""
        uses = signer.uses if isinstance(signer, TrustedKey) else ("images",)
        return self.use in uses and (not self.signers or signer.name in self.signers)


SignatureResult = Accepted | Refused


def check_bundle(raw: bytes, digest: str, required: Requirements) -> SignatureResult | Pending:
    """Check a bundle as a signature of the image ``digest``."""
    try:
        bundle = read_bundle(raw)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, str(error))
    if bundle.statement is None:
        return Refused(Refusal.OTHER_STATEMENT, "a signature of a blob; expected is one of an image")
    if bundle.keyless and required.policy.identities:
        if not bundle.entries:
            return Refused(Refusal.LOG_ENTRY_MISSING, "signed by a certificate; expected is an entry of a log with it")
        return Pending(bundle, None, Format.BUNDLE)
    key = _signer(bundle, bundle.signed, required)
    if isinstance(key, Refused):
        return key
    refused = _statement_refused(key.name, bundle.payload_type, bundle.statement, digest)
    return refused or _with_log(bundle, key, Format.BUNDLE, required)


def check_certified(
    name: str, payload_type: str, statement: bytes, digest: str, required: Requirements
) -> SignatureResult:
    """Check a statement as a signature of the image; the sigstore library has verified that ``name`` signed it."""
    identity = next(item for item in required.policy.identities if item.name == name)
    refused = _statement_refused(name, payload_type, statement, digest)
    return refused or _accepted(identity, Format.KEYLESS, required)


def check_logged(
    pending: Pending, bodies: Sequence[bytes], required: Requirements, blob: bytes = b""
) -> SignatureResult:
    """Check whether one of the bodies, of verified log entries, is of the pending signature."""
    bundle, key = pending.bundle, pending.key
    assert key is not None
    signed = bundle.signed if bundle.statement is not None else blob
    payload = bundle.statement if bundle.statement is not None else blob
    good = [signature for signature in bundle.signatures if key.public.verifies(signature, signed)]
    try:
        found = any(is_entry_of(body, signature, signed, payload) for body in bodies for signature in good)
    except FormatError as error:
        return Refused(Refusal.LOG_ENTRY_INVALID, str(error))
    if not found:
        why = f"the entry is of something else; expected is one of {key.name}'s signature of this"
        return Refused(Refusal.LOG_ENTRY_INVALID, why)
    return Accepted(key.name, pending.form)


def _with_log(bundle: Bundle, key: TrustedKey, form: Format, required: Requirements) -> SignatureResult | Pending:
    result = _accepted(key, form, required)
    if isinstance(result, Refused) or not key.transparency_log:
        return result
    if not bundle.entries:
        return Refused(Refusal.LOG_ENTRY_MISSING, f"signed by {key.name}; expected is an entry of a log with it")
    return Pending(bundle, key, form)


def _statement_refused(signer: str, payload_type: str, payload: bytes, digest: str) -> Refused | None:
    if payload_type != STATEMENT_TYPE:
        what = f"{signer} signed a payload of type {payload_type[:100]!r}; expected is {STATEMENT_TYPE}"
        return Refused(Refusal.OTHER_STATEMENT, what)
    try:
        statement = read_statement(payload)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, f"signed by {signer}: {error}")
    if digest not in statement.digests:
        found = ", ".join(statement.digests[:3])[:300] or "nothing with a SHA-256 digest"
        return Refused(Refusal.OTHER_IMAGE, f"{signer} signed {found}; expected is {digest}")
    if statement.predicate_type != SIGNED:
        what = f"{signer} stated {statement.predicate_type[:200]!r} of it; expected is {SIGNED}"
        return Refused(Refusal.OTHER_STATEMENT, what)
    return None


def check_simple_signing(layer: Layer, payload: bytes, digest: str, required: Requirements) -> SignatureResult:
    """Check a layer of cosign's older format as a signature of the image ``digest``."""
    try:
        signature = read_signature(layer)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, str(error))
    if is_keyless(layer):
        return Refused(Refusal.UNKNOWN_KEY, "signed by a certificate, in cosign's older format; expected is a bundle")
    key = next((key for key in required.policy.keys if key.public.verifies(signature, payload)), None)
    if key is None:
        return _unknown(required)
    try:
        found = read_payload(payload)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, f"signed by {key.name}: {error}")
    if found != digest:
        return Refused(Refusal.OTHER_IMAGE, f"{key.name} signed {found[:200]}; expected is {digest}")
    result = _accepted(key, Format.SIMPLE_SIGNING, required)
    if isinstance(result, Accepted) and key.transparency_log:
        why = f"signed by {key.name} in cosign's older format; expected is a bundle with an entry of a log"
        return Refused(Refusal.LOG_ENTRY_MISSING, why)
    return result


def check_blob(raw: bytes, blob: bytes, required: Requirements) -> SignatureResult | Pending:
    """Check a bundle of ``cosign sign-blob`` as a signature of ``blob``."""
    try:
        bundle = read_bundle(raw)
    except FormatError as error:
        return Refused(Refusal.MALFORMED, str(error))
    if bundle.statement is not None:
        return Refused(Refusal.OTHER_STATEMENT, "a statement; expected is a signature as cosign sign-blob makes it")
    key = _signer(bundle, blob, required)
    return key if isinstance(key, Refused) else _with_log(bundle, key, Format.BLOB, required)


def _signer(bundle: Bundle, signed: bytes, required: Requirements) -> TrustedKey | Refused:
    if bundle.keyless:
        return Refused(Refusal.UNKNOWN_KEY, "signed by a certificate; expected is a key of the trust policy")
    # The key that the bundle names comes first: a forged bundle then costs one check, not one for each key.
    named = [key for key in required.policy.keys if key.public.hint == bundle.hint]
    for key in named or required.policy.keys:
        if any(key.public.verifies(signature, signed) for signature in bundle.signatures):
            return key
    if named:
        return Refused(Refusal.BAD_SIGNATURE, f"names the key {named[0].name}, which did not sign these bytes")
    return _unknown(required)


def _unknown(required: Requirements) -> Refused:
    names = ", ".join(key.name for key in required.policy.keys)
    return Refused(Refusal.UNKNOWN_KEY, f"made by none of the trust policy's keys; expected is one of {names}"[:500])


def _accepted(key: TrustedKey | TrustedIdentity, form: Format, required: Requirements) -> SignatureResult:
    if not required.permitted(key):
        allowed = ", ".join(item.name for item in required.policy.signers if required.permitted(item)) or "none"
        return Refused(Refusal.SIGNER_NOT_ALLOWED, f"signed by {key.name}; allowed for this are {allowed}"[:500])
    if key.revoked:
        return Refused(Refusal.REVOKED, f"signed by {key.name}, whom the trust policy revokes")
    if isinstance(key, TrustedIdentity):
        # Its certificate was verified at the time of its signature.
        return Accepted(key.name, form)
    # The message must not name the present time: a repeated refusal has to be the same sentence.
    if key.not_before is not None and required.now < instant(key.not_before):
        what = f"signed by {key.name}, which counts from {key.not_before} on; expected is a key that counts now"
        return Refused(Refusal.KEY_NOT_YET_VALID, what)
    if key.not_after is not None and required.now > instant(key.not_after):
        what = f"signed by {key.name}, which counted until {key.not_after}; expected is a key that counts now"
        return Refused(Refusal.KEY_EXPIRED, what)
    return Accepted(key.name, form)
