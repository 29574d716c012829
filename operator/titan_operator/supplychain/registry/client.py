"""The verifier's client of registries: manifests, blobs and referrers, each checked against its digest."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from yarl import URL

from titan.domain.policy_rules import shown
from titan_operator.supplychain.references import DIGEST_PATTERN
from titan_operator.supplychain.registry.credential_files import Login
from titan_operator.supplychain.registry.documents import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    DocumentError,
    read_error_code,
    read_index,
    read_next_link,
)
from titan_operator.supplychain.registry.errors import RegistryError, RegistryProblem
from titan_operator.supplychain.registry.logins import Authenticator
from titan_operator.supplychain.registry.transport import Answer, Query, Transport

MANIFEST_LIMIT_BYTES = INDEX_LIMIT_BYTES = 4 * 2**20
MOST_REFERRERS = 2000
MOST_PAGES = 50
LISTING_LIMIT_BYTES = 16 * 2**20
_DIGEST = re.compile(DIGEST_PATTERN)
# Answers of registries without a referrers API; some do not know the path, some not the method.
_NO_API = frozenset({400, 404, 405, 406})
# Docker Hub's API has another host than its references.
_API_HOSTS = {"docker.io": "registry-1.docker.io"}

_INDEXES = ", ".join(sorted(INDEX_TYPES))
_MANIFESTS = ", ".join(MANIFEST_TYPES)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Repository:
    """A repository of a registry.

    Attributes
    ----------
    registry, path
        As :class:`titan_operator.supplychain.references.ImageReference` has them.
    """

    registry: str
    path: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


@dataclass(frozen=True)
class Manifest:
    """A manifest or index, byte for byte.

    Attributes
    ----------
    digest
        ``sha256:`` and 64 hexadecimal digits of ``content``.
    media_type
        Media type by the registry, in lower case; no digest covers it.
    """

    digest: str
    media_type: str
    content: bytes


class Registries:
    """Reads from registries of the OCI distribution specification.

    Every method raises :class:`RegistryError` where a registry gives no usable answer.

    Parameters
    ----------
    session
        Must keep no cookies and use no proxy of the environment.
    plain_http
        Hosts without TLS.
    mirrors
        By registry, the hosts that are queried before it.
    logins
        Login for a host, if any.
    timeout_s
        Time-out for one document from one host, its login, redirects and waits included, in seconds.
    sleep
        Waits before a retry.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        plain_http: frozenset[str],
        mirrors: Mapping[str, tuple[str, ...]],
        logins: Callable[[str], Login | None],
        timeout_s: float = 10.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._transport = Transport(session, plain_http, sleep)
        self._authenticator = Authenticator(self._transport, logins)
        self._mirrors = mirrors
        self._timeout_s = timeout_s

    async def manifest(self, repository: Repository, digest: str) -> Manifest:
        """Return the manifest or index of this digest."""
        _check_digest_form(repository, digest)
        what = f"manifest {digest} of {repository.path}"

        async def fetch(host: str) -> Manifest:
            query = self._query(host, f"{repository.path}/manifests/{digest}", what, MANIFEST_LIMIT_BYTES)
            return _manifest(query, await self._request_ok(query, host, repository.path), digest)

        return await self._first(repository, fetch)

    async def blob(self, repository: Repository, digest: str, limit_bytes: int) -> bytes:
        """Return the blob of this digest, of at most ``limit_bytes``."""
        _check_digest_form(repository, digest)
        what = f"blob {digest} of {repository.path}"

        async def fetch(host: str) -> bytes:
            query = self._query(host, f"{repository.path}/blobs/{digest}", what, limit_bytes, accept="*/*")
            answer = await self._request_ok(query, host, repository.path)
            _check_digest(query, answer, digest)
            return answer.content

        return await self._first(repository, fetch)

    async def tagged(self, repository: Repository, tag: str) -> AsyncGenerator[Manifest]:
        """Yield the different manifests of ``tag``: those of the mirrors, then that of the registry.

        Tags move and a mirror may lag behind, so a caller that rejects one manifest continues with the next.

        Raises
        ------
        RegistryError
            At the end, when the registry itself could not be queried.
        """
        seen: set[str] = set()
        failure: RegistryError | None = None
        for host in self._hosts(repository):
            try:
                manifest = await self._tag(self._tag_query(host, repository, tag), host, repository)
            except RegistryError as error:
                failure = error
                continue
            failure = None
            if manifest is not None and manifest.digest not in seen:
                seen.add(manifest.digest)
                yield manifest
        if failure is not None:
            raise failure

    async def referrers(self, repository: Repository, digest: str) -> AsyncGenerator[Descriptor]:
        """Yield each referrer of ``digest`` once; further pages and hosts are queried only as the caller continues.

        Mirrors come first, then the registry; at each its referrers API, and then the tag ``sha256-<hex>`` under which
        clients list referrers where they found no API. Both can hold signatures.

        Raises
        ------
        RegistryError
            There are more than 2,000; or, at the end, when the registry itself could not be queried.
        """
        seen: set[str] = set()
        failure: RegistryError | None = None
        for host in self._hosts(repository):
            try:
                async with aclosing(self._referrers_at(host, repository, digest)) as found:
                    async for descriptor in found:
                        if descriptor.digest in seen:
                            continue
                        if len(seen) >= MOST_REFERRERS:
                            raise _too_many(host, repository, digest)
                        seen.add(descriptor.digest)
                        yield descriptor
                failure = None
            except RegistryError as error:
                failure = error
        if failure is not None:
            raise failure

    async def _referrers_at(self, host: str, repository: Repository, digest: str) -> AsyncGenerator[Descriptor]:
        what = f"referrers of {digest} of {repository.path}"
        path = f"{repository.path}/referrers/{digest}"
        query: Query | None = self._query(host, path, what, INDEX_LIMIT_BYTES, accept=_INDEXES)
        pages, size = 0, 0
        while query is not None:
            answer = await self._request(query, host, repository.path)
            if pages == 0 and answer.status in _NO_API:
                break
            _check_status(query, answer)
            pages, size = pages + 1, size + len(answer.content)
            for descriptor in _index(query, answer.content):
                yield descriptor
            query = _next(query, answer)
            if query is not None and (pages >= MOST_PAGES or size >= LISTING_LIMIT_BYTES):
                expected = f"at most {MOST_PAGES} pages of {LISTING_LIMIT_BYTES} bytes together"
                raise query.problem(RegistryProblem.TOO_MANY_REFERRERS, expected, "more")
        tag_query = self._tag_query(host, repository, digest.replace(":", "-"))
        fallback = await self._tag(tag_query, host, repository)
        if fallback is not None:
            for descriptor in _index(tag_query, fallback.content):
                yield descriptor

    def _tag_query(self, host: str, repository: Repository, tag: str) -> Query:
        path, what = f"{repository.path}/manifests/{tag}", f"tag {tag} of {repository.path}"
        return self._query(host, path, what, MANIFEST_LIMIT_BYTES)

    async def _tag(self, query: Query, host: str, repository: Repository) -> Manifest | None:
        answer = await self._request(query, host, repository.path)
        if answer.status == 404:
            return None
        _check_status(query, answer)
        stated = answer.headers.get("Docker-Content-Digest", "")
        return _manifest(query, answer, stated if stated.startswith("sha256:") else "")

    def _hosts(self, repository: Repository) -> tuple[str, ...]:
        return (*self._mirrors.get(repository.registry, ()), repository.registry)

    def _query(self, host: str, path: str, what: str, limit_bytes: int, *, accept: str = _MANIFESTS) -> Query:
        try:
            base = self._transport.base(_API_HOSTS.get(host, host))
        except ValueError as error:
            # A port above 65535, or an invalid name.
            message = f"{shown(host)}: {what}: expected a valid host, found another name or port"
            raise RegistryError(RegistryProblem.UNREACHABLE, message) from error
        return Query(URL(f"{base}/v2/{path}", encoded=True), what, accept, limit_bytes)

    async def _first(self, repository: Repository, fetch: Callable[[str], Awaitable[_T]]) -> _T:
        failures: list[RegistryError] = []
        for host in self._hosts(repository):
            try:
                return await fetch(host)
            except RegistryError as error:
                failures.append(error)
        # The registry's own reason counts; the mirrors' messages help a person.
        raise RegistryError(failures[-1].reason, "; ".join(failure.message for failure in reversed(failures)))

    async def _request_ok(self, query: Query, host: str, repository: str) -> Answer:
        answer = await self._request(query, host, repository)
        _check_status(query, answer)
        return answer

    async def _request(self, query: Query, host: str, repository: str) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                until_s = asyncio.get_running_loop().time() + self._timeout_s
                sent = self._authenticator.cached_header(host, repository)
                answer = await self._transport.get(query, sent, until_s)
                if answer.status == 401:
                    header = await self._authenticator.answer(query, answer, sent, host, repository, until_s)
                    answer = await self._transport.get(query, header, until_s)
        except TimeoutError as error:
            expected = f"an answer in {self._timeout_s:g} s"
            raise query.problem(RegistryProblem.TIMED_OUT, expected, "none or a part of it") from error
        if answer.status in {401, 403}:
            found = f"status {answer.status}{_code(answer)}"
            raise query.problem(RegistryProblem.UNAUTHORIZED, "to be let in", found, at=answer.url)
        return answer


