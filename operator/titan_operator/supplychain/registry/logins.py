"""Logins to registries: authorization headers by host, and tokens for their lifetime."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from yarl import URL

from titan_operator.supplychain.registry.challenges import BasicChallenge, BearerChallenge, read_challenge, read_token
from titan_operator.supplychain.registry.credential_files import Login
from titan_operator.supplychain.registry.documents import DocumentError
from titan_operator.supplychain.registry.errors import RegistryProblem
from titan_operator.supplychain.registry.transport import Answer, Query, Transport, checked_url, host_of

_TOKEN_BYTES = 65_536
# A token is replaced a little before it expires: its lifetime counts from when the realm made it.
_USED_OF_LIFE = 0.8
_MOST_KEPT = 1000


@dataclass
class _Access:
    """The last authorization that opened one repository at one host."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    header: str = field(default="", repr=False)
    login: Login | None = None
    good_until_s: float = 0.0


class Authenticator:
    """Headers by host and repository.

    Parameters
    ----------
    logins
        Login for a host, if any; called each time, so that a new login counts at once.
    clock_s
        Monotonic seconds.
    """

    def __init__(
        self,
        transport: Transport,
        logins: Callable[[str], Login | None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._logins = logins
        self._clock_s = clock_s
        self._access: dict[tuple[str, str], _Access] = {}

    def cached_header(self, host: str, repository: str) -> str:
        """Return the header that opened ``repository`` last, while it is valid for the present login; else empty."""
        access = self._access.get((host, repository))
        if access is None or access.login != self._logins(host) or self._clock_s() >= access.good_until_s:
            return ""
        return access.header

    async def answer(self, query: Query, refused: Answer, sent: str, host: str, repository: str, until_s: float) -> str:
        """Return the header that ``refused`` requires.

        Parameters
        ----------
        sent
            The header that was refused; empty where there was none.
        until_s
            Deadline by the event loop's clock.

        Raises
        ------
        RegistryError
            There is no login, it is refused, or its realm issues no token.
        """
        if refused.url.origin() != query.url.origin():
            # The target of a redirect must not choose where logins are sent.
            expected = "an answer without a login after a redirect"
            raise query.problem(RegistryProblem.UNAUTHORIZED, expected, "status 401", at=refused.url)
        try:
            challenge = read_challenge(list(refused.challenges))
        except DocumentError as error:
            expected, found = "a way to log in", f"status 401 with {error}"
            raise query.problem(RegistryProblem.UNAUTHORIZED, expected, found) from error
        if len(self._access) >= _MOST_KEPT:
            self._access.clear()
        access = self._access.setdefault((host, repository), _Access())
        async with access.lock:
            header = self.cached_header(host, repository)
            if header and header != sent:
                # Another request has renewed it.
                return header
            login = self._logins(host)
            if isinstance(challenge, BasicChallenge):
                if login is None:
                    found = "status 401 and no login for this host"
                    raise query.problem(RegistryProblem.UNAUTHORIZED, "an answer", found)
                header, life_s = basic(login), float("inf")
            else:
                header, life_s = await self._token(query, challenge, login, repository, until_s)
            access.header, access.login, access.good_until_s = header, login, self._clock_s() + life_s
        return header

    async def _token(
        self, query: Query, challenge: BearerChallenge, login: Login | None, repository: str, until_s: float
    ) -> tuple[str, float]:
        try:
            realm = URL(challenge.realm).with_fragment(None)
            service = {"service": challenge.service} if challenge.service else {}
            url = checked_url(realm.extend_query({**service, "scope": f"repository:{repository}:pull"}))
        except ValueError as error:
            expected, found = "a realm that is an https URL", "something else"
            raise query.problem(RegistryProblem.MALFORMED, expected, found) from error
        what = f"token for {query.what} from {host_of(query.url)}"
        token_query = Query(url, what, "application/json", _TOKEN_BYTES, redirects=0)
        answer = await self._transport.get(token_query, "" if login is None else basic(login), until_s)
        if answer.status in {401, 403}:
            found = f"status {answer.status} {'without a login' if login is None else 'for the login of this host'}"
            raise token_query.problem(RegistryProblem.UNAUTHORIZED, "a token", found)
        if answer.status != 200:
            raise token_query.problem(RegistryProblem.UNEXPECTED_STATUS, "a token", f"status {answer.status}")
        try:
            token = read_token(answer.content)
        except DocumentError as error:
            raise token_query.problem(RegistryProblem.MALFORMED, "a token", str(error)) from error
        return f"Bearer {token.text}", token.life_s * _USED_OF_LIFE


def basic(login: Login) -> str:
    """Return the header of basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
