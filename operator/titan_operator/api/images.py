"""VerifiedImages: the list by which admission admits, written by the operator and by nobody else."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from titan_operator.api.status import Digest, Instant

MAX_IMAGES = 500
_LINE = r"^[^\x00-\x1f\x7f]+$"


class VerifiedImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image whose signature was verified."""

    digest: Digest
    """What admission compares: the manifest's digest."""
    image: Annotated[str, Meta(pattern=_LINE, max_length=500)] | None = None
    """Where it was found first, for people."""
    verified_by: Annotated[str, Meta(pattern=_LINE, max_length=256)] | None = None
    """Key or identity that signed it."""
    verified_at: Instant | None = None
    """When, UTC."""
    trust_policy: Digest | None = None
    """Hash of the trust policy that admitted it."""


class VerifiedImagesSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The list."""

    images: Annotated[
        tuple[VerifiedImage, ...],
        Meta(
            max_length=MAX_IMAGES,
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["digest"]},
        ),
    ] = ()
    """Digests that pods of stacks may run."""


class VerifiedImages(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The images that were verified.

    Admission reads the object named titan, and refuses every pod of a stack while it is missing. Only the operator
    writes it.
    """

    spec: VerifiedImagesSpec


def read_verified_images(document: object) -> VerifiedImagesSpec:
    """The list of a live object.

    Raises
    ------
    ValueError
        One sentence: what is not as it must be, and where.
    """
    try:
        return msgspec.convert(document, VerifiedImages).spec
    except msgspec.ValidationError as error:
        raise ValueError(f"VerifiedImages: {error}") from error


def verified_images_document(name: str, spec: VerifiedImagesSpec, api_version: str) -> dict[str, Any]:
    """The object as the API server gets it."""
    return {
        "apiVersion": api_version,
        "kind": "VerifiedImages",
        "metadata": {"name": name},
        "spec": {"images": msgspec.to_builtins(spec.images)},
    }
