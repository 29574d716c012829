"""Registries by TLS: which certificates count, and how plain HTTP and TLS lead to each other."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.cluster.loopback_certificate import throw_away_certificate
from support.supplychain.registry import RegistryServer
from support.supplychain.registry_faults import leads_to
from support.supplychain.registry_fixture import LOGIN, NAME, NOTHING, SECRET
from titan_operator.supplychain.registry import Registries, RegistryError, RegistryProblem, Repository


@asynccontextmanager
async def by_tls(folder: Path) -> AsyncIterator[tuple[RegistryServer, aiohttp.ClientSession]]:
    """A registry by TLS and a session that trusts its certificate."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate_pem, key_pem = throw_away_certificate()
    certificate.write_text(certificate_pem)
    key.write_text(key_pem)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate, key)
    trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=certificate))
    async with (
        RegistryServer().serving(served) as server,
        aiohttp.ClientSession(connector=trusting, cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield server, session


def client_of(session: aiohttp.ClientSession, *plain: str) -> Registries:
    return Registries(session, plain_http=frozenset(plain), mirrors={}, logins=lambda _host: LOGIN)


async def test_a_registry_is_asked_by_tls_when_nothing_else_is_said(tmp_path: Path) -> None:
    async with by_tls(tmp_path) as (server, session):
        digest = server.put_manifest(NAME, b"{}")
        server.login, server.tokens = f"ana:{SECRET}", True
        found = await client_of(session).manifest(Repository(server.host, NAME), digest)
        assert found.content == b"{}"
        assert server.url.startswith("https://")
        assert server.count("/token") == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with by_tls(tmp_path) as (server, _), aiohttp.ClientSession() as stranger:
        digest = server.put_manifest(NAME, b"{}")
        with pytest.raises(RegistryError, match="a certificate, found one that is not trusted") as caught:
            await client_of(stranger).manifest(Repository(server.host, NAME), digest)
        assert caught.value.reason is RegistryProblem.UNTRUSTED_CERTIFICATE
        assert server.count() == 0


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    async with by_tls(tmp_path) as (server, session):
        digest = server.put_manifest(NAME, b"{}")
        other_name = server.host.replace("127.0.0.1", "localhost")
        with pytest.raises(RegistryError) as caught:
            await client_of(session).manifest(Repository(other_name, NAME), digest)
        assert caught.value.reason is RegistryProblem.UNTRUSTED_CERTIFICATE


async def test_plain_http_may_lead_to_tls_and_tls_to_listed_hosts_only(tmp_path: Path) -> None:
    async with by_tls(tmp_path) as (server, session), RegistryServer().serving() as plain:
        digest = server.put_blob(NAME, b"x")
        plain.put_blob(NAME, b"x")
        path = f"/v2/{NAME}/blobs/{digest}"
        plain.fault("/blobs/", leads_to(server.url + path))
        assert await client_of(session, plain.host).blob(Repository(plain.host, NAME), digest, 9) == b"x"
        assert [asked.authorization for asked in server.asked] == [""]

        plain.faults.clear()
        server.fault("/blobs/", leads_to(plain.url + path))
        assert await client_of(session, plain.host).blob(Repository(server.host, NAME), digest, 9) == b"x"
        with pytest.raises(RegistryError) as caught:
            await client_of(session).blob(Repository(server.host, NAME), digest, 9)
        assert caught.value.reason is RegistryProblem.PLAIN_HTTP_REFUSED


async def test_a_listed_host_is_listed_with_its_port_only(tmp_path: Path) -> None:
    async with by_tls(tmp_path) as (server, session), RegistryServer().serving() as plain:
        server.fault("/manifests/", leads_to(f"{plain.url}/x"))
        with pytest.raises(RegistryError) as caught:
            await client_of(session, "127.0.0.1", "127.0.0.1:1").manifest(Repository(server.host, NAME), NOTHING)
        assert caught.value.reason is RegistryProblem.PLAIN_HTTP_REFUSED
        assert plain.count() == 0


async def test_docker_hub_is_asked_under_its_other_name() -> None:
    async with aiohttp.ClientSession() as session:
        query = client_of(session)._query("docker.io", "library/postgres/manifests/17", "it", 1)
        assert str(query.url) == "https://registry-1.docker.io/v2/library/postgres/manifests/17"
