"""Pure: simple signing payloads, which cosign wrote before v3 as layers of a ``.sig`` tag."""

from __future__ import annotations

import msgspec

from titan_operator.supplychain.formats.errors import FormatError, read_base64, read_json
from titan_operator.supplychain.formats.oci import Layer

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_CERTIFICATE = "dev.sigstore.cosign/certificate"
_KIND = "cosign container image signature"


class _Image(msgspec.Struct, frozen=True, kw_only=True):
    digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct, frozen=True, kw_only=True):
    image: _Image
    kind: str = msgspec.field(name="type")


class _Payload(msgspec.Struct, frozen=True, kw_only=True):
    critical: _Critical


def read_signature(layer: Layer) -> bytes:
    """Read the signature of a layer's payload from its annotation.

    Raises
    ------
    FormatError
        The layer has no such annotation.
    """
    annotations = layer.annotations or {}
    if _SIGNATURE not in annotations:
        raise FormatError(f"layer: no annotation {_SIGNATURE}")
    return read_base64(annotations[_SIGNATURE], f"layer: annotation {_SIGNATURE}")


def is_keyless(layer: Layer) -> bool:
    """Whether the layer was signed by a certificate instead of a key."""
    return _CERTIFICATE in (layer.annotations or {})


def read_payload(raw: bytes) -> str:
    """Read the digest of the signed image from a payload, undecoded.

    Raises
    ------
    FormatError
        The bytes are no payload of cosign.
    """
    critical = read_json(raw, _Payload, "payload").critical
    if critical.kind != _KIND:
        raise FormatError(f"payload: type {critical.kind[:100]!r}; allowed is {_KIND}")
    return critical.image.digest
