"""Pure: manifests of the OCI image specification, as far as signatures need them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from titan_operator.supplychain.formats.errors import read_json
from titan_operator.supplychain.references import DIGEST_PATTERN


class Layer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A layer of a manifest; signatures are layers."""

    digest: Annotated[str, Meta(pattern=f"^{DIGEST_PATTERN}$")]
    size: Annotated[int, Meta(ge=0)]
    media_type: str
    # Programs in Go write null where there are none.
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: Annotated[int, Meta(ge=2, le=2)]
    layers: tuple[Layer, ...] | None = None


def read_layers(raw: bytes) -> tuple[Layer, ...]:
    """Read the layers of a manifest.

    Raises
    ------
    FormatError
        The bytes are no manifest.
    """
    return read_json(raw, _Manifest, "manifest").layers or ()
