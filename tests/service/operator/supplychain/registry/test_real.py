"""The client against registries that the real crane and cosign have pushed to, crane's own registry among them."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from releasing.commands import run, tool
from releasing.localregistry import local_registry
from releasing.signing import Registry, Signer, throw_away_key

from support.supplychain.registry import RegistryServer
from support.supplychain.registry_fixture import BUNDLE, digests, referrers
from titan_operator.supplychain.registry import Registries, RegistryError, RegistryProblem, Repository
from titan_operator.supplychain.registry.credential_files import Login, read_docker_config

NAME = "team/titan"
LOGIN = Login("ana", "hunter2-hunter2")
KINDS = ("crane", "api", "no api", "basic", "tokens")


@asynccontextmanager
async def _registry(kind: str) -> AsyncIterator[str]:
    if kind == "crane":
        with local_registry() as host:
            yield host
        return
    login = f"{LOGIN.user}:{LOGIN.password}" if kind in {"basic", "tokens"} else ""
    server = RegistryServer(referrers_api=kind != "no api", login=login, tokens=kind == "tokens")
    async with server.serving():
        yield server.host


def _logins(folder: Path, host: str) -> Path:
    folder.mkdir()
    login = {"username": LOGIN.user, "password": LOGIN.password}
    (folder / "config.json").write_text(json.dumps({"auths": {host: login}}))
    return folder


def _push_and_sign(host: str, folder: Path) -> str:
    """Push a small image and sign it; return its digest."""
    (folder / "hello").write_text("hello")
    with tarfile.open(folder / "layer.tar", "w") as archive:
        archive.add(folder / "hello", "hello")
    words = (
        "--insecure",
        "--oci-empty-base",
        "--new_layer",
        str(folder / "layer.tar"),
        "--new_tag",
        f"{host}/{NAME}:v1",
    )
    reference = run(tool("crane"), "append", *words).strip()
    private, _ = throw_away_key(folder / "key")
    Signer(str(private)).sign(reference, Registry(host, plain_http=True))
    return reference.partition("@")[2]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_crane_pushed_and_cosign_signed_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _registry(kind) as host, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        config = _logins(tmp_path / "config", host)
        monkeypatch.setenv("DOCKER_CONFIG", str(config))
        image = await asyncio.to_thread(_push_and_sign, host, tmp_path)
        logins = read_docker_config((config / "config.json").read_bytes())
        client = Registries(session, plain_http=frozenset({host}), mirrors={}, logins=logins.get)
        repository = Repository(host, NAME)

        tagged = [manifest async for manifest in client.tagged(repository, "v1")]
        assert [manifest.digest for manifest in tagged] == [image]
        manifest = await client.manifest(repository, image)
        assert manifest == tagged[0]
        layer = json.loads(manifest.content)["layers"][0]
        assert len(await client.blob(repository, layer["digest"], layer["size"])) == layer["size"]

        found = await referrers(client, repository, image)
        assert len(found) == 1
        signature = json.loads((await client.manifest(repository, found[0].digest)).content)
        assert signature["subject"]["digest"] == image
        assert [layer["mediaType"] for layer in signature["layers"]] == [BUNDLE]
        bundle = await client.blob(repository, signature["layers"][0]["digest"], 2**18)
        assert json.loads(bundle)["mediaType"] == BUNDLE

        nobodys = "sha256:" + "0" * 64
        assert await digests(client, repository, nobodys) == []
        with pytest.raises(RegistryError) as caught:
            await client.manifest(repository, nobodys)
        assert caught.value.reason is RegistryProblem.NOT_FOUND
        if kind in {"basic", "tokens"}:
            stranger = Registries(session, plain_http=frozenset({host}), mirrors={}, logins=lambda _host: None)
            with pytest.raises(RegistryError) as caught:
                await stranger.manifest(repository, image)
            assert caught.value.reason is RegistryProblem.UNAUTHORIZED
