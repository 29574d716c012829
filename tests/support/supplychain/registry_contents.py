"""Contents of a registry beside an image, good and bad: each function puts one there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from support.supplychain.cosign_material import (
    SIGNATURE,
    SIGNED,
    Material,
    Signed,
    put_bundle,
    put_simple,
    simple_layer,
)
from support.supplychain.registry import IMAGE_TYPE, INDEX_TYPE, RegistryServer, digest_of
from support.supplychain.registry_faults import answers
from support.supplychain.verifier_fixture import NAME

STATEMENT = "https://in-toto.io/Statement/v1"
Put = Callable[[RegistryServer, Material], None]


def statement(digest: str, **other: Any) -> bytes:
    subject = [{"digest": {"sha256": digest.removeprefix("sha256:")}}]
    said = {"_type": STATEMENT, "subject": subject, "predicateType": SIGNED, "predicate": {}}
    return json.dumps({**said, **other}).encode()


def good(server: RegistryServer, material: Material) -> None:
    put_bundle(server, NAME, material.digest, material.bundles["p256"])


def good_older(server: RegistryServer, material: Material, kind: str = "p256") -> None:
    signed = material.simple[kind]
    (layer,) = json.loads(signed.manifest)["layers"]
    put_simple(server, NAME, material.digest, [layer], signed.layer)


def nothing(_server: RegistryServer, _material: Material) -> None:
    pass


def bundle(document: Any) -> Put:
    """A referrer with this bundle; a function makes it of the material."""

    def put(server: RegistryServer, material: Material) -> None:
        made = document(material) if callable(document) else document
        raw = made if isinstance(made, bytes) else json.dumps(made).encode()
        put_bundle(server, NAME, material.digest, Signed(material.bundles["p256"].manifest, raw))

    return put


def signed(payload_type: str = "application/vnd.in-toto+json", **other: Any) -> Put:
    """A statement about the image, changed, and signed by the trusted key."""
    return bundle(lambda material: material.bundle(statement(material.digest, **other), payload_type))


def changed(**other: Any) -> Put:
    """The good bundle with other fields; its signature stays."""
    return bundle(lambda material: json.loads(material.bundles["p256"].layer) | other)


def older(payload: bytes, **annotations: str) -> Put:
    """A payload of the older format, signed by the trusted key unless the annotation is given."""

    def put(server: RegistryServer, material: Material) -> None:
        layer = simple_layer(payload, material.sign(payload))
        layer["annotations"] = {**layer["annotations"], **annotations}
        layer["annotations"] = {key: value for key, value in layer["annotations"].items() if value}
        put_simple(server, NAME, material.digest, [layer], payload)

    return put


def fault(path: str, fault: Any, put: Put = good) -> Put:
    def both(server: RegistryServer, material: Material) -> None:
        put(server, material)
        server.fault(path, fault)

    return both


def blob_is(change: Callable[[bytes], bytes]) -> Put:
    """The registry gives other bytes for the bundle than their digest says."""

    def put(server: RegistryServer, material: Material) -> None:
        good(server, material)
        layer = material.bundles["p256"].layer
        server.fault(f"/blobs/{digest_of(layer)}", answers(change(layer), "application/octet-stream"))

    return put


def beside(*puts: Put) -> Put:
    def put(server: RegistryServer, material: Material) -> None:
        for each in puts:
            each(server, material)

    return put


def forged(count: int, hint: bool = True) -> Put:
    """Referrers that say that they are by the trusted key."""

    def put(server: RegistryServer, material: Material) -> None:
        bundle = json.loads(material.bundles["p256"].layer)
        if not hint:
            bundle["verificationMaterial"] = {"publicKey": {"hint": ""}}
        for number in range(count):
            payload = statement(material.digest, predicate={"number": number})
            bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
            raw = json.dumps(bundle).encode()
            put_bundle(server, NAME, material.digest, Signed(material.bundles["p256"].manifest, raw))

    return put


def tagged(put: Put) -> Put:
    """List the contents of ``put`` by the fallback tag, in the order in which they were put."""

    def tagged(server: RegistryServer, material: Material) -> None:
        server.referrers_api = False
        put(server, material)
        server.put_fallback(NAME, material.digest, server.referring(NAME, material.digest))

    return tagged


def forged_layers(count: int) -> Put:
    def put(server: RegistryServer, material: Material) -> None:
        good = material.simple["p256"]
        (layer,) = json.loads(good.manifest)["layers"]
        payloads = [good.layer.replace(b'"optional":null', b'"optional":{"n":"%d"}' % n) for n in range(count)]
        layers = [simple_layer(payload, layer["annotations"][SIGNATURE]) for payload in payloads]
        put_simple(server, NAME, material.digest, [*layers, layer], *payloads, good.layer)

    return put


def endless_list(server: RegistryServer, material: Material) -> None:
    """2,001 entries that lead nowhere, and then the good one."""
    server.referrers_api = False
    good = put_bundle(server, NAME, material.digest, material.bundles["p256"])
    digests = [*(f"sha256:{number:064x}" for number in range(2001)), good]
    entries = [{"mediaType": IMAGE_TYPE, "digest": digest, "size": 1} for digest in digests]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    server.put_manifest(NAME, json.dumps(index).encode(), material.digest.replace(":", "-"), INDEX_TYPE)


def wrong_list(server: RegistryServer, material: Material) -> None:
    """The index says that the good referrer is something else altogether."""
    server.referrers_api = False
    digest = put_bundle(server, NAME, material.digest, material.bundles["p256"])
    entry = {"mediaType": "text/plain", "digest": digest, "size": 1, "artifactType": "application/spdx+json"}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    server.put_manifest(NAME, json.dumps(index).encode(), material.digest.replace(":", "-"), INDEX_TYPE)


def large(server: RegistryServer, material: Material) -> None:
    padded = material.bundles["p256"].layer + b" " * 300_000
    put_bundle(server, NAME, material.digest, Signed(material.bundles["p256"].manifest, padded))


def large_referrer(server: RegistryServer, material: Material) -> None:
    document = json.loads(material.bundles["p256"].manifest)
    document["annotations"]["padding"] = "x" * 80_000
    server.put_blob(NAME, material.bundles["p256"].layer)
    server.put_manifest(NAME, json.dumps(document).encode())


def without_blob(server: RegistryServer, material: Material) -> None:
    server.put_manifest(NAME, material.bundles["p256"].manifest)


def odd_referrers(server: RegistryServer, material: Material) -> None:
    """Put contents of other tools: an SBOM, a manifest without layers, an invalid manifest."""
    server.put_referrer(NAME, material.digest, b"{}", "application/spdx+json")
    subject = {"mediaType": "", "digest": material.digest, "size": 1}
    server.put_manifest(NAME, json.dumps({"schemaVersion": 2, "layers": None, "subject": subject}).encode())
    server.put_manifest(NAME, json.dumps({"schemaVersion": 2, "layers": 7, "subject": subject}).encode())


def without_signatures(material: Material) -> dict[str, Any]:
    bundle = json.loads(material.bundles["p256"].layer)
    bundle["dsseEnvelope"]["signatures"] = []
    return dict(bundle)


def with_signature(material: Material, text: str) -> dict[str, Any]:
    bundle = json.loads(material.bundles["p256"].layer)
    bundle["dsseEnvelope"]["signatures"] = [{"sig": text}]
    return dict(bundle)


def half_a_character(material: Material) -> dict[str, Any]:
    bundle = json.loads(material.bundles["p256"].layer)
    bundle["dsseEnvelope"]["payloadType"] = "\ud800"
    return dict(bundle)
