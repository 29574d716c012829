"""Signed risk policies: over hash, account and sequence, by a key that is for policies."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from support.stack.model import quickstart
from support.supplychain.cosign_material import ACCOUNT, KINDS, SEQUENCE, Material, new_key, public_pem
from support.supplychain.trust_policies import trusted_key
from support.supplychain.verifier_fixture import verifier_of
from titan_operator.api import RiskPolicy
from titan_operator.api.loading import load_resources


def _policy(bundle: str, **other: Any) -> RiskPolicy:
    resources = quickstart(other.pop("policy", "demo"))
    signature = {"bundle": bundle, "account": ACCOUNT, "sequence": SEQUENCE, **other}
    resources[0]["spec"]["signature"] = signature
    (policy,) = load_resources(yaml.safe_dump(resources[0]), "test")
    assert isinstance(policy, RiskPolicy)
    return policy


def _trusting(pem: str, **key: Any) -> dict[str, Any]:
    return {"keys": [trusted_key("risk", pem, **{"uses": ["policies"], **key})], "images": [{"pattern": "r.test/**"}]}


async def _judge(trust: dict[str, Any], policy: RiskPolicy) -> tuple[bool, str]:
    async with verifier_of(trust, ()) as verifier:
        verdict = await verifier.verify_policy(policy)
    if verdict.verified:
        assert verdict.evidence["verifiedBy"] == "risk"
        assert verdict.evidence["format"] == "signed blob"
    else:
        assert verdict.message
    return verdict.verified, str(verdict.reason)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_signed_policy(kind: str, material: Material) -> None:
    trust = _trusting(public_pem(material.keys[kind]))
    assert await _judge(trust, _policy(material.blobs[kind])) == (True, "")
    assert await _judge(trust, _policy(material.blobs[kind], account="live-1")) == (False, "BadSignature")
    assert await _judge(trust, _policy(material.blobs[kind], sequence=SEQUENCE + 1)) == (False, "BadSignature")
    assert await _judge(trust, _policy(material.blobs[kind], policy="standard")) == (False, "BadSignature")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ({"uses": ["images"]}, "SignerNotAllowed"),
        ({"uses": ["images", "policies"]}, ""),
        ({"revoked": True}, "Revoked"),
        ({"notAfter": "2026-01-01T00:00:00Z"}, "KeyExpired"),
        ({"notBefore": "2027-01-01T00:00:00Z"}, "KeyNotYetValid"),
    ],
)
async def test_its_key(key: dict[str, Any], reason: str, material: Material) -> None:
    trust = _trusting(public_pem(material.keys["p256"]), **key)
    assert await _judge(trust, _policy(material.blobs["p256"])) == (not reason, reason)


async def test_other_bundles(material: Material) -> None:
    trust = _trusting(public_pem(material.keys["p256"]))
    stranger = _trusting(public_pem(new_key("p256")))
    assert await _judge(stranger, _policy(material.blobs["p256"])) == (False, "UnknownKey")
    assert await _judge(trust, _policy(material.bundles["p256"].layer.decode())) == (False, "OtherStatement")
    assert await _judge(trust, _policy('{"mediaType": "x"}')) == (False, "Malformed")
    unsigned = {**json.loads(material.blobs["p256"]), "messageSignature": {"signature": ""}}
    assert await _judge(trust, _policy(json.dumps(unsigned))) == (False, "Malformed")