def _check_digest_form(repository: Repository, digest: str) -> None:
    # The digest can come from an untrusted manifest, and becomes a part of a URL.
    if not _DIGEST.fullmatch(digest):
        expected = "a digest of sha256: and 64 hexadecimal digits"
        message = f"{repository.registry}: content of {repository.path}: expected {expected}, found {shown(digest)}"
        raise RegistryError(RegistryProblem.MALFORMED, message)


def _check_status(query: Query, answer: Answer) -> None:
    if answer.status == 200:
        return
    reason = RegistryProblem.NOT_FOUND if answer.status == 404 else RegistryProblem.UNEXPECTED_STATUS
    raise query.problem(reason, "status 200", f"status {answer.status}{_code(answer)}", at=answer.url)


def _code(answer: Answer) -> str:
    code = read_error_code(answer.content)
    return f" ({code})" if code else ""


def _check_digest(query: Query, answer: Answer, digest: str) -> str:
    found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    if digest not in {"", found}:
        expected = f"bytes of {digest}" if _DIGEST.fullmatch(digest) else "a Docker-Content-Digest"
        raise query.problem(RegistryProblem.DIGEST_MISMATCH, expected, found, at=answer.url)
    return found


def _manifest(query: Query, answer: Answer, digest: str) -> Manifest:
    found = _check_digest(query, answer, digest)
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Manifest(found, media_type, answer.content)


def _index(query: Query, content: bytes) -> tuple[Descriptor, ...]:
    try:
        return read_index(content)
    except DocumentError as error:
        raise query.problem(RegistryProblem.MALFORMED, "an image index", str(error)) from error


def _next(query: Query, answer: Answer) -> Query | None:
    try:
        link = read_next_link(answer.headers.get("Link", ""))
        if link is None:
            return None
        url = query.url.join(URL(link, encoded=True)).with_fragment(None)
        same = url.origin() == query.url.origin()
    except ValueError as error:
        raise query.problem(RegistryProblem.MALFORMED, "a link to the next page", "another Link header") from error
    if not same or url == query.url:
        expected, found = "the next page at the same host", "a link elsewhere or to the same page"
        raise query.problem(RegistryProblem.REDIRECT_REFUSED, expected, found)
    return Query(url, query.what, query.accept, query.limit_bytes)


def _too_many(host: str, repository: Repository, digest: str) -> RegistryError:
    message = f"{host}: referrers of {digest} of {repository.path}: expected at most {MOST_REFERRERS}, found more"
    return RegistryError(RegistryProblem.TOO_MANY_REFERRERS, message)
