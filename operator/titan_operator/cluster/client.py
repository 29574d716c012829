"""A small typed client of the API server.

Reads are retried a few times when the server is overloaded or unreachable. Writes are sent once: the controller is
level-triggered, and its next read shows whether a lost write took effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp.connector import NEEDS_CLEANUP_CLOSED

from titan_operator.api.names import FIELD_MANAGER
from titan_operator.cluster.credentials import Connection
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.resource_kinds import Kind

Object = dict[str, Any]
# Verb, kind, status code (0: no answer), seconds. Once per request on the wire.
Observe = Callable[[str, str, int, float], None]

_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_JSON = "application/json"
_PAGE = 500
_ATTEMPTS = 3
_BACKOFF_S = 0.2
_LONGEST_WAIT_S = 5.0
_MAX_ANSWER_BYTES = 64 * 2**20


class ObjectList(list[Object]):
    """Items of a list response; ``resource_version`` is the version of the whole list."""

    def __init__(self, items: list[Object], resource_version: str) -> None:
        super().__init__(items)
        self.resource_version = resource_version


class Cluster:
    """The API server, as one identity. An asynchronous context manager.

    Every method raises :class:`ApiError` when the server refuses, :class:`Unreachable` when it does not answer in time.

    Parameters
    ----------
    connection
        Server and identity.
    observe
        Called for every request.
    timeout_s
        For one request, its answer included, in seconds.
    agent
        Name of the program, for the audit log.
    sleep
        Waits between attempts.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        observe: Observe | None = None,
        timeout_s: float = 10.0,
        agent: str = FIELD_MANAGER,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.connection = connection
        self._observe = observe or (lambda _observed_verb, _kind, _code, _seconds: None)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(3.0, timeout_s))
        self._agent = agent
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self.connection.ssl_context(),
                limit=8,
                keepalive_timeout=60,
                # Before Python 3.12.7 the end of a broken TLS connection is awaited for ever, also after the last call.
                enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
            ),
            timeout=self._timeout,
            headers={"Accept": _JSON, "User-Agent": self._agent},
            middlewares=(_no_resend,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()
        self._session = None

    # Reads

    async def get(self, kind: Kind, name: str, namespace: str = "", *, subresource: str = "") -> Object | None:
        """Return the object, or None if there is none.

        A kind that the server does not know (no CRD) is an error, never an absent object.
        """
        try:
            return await self._read("get", kind, kind.path(name, namespace, subresource), {})
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ObjectList:
        """Return all objects of the namespace (empty: of all), as one consistent list.

        Parameters
        ----------
        labels, fields
            Selectors, in the API's own syntax.
        """
        query = {"labelSelector": labels, "fieldSelector": fields}
        selected = {name: value for name, value in query.items() if value}
        try:
            return await self._pages(kind, namespace, {**selected, "limit": str(_PAGE)})
        except ApiError as error:
            if not error.expired:
                raise
        # The version of the pages was compacted in between: read everything in one response.
        return await self._pages(kind, namespace, selected)

    async def _pages(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> ObjectList:
        items: list[Object] = []
        following = ""
        while True:
            page_query = {**query, "continue": following} if following else dict(query)
            page = await self._read("list", kind, kind.path(namespace=namespace), page_query)
            for item in page.get("items") or ():
                # Lists of the built-in kinds leave these out.
                item["apiVersion"], item["kind"] = kind.group_version, kind.name
                items.append(item)
            metadata = page.get("metadata") or {}
            following = metadata.get("continue") or ""
            if not following:
                return ObjectList(items, str(metadata.get("resourceVersion", "")))

    # Writes

    async def apply(
        self,
        kind: Kind,
        manifest: Mapping[str, Any],
        *,
        dry_run: bool = False,
        force: bool = True,
        manager: str = FIELD_MANAGER,
    ) -> Object:
        """Apply on the server's side and return the new object; the server refuses a field that no schema has."""
        return await self._apply("apply", kind, manifest, "", dry_run=dry_run, force=force, manager=manager)

    async def apply_status(
        self, kind: Kind, manifest: Mapping[str, Any], *, force: bool = True, manager: str = FIELD_MANAGER
    ) -> Object:
        """Apply the ``status`` of the manifest; the object must exist."""
        return await self._apply("apply_status", kind, manifest, "status", dry_run=False, force=force, manager=manager)

    async def _apply(
        self,
        verb: str,
        kind: Kind,
        manifest: Mapping[str, Any],
        subresource: str,
        *,
        dry_run: bool,
        force: bool,
        manager: str,
    ) -> Object:
        name, namespace = _name_of(manifest)
        query = {**_write(manager, dry_run=dry_run), "force": "true" if force else "false"}
        body = {**manifest, "apiVersion": kind.group_version, "kind": kind.name}
        path = kind.path(name, namespace, subresource)
        return await self._send(_observed_verb(verb, dry_run=dry_run), kind, "PATCH", path, query, body, _APPLY)

    async def patch_merge(
        self, kind: Kind, name: str, namespace: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> Object:
        """Merge ``body`` into the object (None removes a field); a ``resourceVersion`` in it is a precondition."""
        path = kind.path(name, namespace, subresource)
        return await self._send("patch", kind, "PATCH", path, _write(FIELD_MANAGER, dry_run=False), body, _MERGE)

    async def patch_json(
        self, kind: Kind, name: str, namespace: str, operations: Sequence[Mapping[str, Any]]
    ) -> Object:
        """Apply a JSON patch (RFC 6902); a ``test`` in it that fails is an error, and nothing is changed."""
        path = kind.path(name, namespace)
        query = _write(FIELD_MANAGER, dry_run=False)
        return await self._send("patch", kind, "PATCH", path, query, list(operations), _JSON_PATCH)

    async def create(self, kind: Kind, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create the object; the error's ``already_exists`` is true if it exists."""
        _, namespace = _name_of(manifest)
        body = {**manifest, "apiVersion": kind.group_version, "kind": kind.name}
        query = _write(FIELD_MANAGER, dry_run=dry_run)
        path = kind.path(namespace=namespace)
        return await self._send(_observed_verb("create", dry_run=dry_run), kind, "POST", path, query, body, _JSON)

    async def replace(self, kind: Kind, manifest: Mapping[str, Any]) -> Object:
        """Replace exactly the version in ``metadata.resourceVersion``; ``conflict`` if the object has changed since."""
        name, namespace = _name_of(manifest)
        if not (manifest.get("metadata") or {}).get("resourceVersion"):
            raise ValueError(
                f"metadata.resourceVersion: empty for {kind.name} {name!r}; a blind replace is not allowed"
            )
        body = {**manifest, "apiVersion": kind.group_version, "kind": kind.name}
        query = _write(FIELD_MANAGER, dry_run=False)
        return await self._send("update", kind, "PUT", kind.path(name, namespace), query, body, _JSON)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Delete the object; return False if it did not exist.

        Parameters
        ----------
        uid, resource_version
            Preconditions; the error is a ``conflict`` where the object is another one.
        propagation
            ``Background``, ``Foreground`` or ``Orphan``.
        """
        requested = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in requested.items() if value is not None}
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if preconditions:
            body["preconditions"] = preconditions
        try:
            await self._send("delete", kind, "DELETE", kind.path(name, namespace), {}, body, _JSON)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return True

    # Transport

    async def _read(self, verb: str, kind: Kind, path: str, query: Mapping[str, str]) -> Object:
        for attempt in range(1, _ATTEMPTS + 1):
            wait_s = _BACKOFF_S * 4 ** (attempt - 1)
            try:
                return await self._send(verb, kind, "GET", path, query, None, _JSON)
            except ApiError as error:
                wait_s = max(wait_s, error.retry_after_s or 0.0)
                if not error.transient or attempt == _ATTEMPTS or wait_s > _LONGEST_WAIT_S:
                    raise
            except Unreachable:
                if attempt == _ATTEMPTS:
                    raise
            await self._sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self,
        verb: str,
        kind: Kind,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        content_type: str,
    ) -> Object:
        used = self.connection.bearer()
        try:
            return await self._request(verb, kind, method, path, query, body, content_type, used)
        except ApiError as error:
            # The token was replaced during the call. The server answers 401 before it does anything, so that a write
            # may be sent again.
            fresh = self.connection.bearer()
            if not error.unauthorized or fresh == used:
                raise
        return await self._request(verb, kind, method, path, query, body, content_type, fresh)

    async def _request(
        self,
        verb: str,
        kind: Kind,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        content_type: str,
        token: str,
    ) -> Object:
        if self._session is None:
            raise RuntimeError("the Cluster is used outside its context")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = content_type
        started, code = time.monotonic(), 0
        try:
            async with self._session.request(
                method,
                self.connection.server + path,
                params=query,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
                allow_redirects=False,
            ) as response:
                content = await _limited(response)
                code = response.status
                retry_after = response.headers.get("Retry-After", "")
        except TimeoutError as error:
            limit_s = self._timeout.total
            raise Unreachable(f"{method} {path}: no answer of {self.connection.server} within {limit_s:g} s") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"{method} {path}: {self.connection.server}: {error or type(error).__name__}") from error
        finally:
            self._observe(verb, kind.name, code, time.monotonic() - started)
        if code >= 300:
            raise _refusal(code, content, retry_after)
        try:
            answer = msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise Unreachable(f"{method} {path}: {self.connection.server} answered {code} with no JSON") from error
        if not isinstance(answer, dict):
            raise Unreachable(f"{method} {path}: {self.connection.server} answered {code} with no object")
        return answer


async def _no_resend(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from resending a PUT or DELETE by itself when a kept connection turns out to be dead."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error) or type(error).__name__) from error


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {_MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _refusal(code: int, content: bytes, retry_after: str) -> ApiError:
    """Return the error of the server's Status, or of its plain text where it sent none."""
    wait_s = float(retry_after) if retry_after.isdecimal() else None
    try:
        status = msgspec.json.decode(content)
    except msgspec.DecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = content[:300].decode(errors="replace").strip()
        return ApiError(code, "", text or "no message", None, wait_s)
    details = status.get("details") or {}
    if wait_s is None and details.get("retryAfterSeconds"):
        wait_s = float(details["retryAfterSeconds"])
    return ApiError(code, str(status.get("reason") or ""), str(status.get("message") or "no message"), details, wait_s)


def _name_of(manifest: Mapping[str, Any]) -> tuple[str, str]:
    metadata = manifest.get("metadata") or {}
    return str(metadata.get("name") or ""), str(metadata.get("namespace") or "")


def _observed_verb(verb: str, *, dry_run: bool) -> str:
    return f"{verb}_dry_run" if dry_run else verb


def _write(manager: str, *, dry_run: bool) -> dict[str, str]:
    query = {"fieldManager": manager, "fieldValidation": "Strict"}
    return {**query, "dryRun": "All"} if dry_run else query
