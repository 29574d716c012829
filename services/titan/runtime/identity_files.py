"""The stack's own certificate authority, as files: what ``titan up`` gives every local process.

A role's certificate names the role as its common name, ``<role>.titan.internal`` as DNS name (what a client checks
when it connects, whatever the address) and ``titan://<stack>/<role>`` as URI. Keys are ECDSA P-256 and readable by
their owner only. ``cryptography`` is imported when a function runs: it belongs to the extra ``operator``, and the
processes, which only read the files, do without it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
    """A certificate or key file cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority with its private key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey
    certificate_pem: bytes


def dns_name(role: str) -> str:
    """The name that a client expects in the certificate of ``role``."""
    return f"{role}.titan.internal"


def ensure_ca(directory: Path, *, now: datetime | None = None) -> Authority:
    """Read the authority in ``directory``, or make one there.

    Parameters
    ----------
    directory
        Holds ``ca.pem`` and ``ca.key.pem``; created (mode 0700) when absent.
    now
        Time of the machine; for tests.

    Raises
    ------
    IdentityError
        When one of the two files is there without the other, unreadable or not a matching pair: a new authority
        beside old certificates would lock the running stack out of itself.
    OSError
        When the directory cannot be written.
    """
    now = now or datetime.now(UTC)
    certificate_path, key_path = directory / CA_FILE, directory / CA_KEY_FILE
    present = [path for path in (certificate_path, key_path) if path.exists()]
    if len(present) == 1:
        missing = key_path if present[0] == certificate_path else certificate_path
        raise IdentityError(
            f"{missing}: missing beside {present[0].name}; remove the directory to make a new authority"
        )
    if present:
        authority = _read_authority(certificate_path, key_path)
        if authority.certificate.not_valid_after_utc - now > AUTHORITY_RENEWAL:
            return authority
    authority = _make_authority(now)
    _make_directory(directory)
    _write(key_path, _key_pem(authority.key), 0o600)
    _write(certificate_path, authority.certificate_pem, 0o644)
    return authority


def issue(authority: Authority, role: str, stack: str, directory: Path, *, now: datetime | None = None) -> bool:
    """Put a certificate of ``role`` with its key and the authority's certificate into ``directory``.

    What is there already is kept while it is of this authority, role and stack and has at least half its time left.

    Returns
    -------
    bool
        Whether a new certificate was made.

    Raises
    ------
    ValueError
        When ``role`` or ``stack`` is no DNS label.
    OSError
        When the directory cannot be written.
    """
    for field, name in (("role", role), ("stack", stack)):
        if not _NAME.match(name):
            raise ValueError(f"{field}: {name!r} is not allowed; lower-case letters, digits and dashes, at most 63")
    now = now or datetime.now(UTC)
    if _still_good(authority, role, stack, directory, now):
        return False
    key, certificate_pem = _make_leaf(authority, role, stack, now)
    _make_directory(directory)
    # The certificate last: it is what _still_good looks for, so a half-written set is made again.
    (directory / CERTIFICATE_FILE).unlink(missing_ok=True)
    _write(directory / KEY_FILE, _key_pem(key), 0o600)
    _write(directory / CA_FILE, authority.certificate_pem, 0o644)
    _write(directory / CERTIFICATE_FILE, certificate_pem, 0o644)
    return True


def _still_good(authority: Authority, role: str, stack: str, directory: Path, now: datetime) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, InvalidSignature, x509.ExtensionNotFound):
        return False
    if not (directory / KEY_FILE).exists() or (directory / CA_FILE).read_bytes() != authority.certificate_pem:
        return False
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [_uri(stack, role)]:
        return False
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc <= now and certificate.not_valid_after_utc - now >= lifetime / 2


def _make_authority(now: datetime) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    # The serial is part of the name, so that two authorities of one machine are told apart by it.
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"titan local authority {serial:x}"[:64])])
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


def _make_leaf(authority: Authority, role: str, stack: str, now: datetime) -> tuple[EllipticCurvePrivateKey, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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
        .not_valid_after(now + LEAF_VALIDITY)
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
    return key, certificate.public_bytes(serialization.Encoding.PEM)


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


def _read_authority(certificate_path: Path, key_path: Path) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate_pem = certificate_path.read_bytes()
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise IdentityError(f"{certificate_path}: not a PEM certificate ({error})") from error
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise IdentityError(f"{key_path}: not an unencrypted PEM private key ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise IdentityError(f"{key_path}: not the key of {certificate_path.name}")
    return Authority(certificate, key, certificate_pem)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _uri(stack: str, role: str) -> str:
    return f"titan://{stack}/{role}"


def _make_directory(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace ``path`` in one step; the mode is that of the file's first byte on, not set afterwards."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    temporary.replace(path)
