"""Pure: sigstore bundles v0.3, which cosign v3 writes: an in-toto statement in a DSSE envelope, or a signed blob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from titan_operator.supplychain.formats.errors import FormatError, read_base64, read_json

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
# The predicate of a signature; an SBOM or a provenance has another one.
SIGNED = "https://sigstore.dev/cosign/sign/v1"
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_MOST_SIGNATURES = 4


class _PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    hint: str = ""


class _Certificate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    raw_bytes: str


class _Material(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    public_key: _PublicKey | None = None
    certificate: _Certificate | None = None
    tlog_entries: Annotated[tuple[dict[str, object], ...], Meta(max_length=8)] | None = None


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    sig: str


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=_MOST_SIGNATURES)]


class _MessageSignature(msgspec.Struct, frozen=True, kw_only=True):
    signature: str


class _Bundle(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope | None = None
    message_signature: _MessageSignature | None = None


class _Subject(msgspec.Struct, frozen=True, kw_only=True):
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    kind: str = msgspec.field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1)]
    predicate_type: str


@dataclass(frozen=True)
class Bundle:
    """Content of a bundle; nothing of it is verified.

    Attributes
    ----------
    hint
        The key that the bundle names; empty where it names none.
    keyless
        Whether it has a certificate instead of a key.
    statement
        The payload of its envelope, as signed; None where it signs a blob outside the bundle.
    payload_type
        Payload type of the envelope.
    signatures
        One signature, or several of an envelope.
    entries
        Entries of transparency logs, undecoded.
    """

    hint: str
    keyless: bool
    statement: bytes | None
    payload_type: str
    signatures: tuple[bytes, ...]
    entries: tuple[dict[str, object], ...] = ()

    @property
    def signed(self) -> bytes:
        """The bytes that an envelope's signature covers (DSSE's pre-authentication encoding)."""
        assert self.statement is not None
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.statement), self.statement)


@dataclass(frozen=True)
class Statement:
    """Predicate and subjects of an in-toto statement; ``digests`` are ``sha256:…``."""

    predicate_type: str
    digests: tuple[str, ...]


def read_bundle(raw: bytes) -> Bundle:
    """Read a bundle.

    Raises
    ------
    FormatError
        The bytes are no bundle v0.3, or carry neither an envelope nor a blob's signature.
    """
    bundle = read_json(raw, _Bundle, "bundle")
    if bundle.media_type != BUNDLE_TYPE:
        raise FormatError(f"bundle: mediaType {bundle.media_type[:100]!r}; allowed is {BUNDLE_TYPE}")
    material = bundle.verification_material
    if (material.public_key is None) == (material.certificate is None):
        raise FormatError("bundle: verificationMaterial: neither or both of publicKey and certificate; allowed is one")
    hint = "" if material.public_key is None else material.public_key.hint
    keyless = material.certificate is not None
    entries = material.tlog_entries or ()
    envelope, message = bundle.dsse_envelope, bundle.message_signature
    if envelope is not None and message is None:
        statement = read_base64(envelope.payload, "bundle: payload")
        found = tuple(read_base64(item.sig, "bundle: signature") for item in envelope.signatures)
        return Bundle(hint, keyless, statement, envelope.payload_type, found, entries)
    if message is not None and envelope is None:
        signature = read_base64(message.signature, "bundle: signature")
        return Bundle(hint, keyless, None, "", (signature,), entries)
    raise FormatError("bundle: neither or both of dsseEnvelope and messageSignature; allowed is one")


def read_statement(raw: bytes) -> Statement:
    """Read an in-toto statement.

    Raises
    ------
    FormatError
        It is none.
    """
    statement = read_json(raw, _Statement, "statement")
    if statement.kind not in _STATEMENTS:
        raise FormatError(f"statement: _type {statement.kind[:100]!r}; allowed is {_STATEMENTS[0]}")
    return Statement(statement.predicate_type, _digests(statement.subject))


def _digests(subjects: Sequence[_Subject]) -> tuple[str, ...]:
    return tuple(f"sha256:{item.digest['sha256']}" for item in subjects if "sha256" in item.digest)
