"""One GET with its redirects, busy servers, time-outs and size limits.

Messages name only the host of a URL: the query of a storage's URL is a credential.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from titan_operator.supplychain.registry.documents import read_retry_after
from titan_operator.supplychain.registry.errors import RegistryError, RegistryProblem

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})
_MOST_WAITS = 3
_PAUSE_S = 0.2
_CONNECT_S, _READ_S = 3.0, 5.0
_CHUNK_BYTES = 65_536
# Bytes that are read of an error's answer.
_ERROR_BYTES = 65_536
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,8000}")
# Problems that a retry may solve.
_TRANSIENT = frozenset({RegistryProblem.UNREACHABLE, RegistryProblem.TRUNCATED})


@dataclass(frozen=True)
class Query:
    """A request to a host.

    Attributes
    ----------
    url
        Address; https, or a listed host.
    what
        Name of the content in messages.
    accept
        Media types.
    limit_bytes
        The largest answer that is read.
    redirects
        Number of redirects that are followed.
    """

    url: URL
    what: str
    accept: str
    limit_bytes: int
    redirects: int = _MOST_REDIRECTS

    def problem(self, reason: RegistryProblem, expected: str, found: str, *, at: URL | None = None) -> RegistryError:
        """Return the error of this request; ``at`` is the answering place, where a redirect led to another."""
        here = "" if at is None or at.origin() == self.url.origin() else f" at {host_of(at)}"
        return RegistryError(reason, f"{host_of(self.url)}: {self.what}: expected {expected}, found {found}{here}")


@dataclass(frozen=True)
class Answer:
    """An answer of a host.

    Attributes
    ----------
    status
        HTTP status; no redirect, and no 429 or 5xx.
    url
        Address of the final answer.
    content
        All bytes where the status is 200, else at most the first 64 KiB.
    """

    status: int
    url: URL
    headers: Mapping[str, str]
    content: bytes
    challenges: tuple[str, ...] = ()


def host_of(url: URL) -> str:
    """Return ``HOST`` or ``HOST:PORT``, as trust policies and logins name it."""
    return f"{url.host}" if url.is_default_port() else f"{url.host}:{url.port}"


def checked_url(url: URL) -> URL:
    """Return ``url`` after a check of its parts, which yarl parses lazily.

    Raises
    ------
    ValueError
        The URL has no host, or an invalid one.
    """
    url.origin()
    if not url.host or url.port == 0:
        raise ValueError("no host")
    return url


def _joined(url: URL, location: str) -> URL | None:
    try:
        return checked_url(url.join(URL(location, encoded=True)).with_fragment(None))
    except ValueError:
        return None


class Transport:
    """Sends requests over a shared session.

    Parameters
    ----------
    plain_http
        Hosts that are reached without TLS, also by redirects.
    sleep
        Waits before a retry.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        plain_http: frozenset[str],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._plain_http = plain_http
        self._sleep = sleep

    def base(self, host: str) -> URL:
        """Return the base URL of ``host``.

        Raises
        ------
        ValueError
            The host's name is invalid.
        """
        return checked_url(URL(f"{'http' if host in self._plain_http else 'https'}://{host}")).origin()

    def check_place(self, query: Query, url: URL) -> None:
        """Refuse a URL that is neither https nor of a listed host.

        Raises
        ------
        RegistryError
            The URL is refused, also where it names a user.
        """
        if url.scheme not in {"http", "https"} or not url.host or url.user is not None or url.password is not None:
            raise query.problem(RegistryProblem.REDIRECT_REFUSED, "an https URL without a user", "another kind of URL")
        if url.scheme == "http" and not {host_of(url), f"{url.host}:{url.port}"} & self._plain_http:
            found = f"http to {host_of(url)}"
            raise query.problem(RegistryProblem.PLAIN_HTTP_REFUSED, "https, or a host listed in plainHttp", found)

    async def get(self, query: Query, authorization: str, deadline_s: float) -> Answer:
        """Send the request, with a retry where that can help.

        Parameters
        ----------
        authorization
            Header for the host of ``query.url``, and for no other; may be empty.
        deadline_s
            Latest end of a wait, by the event loop's clock.

        Raises
        ------
        RegistryError
            There is no usable answer.
        """
        waits = retries = 0
        while True:
            try:
                answer = await self._follow(query, authorization)
            except RegistryError as error:
                retries += 1
                if error.reason not in _TRANSIENT or retries > 1:
                    raise
                await self._sleep(_PAUSE_S)
                continue
            if answer.status in _BUSY:
                waits += 1
                await self._sleep(self._wait_s(query, answer, waits, deadline_s))
            elif answer.status >= 500:
                retries += 1
                if retries > 1:
                    found = f"status {answer.status} again"
                    raise query.problem(RegistryProblem.SERVER_ERROR, "an answer", found, at=answer.url)
                await self._sleep(_PAUSE_S)
            else:
                return answer

    def _wait_s(self, query: Query, answer: Answer, waits: int, deadline_s: float) -> float:
        limited = answer.status == 429
        reason = RegistryProblem.TOO_MANY_REQUESTS if limited else RegistryProblem.SERVER_ERROR
        if waits > _MOST_WAITS:
            found = f"status {answer.status} {waits} times"
            raise query.problem(reason, f"an answer after {_MOST_WAITS} waits", found, at=answer.url)
        requested_s = read_retry_after(answer.headers.get("Retry-After", ""), datetime.now(UTC))
        wait_s = _PAUSE_S * 2 ** (waits - 1) if requested_s is None else requested_s
        left_s = deadline_s - asyncio.get_running_loop().time()
        if wait_s >= left_s:
            found = f"status {answer.status}, with a retry in {wait_s:.1f} s"
            raise query.problem(reason, f"an answer within {max(left_s, 0.0):.1f} s", found, at=answer.url)
        return wait_s

    async def _follow(self, query: Query, authorization: str) -> Answer:
        url = query.url
        for _ in range(query.redirects + 1):
            self.check_place(query, url)
            answer = await self._get_once(query, url, authorization)
            if answer.status not in _REDIRECTS:
                return answer
            following = self._following(query, answer)
            if following.origin() != url.origin():
                # The header is for the first host only; a redirect back to it does not get it either.
                authorization = ""
            url = following
        found = f"{query.redirects + 1} redirects"
        raise query.problem(RegistryProblem.REDIRECT_REFUSED, f"at most {query.redirects} redirects", found, at=url)

    def _following(self, query: Query, answer: Answer) -> URL:
        location = answer.headers.get("Location", "")
        following = _joined(answer.url, location) if _PRINTABLE.fullmatch(location) else None
        if following is None:
            expected, found = "a redirect to an https URL", f"status {answer.status} without a usable Location"
            raise query.problem(RegistryProblem.REDIRECT_REFUSED, expected, found, at=answer.url)
        return following

    async def _get_once(self, query: Query, url: URL, authorization: str) -> Answer:
        # Compressed bytes would have another digest, and a few could expand to very many.
        headers = {"Accept": query.accept, "Accept-Encoding": "identity"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            async with self._session.get(
                url,
                headers=headers,
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
            ) as response:
                return await self._read(query, url, response)
        except aiohttp.ClientConnectorCertificateError as error:
            found = "one that is not trusted"
            raise query.problem(RegistryProblem.UNTRUSTED_CERTIFICATE, "a certificate", found, at=url) from error
        except TimeoutError as error:
            expected, found = f"a connection in {_CONNECT_S:g} s and bytes every {_READ_S:g} s", "silence"
            raise query.problem(RegistryProblem.TIMED_OUT, expected, found, at=url) from error
        except aiohttp.ClientPayloadError as error:
            raise query.problem(RegistryProblem.TRUNCATED, "a whole answer", "a part of it", at=url) from error
        except aiohttp.ClientResponseError:
            # Its text would put the whole URL into a log of the error's cause.
            raise query.problem(RegistryProblem.MALFORMED, "HTTP", "something else", at=url) from None
        # A name that cannot be resolved at all is a ValueError.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            found = f"none ({type(error).__name__})"
            raise query.problem(RegistryProblem.UNREACHABLE, "a connection", found, at=url) from error

    async def _read(self, query: Query, url: URL, response: aiohttp.ClientResponse) -> Answer:
        success = response.status == 200
        limit = query.limit_bytes if success else _ERROR_BYTES
        if success and (response.content_length or 0) > limit:
            found = f"{response.content_length} announced"
            raise query.problem(RegistryProblem.TOO_LARGE, f"at most {limit} bytes", found, at=url)
        if success and response.headers.get("Content-Encoding", "identity").lower() != "identity":
            found = "another Content-Encoding"
            raise query.problem(RegistryProblem.MALFORMED, "the bytes themselves", found, at=url)
        content = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            content += chunk
            if len(content) > limit:
                if success:
                    raise query.problem(RegistryProblem.TOO_LARGE, f"at most {limit} bytes", "more", at=url)
                break
        challenges = tuple(response.headers.getall("WWW-Authenticate", ()))
        return Answer(response.status, url, response.headers, bytes(content[:limit]), challenges)
