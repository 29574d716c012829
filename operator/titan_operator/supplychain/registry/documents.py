"""Pure: readers of registries' documents: indexes, links to further pages, error codes, times to wait.

The input is untrusted: a reader returns a value or raises its own error, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from titan.domain.policy_rules import shown
from titan_operator.supplychain.references import DIGEST_PATTERN

INDEX_TYPES = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    *sorted(INDEX_TYPES),
)
_DIGEST = re.compile(DIGEST_PATTERN)
_CODE = re.compile(r"[A-Z_]{1,40}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_LINK = re.compile(
    r"\s*<([^<>\s]{1,4000})>((?:\s*;\s*[A-Za-z*]{1,20}\s*=\s*(?:\"[^\"]{0,4000}\"|[^\s\",;]{1,200}))*)\s*"
)
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+))", re.IGNORECASE)


class DocumentError(ValueError):
    """A document breaks the OCI distribution specification; the message names what is allowed."""


@dataclass(frozen=True)
class Descriptor:
    """Entry of a manifest in an index. Only the digest is a fact once its bytes were read; all else is a claim.

    Attributes
    ----------
    digest
        ``sha256:`` and 64 hexadecimal digits.
    media_type, artifact_type
        As written; empty where it is no text. Nothing is selected or excluded by the artifact type: registries and
        clients do not agree on its content.
    size
        Size in bytes; -1 where it is no such number.
    annotations
        Annotations whose value is a text.
    """

    digest: str
    media_type: str = ""
    artifact_type: str = ""
    size: int = -1
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


def read_index(content: bytes) -> tuple[Descriptor, ...]:
    """Read the manifests that an image index lists, in its order.

    An entry without a SHA-256 digest is left out: its content could not be checked. Anyone who may push can put odd
    entries into an index, and these must not hide the others.

    Raises
    ------
    DocumentError
        The document is no index.
    """
    document = _object(content)
    # Registries in Go write null for an empty list; a missing list is an error.
    entries = document.get("manifests", 0)
    entries = [] if entries is None else entries
    if document.get("schemaVersion") != 2 or not isinstance(entries, list):
        raise DocumentError("no image index; allowed is an object with schemaVersion 2 and a list of manifests")
    read = (_descriptor(entry) for entry in entries)
    return tuple(descriptor for descriptor in read if descriptor is not None)


def _descriptor(entry: object) -> Descriptor | None:
    if not isinstance(entry, dict):
        return None
    digest, size = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    found = entry.get("annotations")
    annotations = found if isinstance(found, dict) else {}
    return Descriptor(
        digest=digest,
        media_type=_text(entry.get("mediaType")),
        artifact_type=_text(entry.get("artifactType")),
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else -1,
        annotations={name: value for name, value in annotations.items() if isinstance(value, str)},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def read_next_link(header: str) -> str | None:
    """Return the next page's address from a ``Link`` header (RFC 8288); None where there is none.

    Raises
    ------
    DocumentError
        The header cannot be read.
    """
    rest, following = header, None
    while rest.strip():
        found = _LINK.match(rest)
        if found is None or (rest[found.end() :] and not rest[found.end() :].startswith(",")):
            raise DocumentError(f'Link: {shown(header)}; allowed is <URL>; rel="next"')
        relation = _RELATION.search(found[2])
        names = (relation[1] or relation[2] or "").lower().split() if relation else []
        if "next" in names and following is None:
            following = found[1]
        rest = rest[found.end() + 1 :]
    return following


def read_error_code(content: bytes) -> str:
    """Return the first code of a registry's error document, like ``MANIFEST_UNKNOWN``; empty where it has none."""
    try:
        errors = _object(content).get("errors")
    except DocumentError:
        # A proxy may answer with a page of its own.
        return ""
    first = errors[0] if isinstance(errors, list) and errors else None
    code = first.get("code") if isinstance(first, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def read_retry_after(header: str, now: datetime) -> float | None:
    """Return the wait of a ``Retry-After`` header (RFC 9110), in seconds; None where it cannot be read."""
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max(0.0, (instant - now).total_seconds())


def _object(content: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DocumentError("no JSON object") from error
