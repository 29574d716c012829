"""Certificates as bytes: signer, trust, and the time of renewal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509 import verification
from hypothesis import given
from hypothesis import strategies as st

from titan.runtime.pki.certificates import (
    Authority,
    IdentityError,
    Leaf,
    dns_name,
    issue_leaf,
    leaf_is_good,
    make_authority,
)

NOW = datetime(2024, 8, 8, 12, tzinfo=UTC)
AUTHORITY = make_authority(NOW)


def accepts(trusted_pem: bytes, leaf: Leaf, role: str = "brain", when: datetime = NOW) -> bool:
    """Whether a TLS client that trusts ``trusted_pem`` accepts ``leaf``, by cryptography's own verifier."""
    store = verification.Store(x509.load_pem_x509_certificates(trusted_pem))
    verifier = verification.PolicyBuilder().store(store).time(when).build_server_verifier(x509.DNSName(dns_name(role)))
    try:
        verifier.verify(x509.load_pem_x509_certificate(leaf.cert_pem), [])
    except verification.VerificationError:
        return False
    return True


def test_an_authority_survives_its_files() -> None:
    made = make_authority(NOW)
    read = Authority.read(made.certificate_pem, made.key_pem)
    assert (read.certificate, read.certificate_pem, read.key_pem) == (
        made.certificate,
        made.certificate_pem,
        made.key_pem,
    )


def test_a_leaf_survives_its_files() -> None:
    leaf = issue_leaf(make_authority(NOW), "brain", "s", NOW, timedelta(seconds=20))
    assert Leaf.read(leaf.files()) == leaf
    assert leaf.not_after == NOW + timedelta(seconds=20)
    assert leaf.renew_at == NOW + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("description", "change"),
    [
        ("no key", {"key.pem": None}),
        ("no certificate", {"cert.pem": b"nothing"}),
        ("the key of another", {"key.pem": issue_leaf(make_authority(NOW), "brain", "s", NOW).key_pem}),
    ],
)
def test_half_a_leaf_is_none(description: str, change: dict[str, bytes | None]) -> None:
    files = issue_leaf(make_authority(NOW), "brain", "s", NOW).files() | change
    assert Leaf.read({name: content for name, content in files.items() if content is not None}) is None


@pytest.mark.parametrize(
    ("description", "role", "stack", "later_s", "good"),
    [
        ("new", "brain", "s", 0, True),
        ("a second before half its time", "brain", "s", 9, True),
        ("half its time", "brain", "s", 10, False),
        ("expired", "brain", "s", 21, False),
        ("not begun", "brain", "s", -400, False),
        ("another role", "execution", "s", 0, False),
        ("another stack", "brain", "t", 0, False),
    ],
)
def test_when_a_leaf_is_good(description: str, role: str, stack: str, later_s: int, good: bool) -> None:
    authority = make_authority(NOW)
    leaf = issue_leaf(authority, "brain", "s", NOW, timedelta(seconds=20))
    assert leaf_is_good(authority, role, stack, leaf, NOW + timedelta(seconds=later_s)) is good


@pytest.mark.parametrize(
    ("made_s", "wanted_s", "good"),
    [(20, 20, True), (20, 21, True), (20, 86_400, True), (21, 20, False), (86_400, 20, False), (20.5, 20.5, True)],
)
def test_one_that_lasts_longer_than_a_new_one_would_is_renewed(made_s: float, wanted_s: float, good: bool) -> None:
    authority = make_authority(NOW)
    leaf = issue_leaf(authority, "brain", "s", NOW, timedelta(seconds=made_s))
    assert leaf_is_good(authority, "brain", "s", leaf, NOW, timedelta(seconds=wanted_s)) is good


@given(st.floats(0.0, 1.0, exclude_max=True), st.floats(10.0, 100_000.0))
def test_a_new_one_is_good_whatever_parts_of_a_second_it_leaves_out(part_s: float, wanted_s: float) -> None:
    lifetime, now = timedelta(seconds=wanted_s), NOW + timedelta(seconds=part_s)
    leaf = issue_leaf(AUTHORITY, "brain", "s", now, lifetime)
    assert leaf_is_good(AUTHORITY, "brain", "s", leaf, now, lifetime), "or it would be made anew at each look"


def test_an_authority_is_changed_over_without_a_moment_of_distrust() -> None:
    old, new = make_authority(NOW), make_authority(NOW)
    before = issue_leaf(old, "brain", "s", NOW)
    both = replace(old, certificate_pem=old.certificate_pem + new.certificate_pem)
    taken_over = replace(new, certificate_pem=new.certificate_pem + old.certificate_pem)
    between = issue_leaf(both, "brain", "s", NOW)
    after = issue_leaf(taken_over, "brain", "s", NOW)
    last = issue_leaf(new, "brain", "s", NOW)
    for one, next_one in ((before, between), (between, after), (after, last)):
        assert accepts(one.ca_pem, next_one)
        assert accepts(next_one.ca_pem, one)
    assert not accepts(before.ca_pem, after), "what is left out would be refused"
    assert not leaf_is_good(both, "brain", "s", before, NOW), "what trusts less is made again"
    assert not leaf_is_good(taken_over, "brain", "s", between, NOW), "so is what the old signed"
    read = Authority.read(both.certificate_pem, new.key_pem)
    assert read.certificate == new.certificate, "the key says which of them signs"


@pytest.mark.parametrize(
    ("description", "ca_pem", "key_pem", "says"),
    [
        ("no certificate", b"no", make_authority(NOW).key_pem, "ca.pem: no PEM certificate; put a copy of it back"),
        (
            "no key",
            make_authority(NOW).certificate_pem,
            b"no",
            "ca.key.pem: not an unencrypted PEM private key; put a copy of it back",
        ),
        ("of two", make_authority(NOW).certificate_pem, make_authority(NOW).key_pem, "ca.key.pem: not the key of"),
    ],
)
def test_an_authority_that_cannot_be_read_is_a_sentence(
    description: str, ca_pem: bytes, key_pem: bytes, says: str
) -> None:
    with pytest.raises(IdentityError, match=says):
        Authority.read(ca_pem, key_pem)


def test_an_authority_is_replaced_a_month_before_its_end() -> None:
    authority = make_authority(NOW)
    assert not authority.ends_soon(NOW + timedelta(days=3600))
    assert authority.ends_soon(NOW + timedelta(days=3625))
