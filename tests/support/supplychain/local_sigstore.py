"""A sigstore of a test's own, without any network: an authority, two logs, and the trusted root that names them."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from support.supplychain.cosign_material import BUNDLE_TYPE, STATEMENT_TYPE

ISSUER = "https://token.issuer.test"
SUBJECT = "https://git.test/titan/release.yaml@refs/heads/main"
SIGNED_AT = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
_ORIGIN = "log.test - 1"
_ISSUER_OID = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCT_OID = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def pae(payload: bytes, payload_type: str = STATEMENT_TYPE) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


@dataclass
class Log:
    """A transparency log (Rekor) with one entry at a time."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=_key)

    @property
    def id(self) -> bytes:
        return hashlib.sha256(_der(self.key)).digest()

    def entry(self, body: dict[str, Any], at: datetime = SIGNED_AT) -> dict[str, Any]:
        """Return the entry of a bundle with this body."""
        raw = rfc8785.dumps(body)
        root = hashlib.sha256(b"\0" + raw).digest()
        seconds = int(at.timestamp())
        promised = {"body": _b64(raw), "integratedTime": seconds, "logID": self.id.hex(), "logIndex": 0}
        note = f"{_ORIGIN}\n1\n{_b64(root)}\n"
        signature = _b64(self.id[:4] + _sign(self.key, note.encode()))
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(self.id)},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": _b64(_sign(self.key, rfc8785.dumps(promised)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 {_ORIGIN.split(' ', maxsplit=1)[0]} {signature}\n"},
            },
            "canonicalizedBody": _b64(raw),
        }


def dsse_body(payload: bytes, signature: bytes, verifier: bytes) -> dict[str, Any]:
    """The body of an entry of an envelope; ``verifier`` is the certificate or key in PEM."""
    return {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": _b64(signature), "verifier": _b64(verifier)}],
        },
    }


def blob_body(blob: bytes, signature: bytes, verifier: bytes) -> dict[str, Any]:
    """The body of an entry of a signed file."""
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(blob).hexdigest()}},
            "signature": {"content": _b64(signature), "publicKey": {"content": _b64(verifier)}},
        },
    }


@dataclass
class LocalSigstore:
    """Everything that vouches, each with a key of its own."""

    authority: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    certificates_log: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority.test")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.root = (
            x509.CertificateBuilder(name, name, self.authority.public_key(), 1)
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(True, 0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()), critical=False)
            .sign(self.authority, hashes.SHA256())
        )

    def trusted_root(self) -> str:
        """``trusted_root.json``."""
        since = {"start": "2020-01-01T00:00:00Z"}

        def log(url: str, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": _b64(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            named = {"keyId": _b64(hashlib.sha256(_der(key)).digest())}
            return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": named}

        chain = {"certificates": [{"rawBytes": _b64(self.root.public_bytes(Encoding.DER))}]}
        subject = {"organization": "test", "commonName": "authority.test"}
        authority = {"subject": subject, "uri": "https://authority.test", "certChain": chain, "validFor": since}
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log("https://log.test", self.log.key)],
            "certificateAuthorities": [authority],
            "ctlogs": [log("https://certificates.test", self.certificates_log)],
        }
        return json.dumps(document)

    def certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        *,
        subject: str = SUBJECT,
        issuer: str = ISSUER,
        timestamped: bool = True,
        code_signing: bool = True,
    ) -> x509.Certificate:
        """For ten minutes, as Fulcio makes them, with a certificate log's timestamp in it."""
        usage = ExtendedKeyUsageOID.CODE_SIGNING if code_signing else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            x509.CertificateBuilder(self.root.subject, x509.Name([]), key.public_key(), 7)
            .not_valid_before(SIGNED_AT - timedelta(minutes=1))
            .not_valid_after(SIGNED_AT + timedelta(minutes=9))
            .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject)]), critical=True)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_OID, b"\x0c" + bytes([len(issuer)]) + issuer.encode()),
                critical=False,
            )
        )
        before = builder.sign(self.authority, hashes.SHA256())
        if not timestamped:
            return before
        stamp = x509.UnrecognizedExtension(_SCT_OID, self._timestamp(before.tbs_certificate_bytes))
        return builder.add_extension(stamp, critical=False).sign(self.authority, hashes.SHA256())

    def _timestamp(self, certificate: bytes) -> bytes:
        # RFC 6962, section 3.2: over the certificate without this extension.
        moment = int(SIGNED_AT.timestamp() * 1000)
        by = hashlib.sha256(_der(self.authority)).digest()
        length = len(certificate).to_bytes(3, "big")
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + by + length + certificate + b"\0\0"
        signature = _sign(self.certificates_log, signed)
        log_id = hashlib.sha256(_der(self.certificates_log)).digest()
        stamp = b"\0" + log_id + struct.pack("!QH", moment, 0) + b"\4\3" + struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!H", len(stamp)) + stamp
        content = struct.pack("!H", len(listed)) + listed
        return b"\x04" + (bytes([len(content)]) if len(content) < 128 else b"\x81" + bytes([len(content)])) + content

    def bundle(
        self,
        payload: bytes,
        *,
        log: Log | None = None,
        at: datetime = SIGNED_AT,
        spoil: Callable[[dict[str, Any]], None] = lambda _entry: None,
        **certificate: Any,
    ) -> dict[str, Any]:
        """A keyless bundle of a statement; ``spoil`` changes the log's entry, ``certificate`` what it is made with."""
        key = _key()
        made = self.certificate(key, **certificate)
        signature = _sign(key, pae(payload))
        body = dsse_body(payload, signature, made.public_bytes(Encoding.PEM))
        entry = (log or self.log).entry(body, at)
        spoil(entry)
        signatures = [{"sig": _b64(signature)}]
        return {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(made.public_bytes(Encoding.DER))},
                "tlogEntries": [entry],
            },
            "dsseEnvelope": {"payload": _b64(payload), "payloadType": STATEMENT_TYPE, "signatures": signatures},
        }
