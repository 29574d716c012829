"""Pure: manifests of the OCI image specification, as far as signatures need them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from titan_operator.supplychain.formats.errors import read_json
from titan_operator.supplychain.references import DIGEST_PATTERN


class Layer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a manifest carries; signatures are layers."""

    digest: Annotated[str, Meta(pattern=f"^{DIGEST_PATTERN}$")]
    size: Annotated[int, Meta(ge=0)]
    media_type: str
    # Programs in Go write null where there is none.
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: Annotated[int, Meta(ge=2, le=2)]
    layers: tuple[Layer, ...] | None = None


def read_layers(raw: bytes) -> tuple[Layer, ...]:
    """The layers of a manifest.

    Raises
    ------
    FormatError
        It is no manifest.
    """
    return read_json(raw, _Manifest, "manifest").layers or ()
