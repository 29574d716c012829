"""VerifiedImages: the list by which admission admits images; only the operator writes it."""

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
    """Digest of the manifest; admission compares it."""
    image: Annotated[str, Meta(pattern=_LINE, max_length=500)] | None = None
    """The first reference under which it was verified, for people."""
    verified_by: Annotated[str, Meta(pattern=_LINE, max_length=256)] | None = None
    """Key or identity that signed it."""
    verified_at: Instant | None = None
    """Time of the verification, UTC."""
    trust_policy: Digest | None = None
    """Hash of the trust policy that admitted it."""


class PinnedImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image of PostgreSQL or NATS that the trust policy pins by its digest."""

    digest: Digest
    """Digest of the manifest; admission compares it."""
    image: Annotated[str, Meta(pattern=_LINE, max_length=500)] | None = None
    """The pinned reference, for people."""
    trust_policy: Digest | None = None
    """Hash of the trust policy that pinned it first."""


class RevokedImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image that was listed and is revoked."""

    digest: Digest
    """Digest of the manifest."""
    image: Annotated[str, Meta(pattern=_LINE, max_length=500)] | None = None
    """Its reference, for people."""
    message: Annotated[str, Meta(max_length=1024)]
    """Reason of the revocation."""
    revoked_at: Instant
    """Time of its removal from the list, UTC."""
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
    """Digests that were on a list and are revoked: only a new verification lists them again."""


class VerifiedImages(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The images that were verified, and those that the trust policy pins or revokes.

    Admission reads the object named titan, and refuses every pod of a stack while it is missing. Only the operator
    writes it.
    """

    spec: VerifiedImagesSpec


def read_verified_images(document: object) -> VerifiedImagesSpec:
    """Read the lists of a live object.

    Raises
    ------
    ValueError
        One sentence: the problem and its place.
    """
    try:
        return msgspec.convert(document, VerifiedImages).spec
    except msgspec.ValidationError as error:
        raise ValueError(f"VerifiedImages: {error}") from error


def verified_images_document(name: str, spec: VerifiedImagesSpec, api_version: str) -> dict[str, Any]:
    """Return the object as it is sent to the API server."""
    return {
        "apiVersion": api_version,
        "kind": "VerifiedImages",
        "metadata": {"name": name},
        "spec": {"images": [], **msgspec.to_builtins(spec)},
    }
