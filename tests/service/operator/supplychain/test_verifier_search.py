"""The good signature among others, and registries that fail: never wrongly accepted, never wrongly refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.supplychain import registry_contents as lies
from support.supplychain.cosign_material import SIGNATURE, Material, public_pem, put_bundle
from support.supplychain.registry import RegistryServer
from support.supplychain.registry_faults import answers, breaks_off, floods, hangs, leads_to, status
from support.supplychain.verifier_fixture import NAME, image_at, policy_of, verifier_of

# Only what hangs takes longer.
PATIENCE_S = 120.0
FORGED = 1000
PAYLOAD = {"critical": {"identity": {}, "image": {}, "type": "cosign container image signature"}, "optional": None}


@dataclass(frozen=True)
class Row:
    """``reason`` is empty where it is accepted."""

    says: str
    put: lies.Put
    reason: str = ""
    key: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)


ROWS = (
    # Other things that a trusted key has signed
    Row(
        "an attestation by cosign attest",
        lambda s, m: (put_bundle(s, NAME, m.digest, m.attestation), None)[1],
        "OtherStatement",
    ),
    Row("a file's signature by cosign sign-blob", lies.bundle(lambda m: json.loads(m.blobs["p256"])), "OtherStatement"),
    Row(
        "a statement of another type of predicate",
        lies.signed(predicateType="https://spdx.dev/Document"),
        "OtherStatement",
    ),
    Row("an envelope of another type of payload", lies.signed("text/plain"), "OtherStatement"),
    Row("a statement that is none of in-toto's", lies.signed(_type="https://example.test/Statement"), "Malformed"),
    Row("a statement about nothing", lies.signed(subject=[]), "Malformed"),
    Row("a statement about a SHA-512", lies.signed(subject=[{"digest": {"sha512": "0" * 128}}]), "OtherImage"),
    Row("a statement about another image", lies.signed(subject=[{"digest": {"sha256": "0" * 64}}]), "OtherImage"),
    Row(
        "a statement about the digest in capitals",
        lies.bundle(lambda m: m.bundle(lies.statement(m.digest[7:].upper()))),
        "OtherImage",
    ),
    Row(
        "a statement about several images, this one among them",
        lies.bundle(
            lambda m: m.bundle(
                lies.statement(
                    m.digest, subject=[{"digest": {"sha256": "0" * 64}}, {"digest": {"sha256": m.digest[7:]}}]
                )
            )
        ),
        "",
    ),
    Row("no JSON in the envelope", lies.bundle(lambda m: m.bundle(b"no JSON")), "Malformed"),
    Row(
        "signed over the bare payload, not its encoding",
        lies.bundle(lambda m: m.bundle(lies.statement(m.digest), encode=False)),
        "BadSignature",
    ),
    # Bundles that are none
    Row("no JSON", lies.bundle(b"\x00\xff"), "Malformed"),
    Row("a list", lies.bundle([]), "Malformed"),
    Row("half of a character", lies.changed(mediaType="\ud800"), "Malformed"),
    Row("half of a character as type of the payload", lies.bundle(lies.half_a_character), "Malformed"),
    Row("an empty object", lies.bundle({}), "Malformed"),
    Row("nested 100,000 deep", lies.bundle(b"[" * 100_000), "Malformed"),
    Row(
        "a bundle of version 0.1",
        lies.changed(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"),
        "Malformed",
    ),
    Row("no verification material", lies.changed(verificationMaterial={}), "Malformed"),
    Row("an envelope without signatures", lies.bundle(lambda m: lies.without_signatures(m)), "Malformed"),
    Row(
        "an envelope and a file's signature",
        lies.bundle(
            lambda m: (
                json.loads(m.bundles["p256"].layer)
                | {"messageSignature": json.loads(m.blobs["p256"])["messageSignature"]}
            )
        ),
        "Malformed",
    ),
    Row("a signature that is no base64", lies.bundle(lambda m: lies.with_signature(m, "*")), "Malformed"),
    Row("an empty signature", lies.bundle(lambda m: lies.with_signature(m, "")), "Malformed"),
    Row("half a bundle", lies.bundle(lambda m: m.bundles["p256"].layer[:300]), "Malformed"),
    Row("names no key, and is good", lies.changed(verificationMaterial={"publicKey": {}}), ""),
    Row("names another key, and is good", lies.changed(verificationMaterial={"publicKey": {"hint": "AAAA"}}), ""),
    Row(
        "a certificate instead of a key",
        lies.changed(verificationMaterial={"certificate": {"rawBytes": "AAAA"}}),
        "UnknownKey",
    ),
    # The older format
    Row("older: a layer without a signature", lies.older(b"{}", **{SIGNATURE: ""}), "Malformed"),
    Row("older: a signature that is no base64", lies.older(b"{}", **{SIGNATURE: "*"}), "Malformed"),
    Row("older: lies.signed, but no payload", lies.older(b"{}"), "Malformed"),
    Row(
        "older: lies.signed, but of another type",
        lies.older(json.dumps({"critical": {"type": "x", "image": {"docker-manifest-digest": "y"}}}).encode()),
        "Malformed",
    ),
    Row(
        "older: signed for something odd",
        lies.older(
            json.dumps({"critical": {**PAYLOAD["critical"], "image": {"docker-manifest-digest": "latest"}}}).encode()
        ),
        "OtherImage",
    ),  # type: ignore[dict-item]
    Row(
        "older: by a certificate", lies.older(b"{}", **{"dev.sigstore.cosign/certificate": "-----BEGIN"}), "UnknownKey"
    ),
    Row(
        "older: the tag is no manifest",
        lambda s, m: (s.put_manifest(NAME, b"[]", m.digest.replace(":", "-") + ".sig"), None)[1],
        "Malformed",
    ),
    # Several at once
    Row("both formats", lies.beside(lies.good, lies.good_older)),
    Row("only the older one is good", lies.beside(lies.forged(1), lies.good_older)),
    Row("only the bundle is good", lies.beside(lies.good, lies.older(b"{}"))),
    Row("a good one by a key that is revoked, and nothing else", lies.good, "Revoked", {"revoked": True}),
    Row("SBOMs and odd things beside the good one", lies.beside(lies.odd_referrers, lies.good)),
    Row("SBOMs and odd things and no signature", lies.odd_referrers, "Malformed"),
    Row("the list calls the good one something else", lies.wrong_list),
    Row(f"{FORGED} forged before the good one, by the API", lies.beside(lies.forged(FORGED), lies.good)),
    Row(f"{FORGED} forged that name no key", lies.beside(lies.forged(FORGED, hint=False), lies.good)),
    Row(f"{FORGED} forged before the good one, by the tag", lies.tagged(lies.beside(lies.forged(FORGED), lies.good))),
    Row(f"{FORGED} forged before the good one, older format", lies.forged_layers(FORGED)),
    Row("forged ones only", lies.forged(20), "BadSignature"),
    Row("more than are looked at", lies.endless_list, "TooManySignatures"),
    # Too lies.large, too short, and not there
    Row("a bundle of 300 kB", lies.large, "TooLarge"),
    Row("a bundle of 300 kB beside the good one", lies.beside(lies.large, lies.good)),
    Row("a referrer whose manifest has 80 kB", lies.large_referrer, "TooLarge"),
    Row("a referrer whose bundle is not there", lies.without_blob, "Malformed"),
    Row("more bytes of the bundle than it has", lies.blob_is(lambda layer: layer + b" "), "TooLarge"),
    Row("fewer bytes of the bundle than it has", lies.blob_is(lambda layer: layer[:-1]), "RegistryMisbehaves"),
    Row("other bytes of the bundle", lies.blob_is(lambda layer: layer.replace(b"a", b"b", 1)), "RegistryMisbehaves"),
    Row(
        "other bytes of every manifest",
        lies.fault("/manifests/sha256:", answers(b'{"schemaVersion": 2, "layers": []}')),
        "RegistryMisbehaves",
    ),
    Row("the bundle breaks off", lies.fault("/blobs/", breaks_off(b"{", 600)), "RegistryUnreachable"),
    Row("the bundle never ends", lies.fault("/blobs/", floods()), "TooLarge"),
    Row("the list never ends", lies.fault("/referrers/", floods()), "TooLarge"),
    # Registries that refuse or fail
    Row("no signature", lies.nothing, "NoSignature"),
    Row("no image either", lies.fault("/manifests/", status(404), lies.nothing), "ImageNotFound"),
    Row("401", lies.fault("", status(401)), "RegistryRefused"),
    Row("403", lies.fault("", status(403)), "RegistryRefused"),
    Row("404 for everything", lies.fault("", status(404)), "ImageNotFound"),
    Row("429", lies.fault("", status(429)), "RegistryUnreachable"),
    Row("500", lies.fault("", status(500)), "RegistryUnreachable"),
    Row("a page of a proxy", lies.fault("", answers(b"<html>", "text/html")), "RegistryMisbehaves"),
    Row("the list hangs", lies.fault("/referrers/", hangs()), "RegistryUnreachable"),
    Row("the bundle hangs", lies.fault("/blobs/", hangs()), "RegistryUnreachable"),
    Row("everything hangs", lies.fault("", hangs()), "RegistryUnreachable"),
    Row("the list hangs, and the older format is good", lies.fault("/referrers/", hangs(), lies.good_older)),
    Row("500 for the list, and the older format is good", lies.fault("/referrers/", status(500), lies.good_older)),
    Row("500 for the older format, and the bundle is good", lies.fault("[.]sig", status(500))),
    Row(
        "sent to an address without TLS that is not listed",
        lies.fault("/blobs/", leads_to("http://127.0.0.1:9/x")),
        "RegistryMisbehaves",
    ),
    Row("sent to a file", lies.fault("/blobs/", leads_to("file:///etc/passwd")), "RegistryMisbehaves"),
    Row(
        "sent in circles",
        lies.fault("/blobs/", leads_to("/v2/team/app/blobs/sha256:" + "0" * 64)),
        "RegistryMisbehaves",
    ),
    # The trust policy
    Row("an image that no rule is for", lies.good, "ImageNotAllowed", policy={"images": [{"pattern": "r.test/**"}]}),
    Row("a rule whose signer it is", lies.good, policy={"images": [{"pattern": "**", "signedBy": ["release"]}]}),
)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.says) for row in ROWS])
async def test_what_lies_beside_an_image(row: Row, material: Material) -> None:
    pem = public_pem(material.keys["p256"])
    async with RegistryServer(page=500).serving() as server:
        server.put_manifest(NAME, material.image)
        row.put(server, material)
        async with verifier_of(policy_of(pem, row.key, **row.policy), (server.host,), timeout_s=2.0) as verifier:
            async with asyncio.timeout(PATIENCE_S):
                verdict = await verifier.verify(image_at(server, material.digest))
    assert (verdict.verified, str(verdict.reason)) == (not row.reason, row.reason), verdict
    if row.reason == "ImageNotAllowed":
        assert not server.asked
