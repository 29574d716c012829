"""Verification of cosign's signatures: every format by every kind of key, intact and with one defect."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.supplychain.cosign_material import (
    KINDS,
    SIGNATURE,
    Material,
    Signed,
    public_pem,
    put_bundle,
    put_simple,
    simple_layer,
)
from support.supplychain.registry import RegistryServer, digest_of
from support.supplychain.verifier_fixture import NAME, image_at, policy_of, verifier_of

BY_API, BY_TAG, BY_SIGNATURE_TAG = "bundle by the referrers API", "bundle by the fallback tag", "older format"
PLACES = (BY_API, BY_TAG, BY_SIGNATURE_TAG)
Change = Callable[[Signed], Signed]


def _as_it_is(signed: Signed) -> Signed:
    return signed


def _is_bundle(signed: Signed) -> bool:
    return "subject" in json.loads(signed.manifest)


def _other_payload(signed: Signed) -> Signed:
    """A word is added to what was signed."""
    if not _is_bundle(signed):
        return Signed(signed.manifest, signed.layer.replace(b'"optional":null', b'"optional":{"a":"b"}'))
    bundle = json.loads(signed.layer)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"])) | {"predicate": {"a": "b"}}
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return Signed(signed.manifest, json.dumps(bundle).encode())


def _other_signature(signed: Signed) -> Signed:
    """The last byte of the signature is another."""

    def changed(text: str) -> str:
        raw = bytearray(base64.b64decode(text))
        raw[-1] ^= 1
        return base64.b64encode(raw).decode()

    if not _is_bundle(signed):
        manifest = json.loads(signed.manifest)
        annotations = manifest["layers"][0]["annotations"]
        annotations[SIGNATURE] = changed(annotations[SIGNATURE])
        return Signed(json.dumps(manifest).encode(), signed.layer)
    bundle = json.loads(signed.layer)
    (signature,) = bundle["dsseEnvelope"]["signatures"]
    signature["sig"] = changed(signature["sig"])
    return Signed(signed.manifest, json.dumps(bundle).encode())


@dataclass(frozen=True)
class Row:
    """One thing that is not as it should be; ``reasons`` by bundles and by the older format, empty where it is good."""

    says: str
    reasons: tuple[str, str]
    change: Change = _as_it_is
    stranger: bool = False
    other_image: bool = False
    key: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("signed by a trusted key", ("", "")),
    Row("signed by a trusted key that counts until later", ("", ""), key={"notAfter": "2027-01-01T00:00:00Z"}),
    Row("signed by another key of the same kind", ("UnknownKey", "UnknownKey"), stranger=True),
    Row("signed for another image", ("OtherImage", "OtherImage"), other_image=True),
    Row("the payload was changed", ("BadSignature", "UnknownKey"), change=_other_payload),
    Row("the signature was changed", ("BadSignature", "UnknownKey"), change=_other_signature),
    Row("the key has expired", ("KeyExpired", "KeyExpired"), key={"notAfter": "2026-11-21T11:59:59Z"}),
    Row("the key counts later", ("KeyNotYetValid", "KeyNotYetValid"), key={"notBefore": "2026-11-21T12:00:01Z"}),
    Row("the key is revoked", ("Revoked", "Revoked"), key={"revoked": True}),
    Row("the key is for policies only", ("SignerNotAllowed", "SignerNotAllowed"), key={"uses": ["policies"]}),
)
CASES = [
    pytest.param(row, place, kind, id=f"{place}, {kind}: {row.says}")
    for row in ROWS
    for place in PLACES
    for kind in KINDS
]


def _put(server: RegistryServer, material: Material, place: str, kind: str, subject: str, change: Change) -> None:
    if place == BY_SIGNATURE_TAG:
        signed = change(material.simple[kind])
        (layer,) = json.loads(signed.manifest)["layers"]
        found = simple_layer(signed.layer, layer["annotations"][SIGNATURE])
        put_simple(server, NAME, subject, [found], signed.layer)
        return
    digest = put_bundle(server, NAME, subject, change(material.bundles[kind]))
    if place == BY_TAG:
        server.put_fallback(NAME, subject, [digest])


@pytest.mark.parametrize(("row", "place", "kind"), CASES)
async def test_one_signature(row: Row, place: str, kind: str, material: Material) -> None:
    pem = public_pem((material.strangers if row.stranger else material.keys)[kind])
    image = material.image + b"\n" if row.other_image else material.image
    async with RegistryServer(referrers_api=place == BY_API).serving() as server:
        server.put_manifest(NAME, image)
        _put(server, material, place, kind, digest_of(image), row.change)
        async with verifier_of(policy_of(pem, row.key, **row.policy), (server.host,)) as verifier:
            verdict = await verifier.verify(image_at(server, digest_of(image)))
    expected = row.reasons[place == BY_SIGNATURE_TAG]
    assert (verdict.verified, verdict.reason, verdict.digest) == (not expected, expected, digest_of(image)), verdict
    if verdict.verified:
        told = dict(verdict.evidence)
        assert told.pop("trustPolicy").startswith("sha256:")
        form = "simple signing" if place == BY_SIGNATURE_TAG else "bundle v0.3"
        assert told == {"verifiedBy": "release", "format": form, "verifiedAt": "2026-11-21T12:00:00Z"}
    else:
        assert verdict.message
