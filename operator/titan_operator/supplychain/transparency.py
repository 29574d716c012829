"""Pure: whether a transparency log that is trusted has taken down one signature, and when.

What is verified is the log's signed promise (Rekor's ``SignedEntryTimestamp``) over the entry, and that the entry is of
this signature over these bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import rfc8785

from titan_operator.supplychain.envelopes import LogEntry, Signed, decoded, parsed
from titan_operator.supplychain.keys import PublicKey, made_by
from titan_operator.supplychain.refusals import Refusal, RefusedError


class _Hash(msgspec.Struct, frozen=True):
    algorithm: str = ""
    value: str = ""


class _Data(msgspec.Struct, frozen=True):
    hash: _Hash = _Hash()


class _Content(msgspec.Struct, frozen=True):
    content: str = ""


class _EntrySignature(msgspec.Struct, frozen=True):
    signature: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    data: _Data = _Data()
    signature: _Content = _Content()
    payload_hash: _Hash = _Hash()
    signatures: tuple[_EntrySignature, ...] = ()


class _Body(msgspec.Struct, frozen=True):
    kind: str
    spec: _Spec


def logged_at(signed: Signed, logs: Mapping[bytes, PublicKey]) -> datetime:
    """When a trusted log took down ``signed``, UTC.

    Parameters
    ----------
    logs
        Keys of the trusted logs by their id (:func:`titan_operator.supplychain.keys.key_id`).

    Raises
    ------
    RefusedError
        No entry, or none that a trusted log made of this signature.
    """
    if not signed.entries:
        raise RefusedError(Refusal.LOG_ENTRY_MISSING, "its key requires an entry of a transparency log; found none")
    problem = RefusedError(Refusal.LOG_ENTRY_INVALID, "too many entries")
    for entry in signed.entries[:10]:
        try:
            return _logged_at(entry, signed, logs)
        except RefusedError as error:
            problem = RefusedError(Refusal.LOG_ENTRY_INVALID, str(error))
    raise problem


def _logged_at(entry: LogEntry, signed: Signed, logs: Mapping[bytes, PublicKey]) -> datetime:
    log_id = decoded(entry.log_id.key_id, "logId.keyId")
    key = logs.get(log_id)
    if key is None:
        raise RefusedError(Refusal.LOG_ENTRY_INVALID, f"the log {log_id.hex()[:64]} is not in transparencyLogs")
    if entry.inclusion_promise is None:
        raise RefusedError(Refusal.LOG_ENTRY_INVALID, "the entry has no signed timestamp of its log")
    index, seconds = _number(entry.log_index, "logIndex"), _number(entry.integrated_time, "integratedTime")
    # Source: Rekor, verification of a SignedEntryTimestamp: canonical JSON of these four.
    promised = rfc8785.dumps(
        {"body": entry.canonicalized_body, "integratedTime": seconds, "logID": log_id.hex(), "logIndex": index}
    )
    timestamp = decoded(entry.inclusion_promise.signed_entry_timestamp, "signedEntryTimestamp")
    if not made_by(key, timestamp, promised):
        raise RefusedError(Refusal.LOG_ENTRY_INVALID, f"the log {log_id.hex()} did not sign this entry")
    _check_body(decoded(entry.canonicalized_body, "canonicalizedBody"), signed)
    return datetime.fromtimestamp(seconds, UTC)


def _check_body(content: bytes, signed: Signed) -> None:
    body = parsed(content, _Body, "log entry")
    signature = base64.b64encode(signed.signature).decode()
    if body.kind == "hashedrekord":
        of, signatures = body.spec.data.hash.value, [body.spec.signature.content]
        expected = hashlib.sha256(signed.message).hexdigest()
    elif body.kind == "dsse":
        of, signatures = body.spec.payload_hash.value, [item.signature for item in body.spec.signatures]
        expected = hashlib.sha256(signed.payload).hexdigest()
    else:
        raise RefusedError(
            Refusal.LOG_ENTRY_INVALID, f"an entry of kind {body.kind[:50]!r}; expected hashedrekord or dsse"
        )
    if of != expected:
        raise RefusedError(Refusal.LOG_ENTRY_INVALID, f"the entry is of sha256 {of[:64]}; expected {expected}")
    if signature not in signatures:
        raise RefusedError(Refusal.LOG_ENTRY_INVALID, "the entry is of another signature")


def _number(text: str, what: str) -> int:
    # Of a time, the year 5138 at most.
    if not (text.isascii() and text.isdecimal() and len(text) <= 11):
        raise RefusedError(Refusal.LOG_ENTRY_INVALID, f"{what}: {text[:20]!r}; expected a number")
    return int(text)
