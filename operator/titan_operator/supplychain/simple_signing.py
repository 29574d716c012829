"""Pure: cosign v2's signatures: layers of the tag ``sha256-<hex>.sig``, each a payload with its signature beside it."""

from __future__ import annotations

import base64

import msgspec

from titan_operator.supplychain.envelopes import LogEntry, Signed, decoded, parsed
from titan_operator.supplychain.refusals import Refusal, RefusedError

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_LOG = "dev.sigstore.cosign/bundle"
_CERTIFICATE = "dev.sigstore.cosign/certificate"
_TYPE = "cosign container image signature"


class _Image(msgspec.Struct, frozen=True):
    digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct, frozen=True):
    image: _Image
    type: str


class _Payload(msgspec.Struct, frozen=True):
    critical: _Critical


class _LogPayload(msgspec.Struct, frozen=True):
    body: str
    integrated_time: int = msgspec.field(name="integratedTime")
    log_index: int = msgspec.field(name="logIndex")
    log_id: str = msgspec.field(name="logID")


class _LogBundle(msgspec.Struct, frozen=True):
    timestamp: str = msgspec.field(name="SignedEntryTimestamp")
    payload: _LogPayload = msgspec.field(name="Payload")


def read_layer(payload: bytes, annotations: dict[str, str]) -> Signed:
    """The signature of one layer.

    Raises
    ------
    RefusedError
        Malformed.
    """
    if SIGNATURE not in annotations:
        raise RefusedError(Refusal.MALFORMED, f"a layer without the annotation {SIGNATURE}")
    entries = (_entry(annotations[_LOG]),) if _LOG in annotations else ()
    signature = decoded(annotations[SIGNATURE], SIGNATURE)
    return Signed(payload, signature, payload, entries, "simple signing", bool(annotations.get(_CERTIFICATE)))


def check_payload(payload: bytes, digest: str) -> None:
    """Check that a payload is cosign's signature of the image ``digest``.

    Raises
    ------
    RefusedError
        With what it is instead.
    """
    critical = parsed(payload, _Payload, "simple signing payload").critical
    if critical.type != _TYPE:
        raise RefusedError(Refusal.OTHER_STATEMENT, f"critical.type {critical.type[:100]!r}; expected {_TYPE!r}")
    if critical.image.digest != digest:
        raise RefusedError(Refusal.OTHER_IMAGE, f"signed is {critical.image.digest[:71]}; expected {digest}")


def _entry(annotation: str) -> LogEntry:
    """As a bundle spells it: the log's id in base64 instead of hexadecimal digits, numbers as strings."""
    found = parsed(annotation.encode(), _LogBundle, "log entry")
    try:
        log_id = base64.b64encode(bytes.fromhex(found.payload.log_id)).decode()
    except ValueError as error:
        raise RefusedError(Refusal.MALFORMED, "logID: no hexadecimal digits") from error
    document = {
        "logIndex": str(found.payload.log_index),
        "logId": {"keyId": log_id},
        "integratedTime": str(found.payload.integrated_time),
        "inclusionPromise": {"signedEntryTimestamp": found.timestamp},
        "canonicalizedBody": found.payload.body,
    }
    return msgspec.convert(document, LogEntry)
