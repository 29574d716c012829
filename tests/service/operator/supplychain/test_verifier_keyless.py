"""Signatures by short-lived certificates, and entries of a transparency log, under a trusted root of the test's own."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from support.supplychain import registry_contents as lies
from support.supplychain.cosign_material import BLOB, Material, Signed, public_pem, put_bundle
from support.supplychain.local_sigstore import (
    ISSUER,
    SIGNED_AT,
    SUBJECT,
    LocalSigstore,
    Log,
    blob_body,
    dsse_body,
)
from support.supplychain.registry import RegistryServer
from support.supplychain.trust_policies import trusted_key
from support.supplychain.verifier_fixture import NAME, NOW, image_at, verifier_of
from titan_operator.supplychain.refusals import Refused
from titan_operator.supplychain.signature_checks import (
    Accepted,
    Format,
    Pending,
    Requirements,
    check_blob,
    check_bundle,
)
from titan_operator.supplychain.sigstore_client import SigstoreClient, complete_blob_check, complete_image_check
from titan_operator.supplychain.trust import read_trust_policy

SIGSTORE, OTHER = LocalSigstore(), LocalSigstore()
# Only what hangs takes longer.
PATIENCE_S = 120.0
IDENTITY = {"name": "workflow", "issuer": ISSUER, "subject": SUBJECT}
Make = Callable[[Material], dict[str, Any]]


def _keyless(**how: Any) -> Make:
    statement = how.pop("statement", {})
    return lambda material: SIGSTORE.bundle(lies.statement(material.digest, **statement), **how)


def _by(world: LocalSigstore, **how: Any) -> Make:
    return lambda material: world.bundle(lies.statement(material.digest), **how)


def _changed(change: Callable[[dict[str, Any]], None]) -> Make:
    def make(material: Material) -> dict[str, Any]:
        bundle = SIGSTORE.bundle(lies.statement(material.digest))
        change(bundle)
        return bundle

    return make


def _no_entry(bundle: dict[str, Any]) -> None:
    del bundle["verificationMaterial"]["tlogEntries"]


def _other_payload(bundle: dict[str, Any]) -> None:
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"])) | {"predicate": {"a": 1}}
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


def _nested_entry(bundle: dict[str, Any]) -> None:
    nested: Any = []
    for _ in range(400):
        nested = [nested]
    bundle["verificationMaterial"]["tlogEntries"][0]["more"] = nested


def _no_certificate(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = "AAAA"


def _other_promise(entry: dict[str, Any]) -> None:
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)


def _no_promise(entry: dict[str, Any]) -> None:
    del entry["inclusionPromise"]


def _other_root(entry: dict[str, Any]) -> None:
    entry["inclusionProof"]["rootHash"] = base64.b64encode(b"0" * 32).decode()


def _other_body(entry: dict[str, Any]) -> None:
    entry.clear()
    entry.update(SIGSTORE.log.entry(dsse_body(b"another", b"signature", b"key")))


def _with_entry(log: Log, *, other: bool = False, spoil: Callable[[dict[str, Any]], None] = lambda _: None) -> Make:
    """cosign's own bundle by a key, with an entry of a log."""

    def make(material: Material) -> dict[str, Any]:
        bundle: dict[str, Any] = json.loads(material.bundles["p256"].layer)
        payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
        signature = base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
        pem = public_pem(material.keys["p256"]).encode()
        entry = log.entry(dsse_body(payload, b"another" if other else signature, pem))
        spoil(entry)
        bundle["verificationMaterial"]["tlogEntries"] = [entry]
        return bundle

    return make


def _as_cosign_made_it(material: Material) -> dict[str, Any]:
    return dict(json.loads(material.bundles["p256"].layer))


@dataclass(frozen=True)
class Row:
    """``reason`` is empty where it is accepted, by ``signer``."""

    says: str
    make: Make
    reason: str = ""
    signer: str = "workflow"
    identity: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)


