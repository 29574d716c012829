"""VerifiedImages: the list by which admission admits, written by the operator and by nobody else."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from titan_operator.api.status import Digest, Instant

MAX_IMAGES = 500
MAX_PINNED = 50
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


class PinnedImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image of PostgreSQL or NATS that the trust policy pins by its digest."""

    digest: Digest
    """What admission compares: the manifest's digest."""
    image: Annotated[str, Meta(pattern=_LINE, max_length=500)] | None = None
    """The pinned reference, for people."""
    trust_policy: Digest | None = None
    """Hash of the trust policy that pinned it first."""


class RevokedImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image that was listed and is revoked."""

    digest: Digest
    """The manifest's digest."""
    image: Annotated[str, Meta(pattern=_LINE, max_length=500)] | None = None
    """Where it was found, for people."""
    message: Annotated[str, Meta(max_length=1024)]
    """What revoked it."""
    revoked_at: Instant
    """When it was taken off the list, UTC."""
    trust_policy: Digest | None = None
    """Hash of the trust policy that revoked it."""


_BY_DIGEST = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["digest"]}


class VerifiedImagesSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The lists."""

    images: Annotated[tuple[VerifiedImage, ...], Meta(max_length=MAX_IMAGES, extra_json_schema=_BY_DIGEST)] = ()
    """Digests that pods of stacks may run."""
    infrastructure: Annotated[tuple[PinnedImage, ...], Meta(max_length=MAX_PINNED, extra_json_schema=_BY_DIGEST)] = ()
    """Digests that pods of data namespaces may run."""
    revoked: Annotated[tuple[RevokedImage, ...], Meta(max_length=MAX_IMAGES, extra_json_schema=_BY_DIGEST)] = ()
    """Digests that were on a list and are revoked: it takes a new verification to come back."""


class VerifiedImages(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The images that were verified, and those that the trust policy pins or revokes.

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
        "spec": {"images": [], **msgspec.to_builtins(spec)},
    }
