"""Trust policies: a problem names its field, and the hash covers the content, not its spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from support.supplychain.trust_policies import as_yaml, public_pem, trust_policy, trusted_key
from titan_operator.supplychain.trust import TrustPolicyError, load_trust_policy, read_trust_policy, trust_policy_schema

DIGEST = "sha256:" + "a" * 64
IDENTITY = {"name": "workflow", "issuer": "https://issuer.test", "subject": "https://git.test/workflow"}
PRIVATE = (
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)


def _pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _key(**other: Any) -> dict[str, Any]:
    return trust_policy(keys=[{**trusted_key("release"), **other}])


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "trust policy: [] (a list); allowed is object"),
        ({}, "images: missing"),
        (trust_policy(keys=[]), "keys: none, and no identities; allowed is at least one of both"),
        (trust_policy(images=""), "images[0].pattern: '' (a string); allowed is str matching regex"),
        (
            trust_policy(keyz=[]),
            "keyz: no such field; allowed are keys, identities, trustedRoot, images",
        ),
        (trust_policy(onRevocation="Ignore"), "onRevocation: 'Ignore' (a string); allowed is Report or Drain"),
        (
            trust_policy(revokedDigests=["sha256:1"]),
            "revokedDigests[0]: 'sha256:1' (a string); allowed is str matching",
        ),
        (
            trust_policy(infrastructure=["r.test/nats:2"]),
            "infrastructure[0]: r.test/nats:2; allowed is an image by digest",
        ),
        (
            trust_policy(registries={"plainHttp": ["http://r.test"]}),
            "registries.plainHttp[0]: 'http://r.test' (a string)",
        ),
        (
            trust_policy(registries={"mirrors": [{"registry": "a.test", "hosts": ["b.test"]}] * 2}),
            "registries.mirrors[1].registry: a.test is given twice; allowed is once",
        ),
        (_key(name="Release Key"), "keys[0].name: 'Release Key' (a string)"),
        (_key(uses=["pods"]), "keys[0].uses[0]: 'pods' (a string); allowed is images or policies"),
        (_key(uses=[]), "keys[0].uses: [] (a list); allowed is array of length >= 1"),
        (_key(revoked="yes"), "keys[0].revoked: 'yes' (a string); allowed is bool"),
        (_key(notAfter="2027-02-30T00:00:00Z"), "keys[0].notAfter: 2027-02-30T00:00:00Z; allowed is a day and time"),
        (
            _key(notBefore="2027-01-01T00:00:00Z", notAfter="2026-01-01T00:00:00Z"),
            "keys[0].notAfter: 2026-01-01T00:00:00Z; allowed is later than notBefore, 2027-01-01T00:00:00Z",
        ),
        (trust_policy(keys=[trusted_key("a"), trusted_key("a", public_pem("b"))]), "keys[1].name: a is given twice"),
        (
            trust_policy(keys=[trusted_key("a", public_pem("x")), trusted_key("b", public_pem("x"))]),
            "keys[1].pem: the key of a; allowed is each key once",
        ),
        (
            trust_policy() | {"images": [{"pattern": "**", "signedBy": ["nobody"]}]},
            "images[0].signedBy: nobody; allowed are names of keys and identities: release",
        ),
        (trust_policy(identities=[IDENTITY]), "trustedRoot: missing; identities needs the text of trusted_root.json"),
        (_key(transparencyLog=True), "trustedRoot: missing; keys[0].transparencyLog needs the text"),
        (trust_policy(identities=[IDENTITY], trustedRoot="{"), "trustedRoot: no JSON object; allowed is the text of"),
        (
            trust_policy(identities=[{**IDENTITY, "name": "release"}], trustedRoot="{}"),
            "identities[0].name: release is given twice; allowed is another name for each signer",
        ),
        (trust_policy(pem="rubbish"), "keys[0].pem: no PEM public key; allowed is a public key in PEM"),
        (
            trust_policy(pem=_pem(ec.generate_private_key(ec.SECP521R1()))),
            "keys[0].pem: an elliptic curve key of secp521r1",
        ),
        (trust_policy(pem=_pem(rsa.generate_private_key(65537, 1024))), "keys[0].pem: an RSA key of 1024 bits"),
    ],
)
def test_what_is_wrong_is_named(document: Any, says: str) -> None:
    with pytest.raises(TrustPolicyError) as caught:
        read_trust_policy(document)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("pem", [PRIVATE, PRIVATE * 30])
def test_a_private_key_is_refused_and_not_shown(pem: str) -> None:
    with pytest.raises(TrustPolicyError, match=r"keys\[0\].pem") as caught:
        read_trust_policy(trust_policy(pem=pem))
    assert not any(line in str(caught.value) for line in pem.splitlines() if len(line) > 20)
    assert "MIG" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\xff", "not UTF-8"),
        (b"keys: [", "line 1"),
        (b"a: 1\na: 2", "line 2: a is given twice"),
        (b"---\na: 1\n---\nb: 1", "2 documents; allowed is one"),
        (b"", "0 documents"),
        (b"[" * 5000, "nested deeper"),
    ],
)
def test_what_is_no_document_is_said(text: bytes, says: str) -> None:
    with pytest.raises(TrustPolicyError, match=says):
        load_trust_policy(text)


def test_the_hash_is_of_what_is_said() -> None:
    document = trust_policy(revokedDigests=[DIGEST])
    policy = load_trust_policy(as_yaml(document))
    assert load_trust_policy(json.dumps(document).encode()).hash == policy.hash
    spelled_out = {**document, "onRevocation": "Report", "keys": [{**document["keys"][0], "revoked": False}]}
    assert read_trust_policy(spelled_out).hash == policy.hash
    for other in (
        {"revokedDigests": []},
        {"onRevocation": "Drain"},
        {"keys": [{**document["keys"][0], "revoked": True}]},
        {"keys": [{**document["keys"][0], "notAfter": "2030-01-01T00:00:00Z"}]},
        {"images": [{"pattern": "r.test/*"}]},
    ):
        assert read_trust_policy({**document, **other}).hash != policy.hash


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("r.test/team/*", "r.test/team/app", True),
        ("r.test/team/*", "r.test/team/app/x", False),
        ("r.test/team/*", "r.test/team", False),
        ("r.test/**", "r.test/team/app/x", True),
        ("r.test/**", "r.test.evil/app", False),
        ("r.test/app", "r.test/app", True),
        ("r.test/app", "rxtest/app", False),
        ("r.test/app", "evil.test/r.test/app", False),
        ("r.test/app-*", "r.test/app-one", True),
        ("**", "r.test/app", True),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    policy = read_trust_policy(trust_policy(pattern))
    assert (policy.rule_for(name) is not None) is matches


def test_the_first_rule_decides() -> None:
    rules = [{"pattern": "r.test/a", "signedBy": ["release"]}, {"pattern": "**"}]
    policy = read_trust_policy(trust_policy() | {"images": rules})
    rule = policy.rule_for("r.test/a")
    assert rule is not None
    assert rule.signed_by == ("release",)


def test_the_schema_describes_every_field() -> None:
    def described(schema: dict[str, Any], path: str) -> None:
        for name, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{path}.{name}"
            described(part, f"{path}.{name}")
            described(part.get("items", {}), f"{path}.{name}[]")

    schema = trust_policy_schema()
    assert schema["required"] == ["images"]
    described(schema, "")