BY_KEY: dict[str, Any] = {"signer": "release"}
ONLY_RELEASE = {"images": [{"pattern": "**", "signedBy": ["release"]}]}
ROWS = (
    Row("keyless", _keyless()),
    Row("another subject", _keyless(subject="https://git.test/evil"), "UnknownIdentity"),
    Row("a subject that begins with the trusted one", _keyless(subject=f"{SUBJECT}/evil"), "UnknownIdentity"),
    Row("another issuer", _keyless(issuer="https://issuer.evil.test"), "UnknownIdentity"),
    Row(
        "another authority",
        _by(LocalSigstore(certificates_log=SIGSTORE.certificates_log, log=SIGSTORE.log)),
        "BadCertificate",
    ),
    Row(
        "another log of certificates",
        _by(LocalSigstore(authority=SIGSTORE.authority, log=SIGSTORE.log)),
        "BadCertificate",
    ),
    Row("no timestamp of a log of certificates", _keyless(timestamped=False), "BadCertificate"),
    Row("a certificate for something else than signing", _keyless(code_signing=False), "BadCertificate"),
    Row("signed after its certificate ended", _keyless(at=SIGNED_AT + timedelta(minutes=10)), "BadCertificate"),
    Row("signed before its certificate began", _keyless(at=SIGNED_AT - timedelta(minutes=2)), "BadCertificate"),
    Row("no certificate in it", _changed(_no_certificate), "Malformed"),
    Row("an entry nested 400 deep", _changed(_nested_entry), "Malformed"),
    Row("no entry of a log", _changed(_no_entry), "LogEntryMissing"),
    Row("an entry of another log", _keyless(log=OTHER.log), "LogEntryInvalid"),
    Row("an entry with another time", _keyless(spoil=_other_promise), "LogEntryInvalid"),
    Row("an entry that promises nothing", _keyless(spoil=_no_promise), "Malformed"),
    Row("an entry with another root", _keyless(spoil=_other_root), "LogEntryInvalid"),
    Row("an entry of something else", _keyless(spoil=_other_body), "LogEntryInvalid"),
    Row("the payload was changed", _changed(_other_payload), "BadSignature"),
    Row("for another image", _keyless(statement={"subject": [{"digest": {"sha256": "0" * 64}}]}), "OtherImage"),
    Row("another statement", _keyless(statement={"predicateType": "https://spdx.dev/Document"}), "OtherStatement"),
    Row("the identity is revoked", _keyless(), "Revoked", identity={"revoked": True}),
    Row("the identity is not for this image", _keyless(), "SignerNotAllowed", policy=ONLY_RELEASE),
    Row("no identity is trusted", _keyless(), "UnknownKey", policy={"identities": []}),
    Row("by a key that needs an entry, with one", _with_entry(SIGSTORE.log), **BY_KEY),
    Row("by a key that needs an entry, without", _as_cosign_made_it, "LogEntryMissing"),
    Row("by a key, an entry of another log", _with_entry(OTHER.log), "LogEntryInvalid"),
    Row("by a key, an entry of another signature", _with_entry(SIGSTORE.log, other=True), "LogEntryInvalid"),
    Row("by a key, an entry with another time", _with_entry(SIGSTORE.log, spoil=_other_promise), "LogEntryInvalid"),
    Row("by a key, an entry with another root", _with_entry(SIGSTORE.log, spoil=_other_root), "LogEntryInvalid"),
    Row("by a key, an entry of something else", _with_entry(SIGSTORE.log, spoil=_other_body), "LogEntryInvalid"),
)


