"""Pure: public keys of a trust policy, and whether one of them made a signature.

The algorithms are those with which cosign signs by such a key; nothing in a signature chooses one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

_SMALLEST_RSA_BITS, _LARGEST_RSA_BITS = 2048, 8192
_ALLOWED = "allowed is a public key in PEM: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits"

_Key = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyFormatError(ValueError):
    """The text is no public key of a kind that cosign signs with; the message never shows the text."""


@dataclass(frozen=True)
class PublicKey:
    """A public key that verifies signatures.

    Attributes
    ----------
    identity
        SHA-256 of its SubjectPublicKeyInfo, 64 hexadecimal digits: one for each key, however its PEM is written.
    hint
        The name of the key in a bundle of cosign.
    """

    key: _Key
    identity: str
    hint: str

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed ``message``."""
        key = self.key
        if isinstance(key, ed25519.Ed25519PublicKey):
            return _verifies(lambda: key.verify(signature, message)) or _verifies_prehashed(key, signature, message)
        if isinstance(key, rsa.RSAPublicKey):
            return _verifies(lambda: key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256()))
        if key.curve.key_size == 256:
            return _verifies(lambda: key.verify(signature, message, ec.ECDSA(hashes.SHA256())))
        # cosign's older format hashes by SHA-256 whatever the curve, bundles by a digest as long as the curve.
        return _verifies(lambda: key.verify(signature, message, ec.ECDSA(hashes.SHA384()))) or _verifies(
            lambda: key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        )


def _verifies(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True


def _verifies_prehashed(key: ed25519.Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    # cosign signs files by Ed25519 and images by Ed25519ph (RFC 8032). Imported here: only such a key needs it.
    from Crypto.Hash import SHA512
    from Crypto.Signature import eddsa

    try:
        eddsa.new(eddsa.import_public_key(key.public_bytes_raw()), "rfc8032").verify(SHA512.new(message), signature)
    except ValueError:
        return False
    return True


def load_public_key(pem: str) -> PublicKey:
    """Read a key as ``cosign public-key`` or ``openssl pkey -pubout`` writes it.

    Raises
    ------
    KeyFormatError
        The text is no key, a private key, or a key of a kind or size that is not allowed.
    """
    if "PRIVATE KEY" in pem:
        raise KeyFormatError(f"a private key, which belongs to nobody but its signer; {_ALLOWED}")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFormatError(f"no PEM public key; {_ALLOWED}") from error
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            raise KeyFormatError(f"an elliptic curve key of {key.curve.name}; {_ALLOWED}")
    elif isinstance(key, rsa.RSAPublicKey):
        if not _SMALLEST_RSA_BITS <= key.key_size <= _LARGEST_RSA_BITS:
            raise KeyFormatError(f"an RSA key of {key.key_size} bits; {_ALLOWED}")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise KeyFormatError(f"a key of another kind; {_ALLOWED}")
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(encoded)
    return PublicKey(key, digest.hexdigest(), base64.b64encode(digest.digest()).decode())
