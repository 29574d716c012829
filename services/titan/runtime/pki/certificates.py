"""A stack's certificate authority and its processes' certificates, as bytes; time is an argument, nothing is stored.

A role's certificate names the role as its common name, ``<role>.titan.internal`` as DNS name (what a client checks
when it connects, whatever the address) and ``titan://<stack>/<role>`` as URI. Keys are ECDSA P-256.

``ca.pem`` may hold several certificates: all of them are trusted, and the one that belongs to the key signs. So an
authority is changed over without an interruption: first the new certificate is added, then its key takes over, at last
the old certificate goes; each step issues every leaf again.

``cryptography`` is imported when a function runs: it belongs to the extra ``operator``, and the processes, which only
read the files, do without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA_FILE = "ca.pem"
CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"
CA_KEY_FILE = "ca.key.pem"

AUTHORITY_VALIDITY = timedelta(days=3650)
# An authority that ends sooner than this is replaced, and every certificate with it.
AUTHORITY_RENEWAL = timedelta(days=30)
LEAF_VALIDITY = timedelta(hours=24)
# Certificates begin a little in the past, so that machines with slightly different clocks accept them.
CLOCK_TOLERANCE = timedelta(minutes=5)

_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


class IdentityError(Exception):
    """A certificate or key cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority with its private key.

    Attributes
    ----------
    certificate
        The one that signs.
    certificate_pem
        Everything that is trusted, the signing certificate among it: the content of ``ca.pem``.
    """

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey
    certificate_pem: bytes

    @classmethod
    def read(cls, certificate_pem: bytes, key_pem: bytes) -> Authority:
        """The authority of ``ca.pem`` and ``ca.key.pem``.

        Raises
        ------
        IdentityError
            When one of them cannot be read, or the key belongs to none of the certificates.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            certificates = x509.load_pem_x509_certificates(certificate_pem)
        except ValueError as error:
            raise IdentityError(f"{CA_FILE}: no PEM certificate; put a copy of it back") from error
        try:
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise IdentityError(f"{CA_KEY_FILE}: not an unencrypted PEM private key; put a copy of it back") from error
        own = [one for one in certificates if one.public_key() == key.public_key()]
        if not own or not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IdentityError(f"{CA_KEY_FILE}: not the key of a certificate in {CA_FILE}")
        return cls(own[0], key, certificate_pem)

    @property
    def key_pem(self) -> bytes:
        """The content of ``ca.key.pem``."""
        return _key_pem(self.key)

    def ends_soon(self, now: datetime) -> bool:
        """Whether it has to be replaced now."""
        return self.certificate.not_valid_after_utc - now <= AUTHORITY_RENEWAL


@dataclass(frozen=True)
class Leaf:
    """A process's certificate with its key, and the authorities that it trusts.

    Attributes
    ----------
    renew_at
        Half of its time, UTC: from then on it is to be replaced.
    """

    cert_pem: bytes
    key_pem: bytes
    ca_pem: bytes
    not_after: datetime
    renew_at: datetime

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Leaf | None:
        """The leaf of ``ca.pem``, ``cert.pem`` and ``key.pem``; None where they are no such set or do not match."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            certificate = x509.load_pem_x509_certificate(files[CERTIFICATE_FILE])
            key = serialization.load_pem_private_key(files[KEY_FILE], password=None)
            ca_pem = files[CA_FILE]
        except (KeyError, ValueError, TypeError):
            return None
        if certificate.public_key() != key.public_key():
            return None
        return _leaf(certificate, files[KEY_FILE], ca_pem)

    @property
    def lifetime(self) -> timedelta:
        """Its whole validity, in whole seconds: a certificate has no fractions of one."""
        return 2 * (self.not_after - self.renew_at)

    def files(self) -> dict[str, bytes]:
        """Contents by file name, in the order in which they are best replaced."""
        return {KEY_FILE: self.key_pem, CA_FILE: self.ca_pem, CERTIFICATE_FILE: self.cert_pem}


def dns_name(role: str) -> str:
    """The name that a client expects in the certificate of ``role``."""
    return f"{role}.titan.internal"


def make_authority(now: datetime) -> Authority:
    """A new authority, valid from ``now`` (UTC, less :data:`CLOCK_TOLERANCE`) for ten years."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    # The serial is part of the name, so that it distinguishes two authorities of one machine.
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"titan authority {serial:x}"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key, certificate.public_bytes(serialization.Encoding.PEM))


def issue_leaf(authority: Authority, role: str, stack: str, now: datetime, lifetime: timedelta = LEAF_VALIDITY) -> Leaf:
    """A new certificate of ``role`` in ``stack``, valid for ``lifetime`` from ``now`` (UTC) on.

    Raises
    ------
    ValueError
        When ``role`` or ``stack`` is no DNS label.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    for field, name in (("role", role), ("stack", stack)):
        if not _NAME.match(name):
            raise ValueError(f"{field}: {name!r} is not allowed; lower-case letters, digits and dashes, at most 63")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName(dns_name(role)), x509.UniformResourceIdentifier(_uri(stack, role))]
    )
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_key, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _leaf(certificate, _key_pem(key), authority.certificate_pem)


def leaf_is_good(
    authority: Authority, role: str, stack: str, leaf: Leaf, now: datetime, lifetime: timedelta = LEAF_VALIDITY
) -> bool:
    """Whether ``leaf`` is of this authority, role and stack, trusts what it trusts, and is not to be renewed yet.

    One that lasts longer than ``lifetime``, the validity of a new one, is to be renewed: the setting was lowered.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    certificate = x509.load_pem_x509_certificate(leaf.cert_pem)
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    of_role = names.get_values_for_type(x509.UniformResourceIdentifier) == [_uri(stack, role)]
    trusts = leaf.ca_pem == authority.certificate_pem
    # Both ends are cut to whole seconds, which makes the time between them up to a second longer.
    too_long = leaf.lifetime - lifetime >= timedelta(seconds=1)
    return of_role and trusts and not too_long and certificate.not_valid_before_utc <= now < leaf.renew_at


def _leaf(certificate: x509.Certificate, key_pem: bytes, ca_pem: bytes) -> Leaf:
    from cryptography.hazmat.primitives import serialization

    not_after = certificate.not_valid_after_utc
    issued = certificate.not_valid_before_utc + CLOCK_TOLERANCE
    return Leaf(
        cert_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key_pem,
        ca_pem=ca_pem,
        not_after=not_after,
        renew_at=issued + (not_after - issued) / 2,
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _uri(stack: str, role: str) -> str:
    return f"titan://{stack}/{role}"
