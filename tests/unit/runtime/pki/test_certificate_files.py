from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

from titan.runtime.pki import certificates
from titan.runtime.pki.certificate_files import ensure_ca, issue
from titan.runtime.pki.certificates import IdentityError

NOW = datetime(2024, 8, 8, 12, tzinfo=UTC)


def leaf(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())


def verify(directory: Path, ca_pem: bytes, role: str, when: datetime) -> None:
    """Verify as a TLS client does, by cryptography's own verifier."""
    store = verification.Store([x509.load_pem_x509_certificate(ca_pem)])
    name = x509.DNSName(certificates.dns_name(role))
    verification.PolicyBuilder().store(store).time(when).build_server_verifier(name).verify(leaf(directory), [])


def test_certificate_of_a_role_verifies_and_names_it(tmp_path: Path) -> None:
    authority = ensure_ca(tmp_path / "ca", now=NOW)
    assert issue(authority, "brain", "default", tmp_path / "brain", now=NOW)
    certificate = leaf(tmp_path / "brain")
    verify(tmp_path / "brain", (tmp_path / "brain" / "ca.pem").read_bytes(), "brain", NOW)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    key = certificate.public_key()
    assert certificate.subject.rfc4514_string() == "CN=brain"
    assert names.get_values_for_type(x509.DNSName) == ["brain.titan.internal"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["titan://default/brain"]
    assert set(usage) == {x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH, x509.oid.ExtendedKeyUsageOID.SERVER_AUTH}
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert certificate.not_valid_after_utc == NOW + timedelta(hours=24)


@pytest.mark.parametrize(
    ("description", "role", "later", "foreign"),
    [
        ("another role's name", "execution", timedelta(0), False),
        ("after its end", "brain", timedelta(hours=25), False),
        ("a foreign authority", "brain", timedelta(0), True),
    ],
)
def test_certificate_does_not_verify(
    tmp_path: Path, description: str, role: str, later: timedelta, foreign: bool
) -> None:
    authority = ensure_ca(tmp_path / "ca", now=NOW)
    issue(authority, "brain", "default", tmp_path / "brain", now=NOW)
    trusted = ensure_ca(tmp_path / "foreign", now=NOW) if foreign else authority
    with pytest.raises(verification.VerificationError):
        verify(tmp_path / "brain", trusted.certificate_pem, role, NOW + later)


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    issue(ensure_ca(tmp_path / "ca"), "brain", "default", tmp_path / "brain")
    for path in (tmp_path / "ca" / "ca.key.pem", tmp_path / "brain" / "key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_authority_is_kept_and_renewed_before_its_end(tmp_path: Path) -> None:
    first = ensure_ca(tmp_path, now=NOW)
    assert ensure_ca(tmp_path, now=NOW + timedelta(days=3600)).certificate_pem == first.certificate_pem
    assert ensure_ca(tmp_path, now=NOW + timedelta(days=3625)).certificate_pem != first.certificate_pem


@pytest.mark.parametrize(
    ("description", "role", "stack", "later", "renewed"),
    [
        ("more than half its time left", "brain", "default", timedelta(hours=11), False),
        ("less than half its time left", "brain", "default", timedelta(hours=13), True),
        ("another stack", "brain", "other", timedelta(0), True),
        ("another role in the same folder", "execution", "default", timedelta(0), True),
    ],
)
def test_certificate_is_renewed_when_needed(
    tmp_path: Path, description: str, role: str, stack: str, later: timedelta, renewed: bool
) -> None:
    authority = ensure_ca(tmp_path / "ca", now=NOW)
    issue(authority, "brain", "default", tmp_path / "brain", now=NOW)
    assert issue(authority, role, stack, tmp_path / "brain", now=NOW + later) is renewed


def test_a_certificate_that_lasts_longer_than_required_is_renewed_once(tmp_path: Path) -> None:
    authority = ensure_ca(tmp_path / "ca", now=NOW)

    def issued(hours: int) -> bool:
        return issue(authority, "brain", "default", tmp_path / "brain", now=NOW, lifetime=timedelta(hours=hours))

    assert [issued(hours) for hours in (24, 24, 2, 2, 24)] == [True, False, True, False, False]


def test_certificate_is_renewed_under_a_new_authority(tmp_path: Path) -> None:
    issue(ensure_ca(tmp_path / "old"), "brain", "default", tmp_path / "brain")
    new = ensure_ca(tmp_path / "new")
    assert issue(new, "brain", "default", tmp_path / "brain")
    assert (tmp_path / "brain" / "ca.pem").read_bytes() == new.certificate_pem


def test_damaged_certificate_is_made_again(tmp_path: Path) -> None:
    authority = ensure_ca(tmp_path / "ca")
    issue(authority, "brain", "default", tmp_path / "brain")
    (tmp_path / "brain" / "cert.pem").write_text("no certificate")
    assert issue(authority, "brain", "default", tmp_path / "brain")


def test_half_an_authority_is_refused(tmp_path: Path) -> None:
    ensure_ca(tmp_path)
    (tmp_path / "ca.key.pem").unlink()
    with pytest.raises(IdentityError, match=r"ca\.key\.pem: missing beside ca\.pem"):
        ensure_ca(tmp_path)


def test_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    ensure_ca(tmp_path / "one")
    ensure_ca(tmp_path / "two")
    (tmp_path / "two" / "ca.key.pem").replace(tmp_path / "one" / "ca.key.pem")
    with pytest.raises(IdentityError, match=r"one/ca\.key\.pem: not the key of a certificate in ca\.pem"):
        ensure_ca(tmp_path / "one")


def test_damaged_key_is_refused_in_one_sentence(tmp_path: Path) -> None:
    ensure_ca(tmp_path)
    (tmp_path / "ca.key.pem").write_text("no key")
    with pytest.raises(IdentityError, match="not an unencrypted PEM private key"):
        ensure_ca(tmp_path)


@pytest.mark.parametrize(("role", "stack", "field"), [("Brain", "default", "role"), ("brain", "a b", "stack")])
def test_names_that_fit_no_certificate_are_refused(tmp_path: Path, role: str, stack: str, field: str) -> None:
    authority = ensure_ca(tmp_path / "ca")
    with pytest.raises(ValueError, match=f"^{field}: "):
        issue(authority, role, stack, tmp_path / "x")
