"""Pure: entries of a transparency log (Rekor)."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from titan_operator.supplychain.formats.errors import FormatError, read_base64, read_json

_HASHES = ("sha256", "sha384", "sha512")


class _Hash(msgspec.Struct, frozen=True, kw_only=True):
    algorithm: str
    value: str


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    hash: _Hash


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    content: str


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    signature: str


class _Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    # Of kind hashedrekord.
    data: _Data | None = None
    signature: _Content | None = None
    # Of kind dsse.
    payload_hash: _Hash | None = None
    signatures: Annotated[tuple[_Signature, ...], Meta(max_length=8)] = ()


class _Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    kind: str
    api_version: str
    spec: _Spec


def is_entry_of(body: bytes, signature: bytes, signed: bytes, payload: bytes) -> bool:
    """Whether an entry is of this signature over these bytes.

    Parameters
    ----------
    signed, payload
        The bytes that the signature covers, and the payload of an envelope; the same for a blob.

    Raises
    ------
    FormatError
        The body is no entry of a kind and version that cosign writes.
    """
    entry = read_json(body, _Body, "log entry")
    spec = entry.spec
    if entry.api_version == "0.0.1" and entry.kind == "hashedrekord" and spec.data and spec.signature:
        found = read_base64(spec.signature.content, "log entry: signature")
        return found == signature and _is_of(spec.data.hash, signed)
    if entry.api_version == "0.0.1" and entry.kind == "dsse" and spec.payload_hash:
        signatures = [read_base64(item.signature, "log entry: signature") for item in spec.signatures]
        return signature in signatures and _is_of(spec.payload_hash, payload)
    what = f"{entry.kind[:50]} {entry.api_version[:20]}"
    raise FormatError(f"log entry: {what}; allowed are hashedrekord and dsse 0.0.1")


def _is_of(found: _Hash, content: bytes) -> bool:
    return found.algorithm in _HASHES and found.value == hashlib.new(found.algorithm, content).hexdigest()
