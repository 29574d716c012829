"""A client of registries beside a registry, and what its tests name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from support.supplychain.registry import RegistryServer, digest_of
from titan_operator.supplychain.registry import Descriptor, Registries, RegistryError, RegistryProblem, Repository
from titan_operator.supplychain.registry.credential_files import Login

NAME = "team/titan"
SECRET = "hunter2-hunter2"
LOGIN = Login("ana", SECRET)
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
NOTHING = digest_of(b"nobody has this")


class Waits:
    """Takes down the waits before another try, instead of waiting."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked_s.append(seconds)


@dataclass
class RegistryFixture:
    """A registry and a client of it."""

    server: RegistryServer
    session: aiohttp.ClientSession
    waits: Waits

    @property
    def repository(self) -> Repository:
        return Repository(self.server.host, NAME)

    def client(
        self,
        *,
        plain: tuple[str, ...] = (),
        mirrors: Mapping[str, tuple[str, ...]] | None = None,
        logins: Callable[[str], Login | None] = lambda _host: None,
        timeout_s: float = 10.0,
    ) -> Registries:
        return Registries(
            self.session,
            plain_http=frozenset({self.server.host, *plain}),
            mirrors=mirrors or {},
            logins=logins,
            timeout_s=timeout_s,
            sleep=self.waits,
        )


@asynccontextmanager
async def running_registry() -> AsyncIterator[RegistryFixture]:
    """A registry that runs, and a session for clients of it."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        RegistryServer().serving() as server,
    ):
        yield RegistryFixture(server, session, Waits())


async def referrers(client: Registries, repository: Repository, digest: str) -> list[Descriptor]:
    return [descriptor async for descriptor in client.referrers(repository, digest)]


async def digests(client: Registries, repository: Repository, digest: str) -> list[str]:
    return [descriptor.digest for descriptor in await referrers(client, repository, digest)]


async def until_failure(listing: AsyncIterator[Descriptor]) -> tuple[list[str], RegistryProblem | None]:
    """Return the digests that arrived, and the problem that ended the listing."""
    found = []
    try:
        async for descriptor in listing:
            found.append(descriptor.digest)  # noqa: PERF401 - what came before the error counts
    except RegistryError as error:
        return found, error.reason
    return found, None
