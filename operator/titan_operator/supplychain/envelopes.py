"""Pure: cosign's bundles (v0.3): an envelope over a statement about an image, or a signature over bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TypeVar

import msgspec

from titan_operator.supplychain.refusals import Refusal, RefusedError

BUNDLE_TYPES = ("application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3")
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_PAYLOAD_TYPE = "application/vnd.in-toto+json"

_T = TypeVar("_T")


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    pass


class _LogId(_Camel, frozen=True):
    key_id: str = ""


class _Promise(_Camel, frozen=True):
    signed_entry_timestamp: str = ""


class LogEntry(_Camel, frozen=True):
    """An entry of a transparency log as a bundle carries it; numbers are strings there."""

    log_index: str = "0"
    log_id: _LogId = _LogId()
    integrated_time: str = "0"
    inclusion_promise: _Promise | None = None
    canonicalized_body: str = ""


class _Hint(_Camel, frozen=True):
    hint: str = ""


class _Certificate(_Camel, frozen=True):
    raw_bytes: str = ""


class _Material(_Camel, frozen=True):
    public_key: _Hint | None = None
    certificate: _Certificate | None = None
    tlog_entries: tuple[LogEntry, ...] = ()


class _EnvelopeSignature(_Camel, frozen=True):
    sig: str
    keyid: str = ""


class _Envelope(_Camel, frozen=True):
    payload: str
    payload_type: str
    signatures: tuple[_EnvelopeSignature, ...]


class _MessageDigest(_Camel, frozen=True):
    algorithm: str = ""
    digest: str = ""


class _MessageSignature(_Camel, frozen=True):
    signature: str
    message_digest: _MessageDigest | None = None


class _Bundle(_Camel, frozen=True):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope | None = None
    message_signature: _MessageSignature | None = None


class _Subject(_Camel, frozen=True):
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")


class Signed(msgspec.Struct, frozen=True):
    """One signature that was found, not verified yet.

    Attributes
    ----------
    message
        The bytes that were signed.
    signature
        Over ``message``.
    payload
        What is said: of an envelope its payload, else the message itself.
    entries
        Entries of transparency logs that came with it.
    form
        Which format it is, for people.
    keyless
        Whether a certificate stands in for a key.
    """

    message: bytes
    signature: bytes
    payload: bytes
    entries: tuple[LogEntry, ...] = ()
    form: str = ""
    keyless: bool = False


def read_image_bundle(content: bytes) -> list[Signed]:
    """Every signature of the bundle's envelope.

    Raises
    ------
    RefusedError
        Malformed, or of something else than a statement.
    """
    bundle = _bundle(content)
    envelope = bundle.dsse_envelope
    if envelope is None:
        raise RefusedError(Refusal.MALFORMED, "the bundle holds no dsseEnvelope, which an image's signature is")
    if envelope.payload_type != _PAYLOAD_TYPE:
        raise RefusedError(
            Refusal.OTHER_STATEMENT, f"payloadType {envelope.payload_type[:100]!r}; expected {_PAYLOAD_TYPE}"
        )
    payload = decoded(envelope.payload, "dsseEnvelope.payload")
    message = pre_authentication_encoding(_PAYLOAD_TYPE, payload)
    if not 1 <= len(envelope.signatures) <= 10:
        raise RefusedError(Refusal.MALFORMED, f"{len(envelope.signatures)} signatures in an envelope; expected 1 to 10")
    material = bundle.verification_material
    return [
        Signed(
            message,
            decoded(item.sig, "dsseEnvelope.signatures.sig"),
            payload,
            material.tlog_entries,
            "bundle v0.3",
            material.certificate is not None,
        )
        for item in envelope.signatures
    ]


def read_blob_bundle(content: bytes, message: bytes) -> Signed:
    """The bundle's signature over ``message``, as ``cosign sign-blob`` makes it.

    Raises
    ------
    RefusedError
        Malformed, or said to be of other bytes.
    """
    bundle = _bundle(content)
    made = bundle.message_signature
    if made is None:
        raise RefusedError(Refusal.MALFORMED, "the bundle holds no messageSignature, which cosign sign-blob makes")
    if made.message_digest is not None and made.message_digest.algorithm == "SHA2_256":
        found, wanted = decoded(made.message_digest.digest, "messageDigest.digest"), hashlib.sha256(message).digest()
        if found != wanted:
            raise RefusedError(
                Refusal.OTHER_STATEMENT, f"signed are bytes of sha256 {found.hex()}; expected {wanted.hex()}"
            )
    material = bundle.verification_material
    return Signed(
        message,
        decoded(made.signature, "messageSignature.signature"),
        message,
        material.tlog_entries,
        "bundle v0.3",
        material.certificate is not None,
    )


def check_statement(payload: bytes, digest: str) -> None:
    """Check that a statement is cosign's signature of the image ``digest``.

    Raises
    ------
    RefusedError
        With what it is instead.
    """
    statement = parsed(payload, _Statement, "statement")
    if statement.type not in _STATEMENTS:
        raise RefusedError(Refusal.OTHER_STATEMENT, f"_type {statement.type[:100]!r}; expected {_STATEMENTS[0]}")
    if statement.predicate_type != SIGN_PREDICATE:
        raise RefusedError(
            Refusal.OTHER_STATEMENT, f"predicateType {statement.predicate_type[:100]!r}; expected {SIGN_PREDICATE}"
        )
    named = [f"sha256:{subject.digest.get('sha256', '')}" for subject in statement.subject]
    if digest not in named:
        found = ", ".join(item[:71] for item in named[:3]) or "no subject"
        raise RefusedError(Refusal.OTHER_IMAGE, f"signed is {found}; expected {digest}")


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What an envelope's signature is over. Source: DSSE v1, "PAE"."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def decoded(text: str, what: str) -> bytes:
    """Bytes of base64.

    Raises
    ------
    RefusedError
        Malformed.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(Refusal.MALFORMED, f"{what}: no base64") from error


def parsed(content: bytes, kind: type[_T], what: str) -> _T:
    """JSON as a typed document.

    Raises
    ------
    RefusedError
        Malformed.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(Refusal.MALFORMED, f"no {what}: {str(error)[:200]}") from error


def _bundle(content: bytes) -> _Bundle:
    bundle = parsed(content, _Bundle, "bundle")
    if bundle.media_type not in BUNDLE_TYPES:
        raise RefusedError(
            Refusal.MALFORMED, f"a bundle of mediaType {bundle.media_type[:100]!r}; expected {BUNDLE_TYPES[0]}"
        )
    return bundle