def _trust(material: Material, identity: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {
        "keys": [trusted_key("release", public_pem(material.keys["p256"]), transparencyLog=True)],
        "identities": [{**IDENTITY, **identity}],
        "trustedRoot": SIGSTORE.trusted_root(),
        "images": [{"pattern": "**"}],
        **other,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sigstore() -> AsyncIterator[SigstoreClient]:
    """One process for all rows: it takes a second to start."""
    async with SigstoreClient(SIGSTORE.trusted_root()) as one:
        yield one


@pytest.mark.parametrize("row", [pytest.param(row, id=row.says) for row in ROWS])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bundle(row: Row, material: Material, sigstore: SigstoreClient) -> None:
    policy = read_trust_policy(_trust(material, row.identity, **row.policy))
    rule = policy.rule_for("r.test/app")
    assert rule is not None
    required = Requirements(policy, "images", rule.signed_by, NOW)
    raw = json.dumps(row.make(material)).encode()
    result = check_bundle(raw, material.digest, required)
    if isinstance(result, Pending):
        result = await complete_image_check(result, raw, material.digest, required, sigstore)
    if row.reason:
        assert isinstance(result, Refused), result
        assert (str(result.reason), bool(result.message)) == (row.reason, True), result
    else:
        form = Format.KEYLESS if row.signer == "workflow" else Format.BUNDLE
        assert result == Accepted(row.signer, form)


@pytest.mark.parametrize("make", [_keyless(), _with_entry(SIGSTORE.log)], ids=["keyless", "by a key with an entry"])
async def test_in_a_registry(make: Make, material: Material) -> None:
    async with RegistryServer().serving() as server:
        server.put_manifest(NAME, material.image)
        lies.bundle(make)(server, material)
        async with verifier_of(_trust(material, {}), (server.host,)) as verifier:
            verdict = await verifier.verify(image_at(server, material.digest))
    assert verdict.verified, verdict
    assert verdict.evidence["verifiedBy"] in {"workflow", "release"}


async def test_a_process_that_ends_is_followed_by_another(material: Material) -> None:
    raw = json.dumps(_keyless()(material)).encode()
    async with SigstoreClient(SIGSTORE.trusted_root()) as sigstore:
        assert isinstance(await sigstore.verify_certified(raw, ()), Refused)
        process = sigstore._process
        assert process is not None
        process.kill()
        await process.wait()
        ended = await sigstore.verify_certified(raw, ())
        assert isinstance(ended, Refused)
        assert ended.reason == "KeylessUnavailable"
        again = await sigstore.verify_certified(raw, ())
        assert isinstance(again, Refused)
        assert again.reason == "UnknownIdentity"


async def test_a_trusted_root_that_is_none_is_said(material: Material) -> None:
    async with SigstoreClient("{}") as broken:
        answer = await broken.verify_certified(b"{}", ())
    assert isinstance(answer, Refused)
    assert answer.reason == "KeylessUnavailable"
    assert answer.message.startswith("trustedRoot cannot be used: ")


async def test_the_older_format_has_no_entry_that_counts(material: Material) -> None:
    async with RegistryServer().serving() as server:
        server.put_manifest(NAME, material.image)
        lies.good_older(server, material)
        async with verifier_of(_trust(material, {}), (server.host,)) as verifier:
            verdict = await verifier.verify(image_at(server, material.digest))
    assert (verdict.verified, verdict.reason) == (False, "LogEntryMissing")


async def test_forged_certificates_cost_bounded_time_and_one_process(material: Material) -> None:
    good = SIGSTORE.bundle(lies.statement(material.digest))
    forger = LocalSigstore(log=SIGSTORE.log)
    forged = json.dumps(forger.bundle(lies.statement(material.digest)))
    async with RegistryServer(page=500).serving() as server:
        server.put_manifest(NAME, material.image)
        for number in range(300):
            layer = (forged + " " * number).encode()
            put_bundle(server, NAME, material.digest, Signed(material.bundles["p256"].manifest, layer))
        lies.bundle(good)(server, material)
        async with verifier_of(_trust(material, {}), (server.host,)) as verifier:
            async with asyncio.timeout(PATIENCE_S):
                verdict = await verifier.verify(image_at(server, material.digest))
    assert verdict.verified, verdict


@pytest.mark.parametrize(
    ("log", "body", "reason"),
    [
        (SIGSTORE.log, BLOB, ""),
        (SIGSTORE.log, b"another", "LogEntryInvalid"),
        (OTHER.log, BLOB, "LogEntryInvalid"),
        (None, b"", "LogEntryMissing"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_files_entry(
    log: Log | None, body: bytes, reason: str, material: Material, sigstore: SigstoreClient
) -> None:
    trust = _trust(material, {})
    trust["keys"][0]["uses"] = ["policies"]
    required = Requirements(read_trust_policy(trust), "policies", (), NOW)
    bundle = json.loads(material.blobs["p256"])
    if log is not None:
        signature = base64.b64decode(bundle["messageSignature"]["signature"])
        entry = log.entry(blob_body(body, signature, public_pem(material.keys["p256"]).encode()))
        bundle["verificationMaterial"]["tlogEntries"] = [entry]
    result = check_blob(json.dumps(bundle).encode(), BLOB, required)
    if isinstance(result, Pending):
        result = await complete_blob_check(result, BLOB, required, sigstore)
    assert isinstance(result, Refused if reason else Accepted), result
    if isinstance(result, Refused):
        assert result.reason == reason
