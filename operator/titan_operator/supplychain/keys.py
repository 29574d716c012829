"""Pure: public keys of a trust policy, and whether one of them made a signature.

The algorithms are those with which cosign signs by such a key; nothing in a signature chooses one.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

_SMALLEST_RSA_BITS, _LARGEST_RSA_BITS = 2048, 8192
_ALLOWED = "allowed is a public key in PEM: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits"

_Key = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyFormatError(ValueError):
    """What is no public key of a kind that cosign signs with; the sentence never shows what was given."""


@dataclass(frozen=True)
class PublicKey:
    """A public key that can judge signatures.

    Attributes
    ----------
    identity
        SHA-256 of its SubjectPublicKeyInfo, 64 hexadecimal digits: one for each key, however its PEM is written.
    hint
        How cosign names it in a bundle.
    """

    key: _Key
    identity: str
    hint: str

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed ``message``."""
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, message)
            elif isinstance(self.key, ec.EllipticCurvePublicKey):
                return self._verifies_ecdsa(self.key, signature, message)
            else:
                return self._verifies_rsa(self.key, signature, message)
        except InvalidSignature:
            return False
        return True

    @staticmethod
    def _verifies_ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
        # cosign's v2 format hashes by SHA-256 whatever the curve, v3 by a digest as long as the curve.
        digests: tuple[hashes.HashAlgorithm, ...] = (hashes.SHA256(),)
        if key.curve.key_size == 384:
            digests = (hashes.SHA384(), hashes.SHA256())
        for digest in digests:
            try:
                key.verify(signature, message, ec.ECDSA(digest))
            except InvalidSignature:
                continue
            return True
        return False

    @staticmethod
    def _verifies_rsa(key: rsa.RSAPublicKey, signature: bytes, message: bytes) -> bool:
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
        for scheme in (padding.PKCS1v15(), pss):
            try:
                key.verify(signature, message, scheme, hashes.SHA256())
            except InvalidSignature:
                continue
            return True
        return False


def load_public_key(pem: str) -> PublicKey:
    """Read a key as ``cosign public-key`` or ``openssl pkey -pubout`` writes it.

    Raises
    ------
    KeyFormatError
        It is none, a private one, or of a kind or size that is not allowed.
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
