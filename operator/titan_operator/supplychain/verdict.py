"""Verdicts on images and policies, and the terms of the trust policy that they follow. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """Verdict on an image: its digest when ``verified``, else the reason."""

    verified: bool
    digest: str = ""
    reason: str = ""
    message: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


# The reason of a verdict on a revoked image. It is final; every other reason may change with the next check.
REVOKED = "Revoked"


@dataclass(frozen=True)
class TrustTerms:
    """Terms of the trust policy in force for the lists of images.

    Attributes
    ----------
    trust_policy
        Its hash, ``sha256:…``; empty where there is none, and then nothing can be verified.
    revoked_digests, revoked_keys
        Revoked digests, and names of keys: every image that only these keys have signed is revoked.
    infrastructure
        References by digest of what data namespaces may run.
    drain
        Whether processes whose image is revoked are drained and ended, or only reported.
    """

    trust_policy: str = ""
    revoked_digests: frozenset[str] = frozenset()
    revoked_keys: frozenset[str] = frozenset()
    infrastructure: tuple[str, ...] = ()
    drain: bool = False
