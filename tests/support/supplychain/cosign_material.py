"""Signatures that the real cosign makes once for all tests: two formats by every kind of key, taken apart."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from support.stack.model import quickstart
from support.supplychain.registry import IMAGE_TYPE, RegistryServer, digest_of
from support.supplychain.signed_images import SignedImages
from titan_operator.supplychain.cosign_verifier import policy_payload

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
SIGNATURE = "dev.cosignproject.cosign/signature"
KINDS = ("p256", "p384", "ed25519", "rsa")
ACCOUNT, SEQUENCE = "paper-1", 7
BLOB = policy_payload(quickstart("demo")[0]["spec"]["hash"], ACCOUNT, SEQUENCE)
_Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def new_key(kind: str) -> _Private:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())


def public_pem(key: _Private) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True)
class Signed:
    """A manifest as cosign pushed it, and the one layer that matters."""

    manifest: bytes
    layer: bytes


@dataclass(frozen=True)
class Material:
    """All that was signed.

    Attributes
    ----------
    image
        The manifest of the image that everything is about.
    bundles, simple, blobs
        By kind of key: cosign's v3 bundle, its older format, and the bundle of ``BLOB``, by which the demo policy is
        signed.
    """

    image: bytes
    keys: dict[str, _Private]
    strangers: dict[str, _Private]
    bundles: dict[str, Signed]
    simple: dict[str, Signed]
    blobs: dict[str, str]
    attestation: Signed

    @property
    def digest(self) -> str:
        return digest_of(self.image)

    def pem(self, kind: str) -> bytes:
        """The private key."""
        return self.keys[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, signed: bytes, kind: str = "p256") -> str:
        """Sign by hand what cosign would not."""
        key = self.keys[kind]
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()

    def bundle(self, statement: bytes, payload_type: str = STATEMENT_TYPE, *, encode: bool = True) -> dict[str, Any]:
        """A bundle by hand, by the trusted P-256 key; without ``encode`` the signature is over the bare payload."""
        signed = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(statement), statement)
        real = json.loads(self.bundles["p256"].layer)
        real["dsseEnvelope"] = {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": payload_type,
            "signatures": [{"sig": self.sign(signed if encode else statement)}],
        }
        return dict(real)


def make(folder: Path) -> Material:
    """Have cosign sign everything, once; some seconds."""
    keys = {kind: new_key(kind) for kind in KINDS}
    bundles, simple, blobs = {}, {}, {}
    with SignedImages(folder) as images:
        for kind, key in keys.items():
            images.import_key(kind, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            image = images.push("one", kind)
            images.sign(image, kind)
            images.sign(image, kind, older_format=True)
            bundles[kind] = _bundle(images, image)
            simple[kind] = _simple(images, image)
            blobs[kind] = images.sign_bytes(BLOB, kind)
        attested = images.push("one", "attested")
        images.attest(attested, "p256")
        manifest = images.read(attested, f"manifests/{attested.partition('@')[2]}")
        return Material(
            image=manifest,
            keys=keys,
            strangers={kind: new_key(kind) for kind in KINDS},
            bundles=bundles,
            simple=simple,
            blobs=blobs,
            attestation=_bundle(images, attested),
        )


def _tag(image: str) -> str:
    return image.partition("@")[2].replace(":", "-")


def _bundle(images: SignedImages, image: str) -> Signed:
    (listed,) = json.loads(images.read(image, f"manifests/{_tag(image)}"))["manifests"]
    manifest = images.read(image, f"manifests/{listed['digest']}")
    (layer,) = json.loads(manifest)["layers"]
    return Signed(manifest, images.read(image, f"blobs/{layer['digest']}"))


def _simple(images: SignedImages, image: str) -> Signed:
    manifest = images.read(image, f"manifests/{_tag(image)}.sig")
    (layer,) = json.loads(manifest)["layers"]
    return Signed(manifest, images.read(image, f"blobs/{layer['digest']}"))


def put_bundle(server: RegistryServer, name: str, subject: str, signed: Signed) -> str:
    """Put a bundle beside ``subject``, by its own manifest, which may say that it is another's; returns its digest."""
    document = json.loads(signed.manifest)
    if document["subject"]["digest"] == subject and digest_of(signed.layer) == document["layers"][0]["digest"]:
        content = signed.manifest
    else:
        document["subject"]["digest"] = subject
        document["layers"][0] |= {"digest": digest_of(signed.layer), "size": len(signed.layer)}
        content = json.dumps(document).encode()
    server.put_blob(name, signed.layer)
    return server.put_manifest(name, content)


def simple_layer(payload: bytes, signature: str) -> dict[str, Any]:
    """The descriptor of a simple signing payload."""
    described = {"mediaType": SIMPLE_TYPE, "digest": digest_of(payload), "size": len(payload)}
    return {**described, "annotations": {SIGNATURE: signature}}


def put_simple(server: RegistryServer, name: str, subject: str, layers: list[dict[str, Any]], *payloads: bytes) -> None:
    """Put layers of the older format under the tag of ``subject``."""
    for payload in payloads:
        server.put_blob(name, payload)
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": config, "layers": layers}
    server.put_manifest(name, json.dumps(document).encode(), f"{subject.replace(':', '-')}.sig")
