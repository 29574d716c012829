"""The verifier with a trust policy's registries and signers, and with contents that the real programs push."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from testcluster.toolchain import SIGNING, ensure

from support.supplychain import registry_contents as lies
from support.supplychain.cosign_material import Material, public_pem
from support.supplychain.registry import RegistryServer, digest_of
from support.supplychain.registry_faults import status
from support.supplychain.signed_images import SignedImages
from support.supplychain.trust_policies import trusted_key
from support.supplychain.verifier_fixture import NAME, image_at, policy_of, verifier_of
from titan_operator.supplychain.registry.credential_files import Login


def _mirrored(material: Material, *hosts: str) -> dict[str, Any]:
    mirrors = [{"registry": hosts[0], "hosts": list(hosts[1:])}]
    return policy_of(public_pem(material.keys["p256"]), registries={"mirrors": mirrors})


@pytest.mark.parametrize(
    ("at_mirror", "at_registry", "reason"),
    [
        (lies.good, lies.nothing, ""),
        (lies.nothing, lies.good, ""),
        (lies.forged(3), lies.good, ""),
        (lies.good, lies.fault("", status(500)), ""),
        (lies.fault("", status(500)), lies.good, ""),
        (lies.fault("", status(500)), lies.nothing, "NoSignature"),
        (lies.nothing, lies.fault("", status(500)), "RegistryUnreachable"),
        (lies.nothing, lies.nothing, "NoSignature"),
    ],
)
async def test_mirrors(at_mirror: lies.Put, at_registry: lies.Put, reason: str, material: Material) -> None:
    async with RegistryServer().serving() as mirror, RegistryServer().serving() as registry:
        for server, put in ((mirror, at_mirror), (registry, at_registry)):
            server.put_manifest(NAME, material.image)
            put(server, material)
        trust = _mirrored(material, registry.host, mirror.host)
        async with verifier_of(trust, (registry.host, mirror.host), timeout_s=2.0) as verifier:
            verdict = await verifier.verify(image_at(registry, material.digest))
    assert (verdict.verified, str(verdict.reason)) == (not reason, reason), verdict


@pytest.mark.parametrize("tokens", [False, True], ids=["basic", "token"])
@pytest.mark.parametrize(
    ("login", "reason"),
    [(Login("ana", "secret"), ""), (Login("ana", "wrong"), "RegistryRefused"), (None, "RegistryRefused")],
)
async def test_logins(tokens: bool, login: Login | None, reason: str, material: Material) -> None:
    async with RegistryServer(login="ana:secret", tokens=tokens).serving() as server:
        server.put_manifest(NAME, material.image)
        lies.good(server, material)
        logins = {server.host: login} if login is not None else {}
        trust = policy_of(public_pem(material.keys["p256"]))
        async with verifier_of(trust, (server.host,), logins) as verifier:
            verdict = await verifier.verify(image_at(server, material.digest))
    assert (verdict.verified, str(verdict.reason)) == (not reason, reason), verdict
    assert "secret" not in verdict.message
    assert "wrong" not in verdict.message


@pytest.mark.parametrize(
    "image",
    [
        "r.test/app",
        "r.test/app:1",
        f"r.test/app:1@sha256:{'a' * 64}",
        f"r.test/App@sha256:{'a' * 64}",
        "",
        "@",
        "a@sha256:1",
    ],
)
async def test_only_a_digest_is_judged(image: str, material: Material) -> None:
    async with verifier_of(policy_of(public_pem(material.keys["p256"])), ()) as verifier:
        verdict = await verifier.verify(image)
    assert (verdict.verified, verdict.reason) == (False, "InvalidReference")
    assert "allowed is an image by digest only" in verdict.message


async def test_a_revoked_digest_asks_nobody(material: Material) -> None:
    async with RegistryServer().serving() as server:
        lies.good(server, material)
        trust = policy_of(public_pem(material.keys["p256"]), revokedDigests=[material.digest])
        async with verifier_of(trust, (server.host,)) as verifier:
            verdict = await verifier.verify(image_at(server, material.digest))
        assert (verdict.verified, verdict.reason, server.asked) == (False, "Revoked", [])


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({}, {}, ""),
        ({"revoked": True}, {}, ""),
        ({"revoked": True}, {"revoked": True}, "Revoked"),
        ({"revoked": True}, {"notAfter": "2026-01-01T00:00:00Z"}, "Revoked"),
        ({"notAfter": "2026-01-01T00:00:00Z"}, {}, ""),
        ({"notAfter": "2026-01-01T00:00:00Z"}, {"uses": ["policies"]}, "KeyExpired"),
    ],
)
async def test_two_signatures(first: dict[str, Any], second: dict[str, Any], reason: str, material: Material) -> None:
    """One by P-256 as a bundle, one by RSA in the older format."""
    trust = policy_of(public_pem(material.keys["p256"]), first)
    trust["keys"].append(trusted_key("second", public_pem(material.keys["rsa"]), **second))
    async with RegistryServer().serving() as server:
        server.put_manifest(NAME, material.image)
        lies.good(server, material)
        lies.good_older(server, material, "rsa")
        async with verifier_of(trust, (server.host,)) as verifier:
            verdict = await verifier.verify(image_at(server, material.digest))
    assert (verdict.verified, str(verdict.reason)) == (not reason, reason), verdict


async def test_cranes_registry_and_a_key_that_cosign_made(tmp_path: Path) -> None:
    with SignedImages(tmp_path) as images:
        bundle, older, unsigned = images.signed("bundle"), images.push("older"), images.push("unsigned")
        images.sign(older, older_format=True)
        async with verifier_of(policy_of(images.key("release")), (images.address,)) as verifier:
            assert (await verifier.verify(bundle)).evidence["format"] == "bundle v0.3"
            assert (await verifier.verify(older)).evidence["format"] == "simple signing"
            assert (await verifier.verify(unsigned)).reason == "NoSignature"
            gone = await verifier.verify(f"{unsigned.partition('@')[0]}@sha256:{'0' * 64}")
            assert gone.reason == "ImageNotFound"
        async with verifier_of(policy_of(images.key("another")), (images.address,)) as verifier:
            assert (await verifier.verify(bundle)).reason == "UnknownKey"
        async with verifier_of(policy_of(images.key("release")), (images.address,)) as verifier:
            images.stop()
            assert (await verifier.verify(bundle)).reason == "RegistryUnreachable"


async def test_cosign_pushes_to_a_registry_with_the_referrers_api(material: Material, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(material.pem("p256"))
    cosign = str(ensure(SIGNING)["cosign"])

    async def run(*words: str) -> None:
        environment = {**os.environ, "COSIGN_PASSWORD": ""}
        process = await asyncio.create_subprocess_exec(
            cosign, *words, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        _, told = await process.communicate()
        assert process.returncode == 0, told.decode()

    async with RegistryServer().serving() as server:
        digest = server.put_image(NAME, "one")
        image = image_at(server, digest)
        await run("import-key-pair", "--yes", "--key", "key.pem", "--output-key-prefix", "key")
        by_key = ("--key", "key.key", "--tlog-upload=false", "--use-signing-config=false")
        await run("sign", "--yes", *by_key, "--allow-http-registry", image)
        assert server.referring(NAME, digest)
        async with verifier_of(policy_of(public_pem(material.keys["p256"])), (server.host,)) as verifier:
            verdict = await verifier.verify(image)
    assert verdict.verified, verdict
    assert verdict.digest == digest != digest_of(material.image)
