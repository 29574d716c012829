"""Pure: public keys as cosign makes them, and whether one of them made a signature."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

ALLOWED = "a public key in PEM: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits"
_RSA_BITS = range(2048, 8193)
# P-384 with SHA-256 is what cosign v2 made, with SHA-384 what v3 makes.
_HASHES: dict[str, tuple[HashAlgorithm, ...]] = {"secp256r1": (SHA256(),), "secp384r1": (SHA384(), SHA256())}

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyFormatError(ValueError):
    """No public key of a kind that is verified here."""


def read_public_key(pem: str) -> PublicKey:
    """Read a key.

    Raises
    ------
    KeyFormatError
        With what was found and what is allowed.
    """
    if "PRIVATE KEY" in pem:
        raise KeyFormatError(f"a private key, which must not be here; allowed is {ALLOWED}")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFormatError(f"no public key in PEM; allowed is {ALLOWED}") from error
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _HASHES:
            raise KeyFormatError(f"ECDSA {key.curve.name}; allowed is {ALLOWED}")
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            raise KeyFormatError(f"RSA of {key.key_size} bits; allowed is {ALLOWED}")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise KeyFormatError(f"{type(key).__name__}; allowed is {ALLOWED}")


def key_id(key: PublicKey) -> bytes:
    """SHA-256 of the key's DER form: how bundles and logs name a key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def made_by(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether ``key`` made ``signature`` over ``message``, in any of the ways that cosign signs with such a key."""
    return any(_holds(check) for check in _checks(key, signature, message))


def _checks(key: PublicKey, signature: bytes, message: bytes) -> list[Callable[[], None]]:
    match key:
        case ec.EllipticCurvePublicKey():
            return [
                lambda digest=digest: key.verify(signature, message, ec.ECDSA(digest))  # type: ignore[misc]
                for digest in _HASHES[key.curve.name]
            ]
        case rsa.RSAPublicKey():
            pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)
            return [
                lambda: key.verify(signature, message, padding.PKCS1v15(), SHA256()),
                lambda: key.verify(signature, message, pss, SHA256()),
            ]
        case ed25519.Ed25519PublicKey():
            return [lambda: key.verify(signature, message)]


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True
