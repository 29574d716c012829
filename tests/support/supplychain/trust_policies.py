"""Trust policies for tests, with keys made for one run."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@cache
def public_pem(name: str) -> str:
    """A public key in PEM, the same for a name."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def trusted_key(name: str, pem: str = "", **more: Any) -> dict[str, Any]:
    """One key of a trust policy."""
    return {"name": name, "pem": pem or public_pem(name), **more}


def trust_policy(images: str = "r.test/**", pem: str = "", **more: Any) -> dict[str, Any]:
    """One key named release, and whatever else is given."""
    return {"keys": [trusted_key("release", pem)], "images": [{"pattern": images}], **more}


def as_yaml(policy: dict[str, Any]) -> bytes:
    """As a ConfigMap holds it."""
    return yaml.safe_dump(policy).encode()
