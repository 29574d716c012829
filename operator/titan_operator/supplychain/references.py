"""Pure: references of images by digest, and the names that patterns of a trust policy match."""

from __future__ import annotations

import re
from dataclasses import dataclass

from titan.domain.policy_rules import shown

LONGEST = 500
DIGEST_PATTERN = r"sha256:[0-9a-f]{64}"
HOST_PATTERN = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_PARSED = re.compile(rf"(?P<name>[a-z0-9._:/-]+)@(?P<digest>{DIGEST_PATTERN})")
_HOST = re.compile(HOST_PATTERN)
_REPOSITORY = re.compile(rf"{_PART}(/{_PART})*")
_HUB = "docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class ReferenceFormatError(ValueError):
    """The text is no reference of an image by its digest; the message names what is allowed."""


@dataclass(frozen=True)
class ImageReference:
    """One image by its digest.

    Attributes
    ----------
    registry
        ``HOST`` or ``HOST:PORT``; Docker Hub is ``docker.io``.
    repository
        Path in the registry.
    digest
        ``sha256:`` and 64 hexadecimal digits, of the manifest.
    """

    registry: str
    repository: str
    digest: str

    @property
    def name(self) -> str:
        """Registry and repository, without the digest: patterns match this."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"


def parse_reference(text: str) -> ImageReference:
    """Read ``NAME@sha256:…``; a name without a registry is Docker Hub's, as containerd reads it.

    Raises
    ------
    ReferenceFormatError
        The text is something else, also where it has a tag beside the digest.
    """
    found = _PARSED.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise ReferenceFormatError(_refusal_message(text))
    first, slash, rest = found["name"].partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        registry, repository = first, rest
    else:
        registry, repository = _HUB, found["name"]
    if registry in _HUB_NAMES:
        registry = _HUB
        if "/" not in repository:
            repository = f"library/{repository}"
    if not _HOST.fullmatch(registry) or not _REPOSITORY.fullmatch(repository):
        raise ReferenceFormatError(_refusal_message(text))
    return ImageReference(registry, repository, found["digest"])


def _refusal_message(text: str) -> str:
    return f"{shown(text)}; allowed is an image by digest only, like registry/titan@sha256:<64 hexadecimal digits>"


def pattern_expression(pattern: str) -> re.Pattern[str]:
    """Compile ``pattern``: ``*`` is any text without a ``/``, ``**`` is any text, the rest is literal."""
    parts = re.split(r"(\*\*|\*)", pattern)
    wild = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts))
