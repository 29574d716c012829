"""The API server as the pod runner sees it: raw objects, and caches that follow a watch through every outage."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from support.connectors import ending_connector

Object = dict[str, Any]
Key = tuple[str, str]

MERGE_PATCH = "application/merge-patch+json"
# How long the API server keeps a watch open, in seconds; then it is opened anew.
_WATCH_S = 300
_AGAIN_S = 0.2


class ApiError(Exception):
    """The API server refused; ``code`` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


# The API server may be away: some tests take it away.
AWAY = (aiohttp.ClientError, TimeoutError, OSError)


class Api:
    """One identity at one API server."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.server = str(cluster["server"])
        self.authority = Path(cluster["certificate-authority"])
        self._context = ssl.create_default_context(cafile=str(self.authority))
        self._context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Be ready for calls; in the event loop that makes them."""
        connector = ending_connector(self._context)
        self._session = aiohttp.ClientSession(self.server, connector=connector, read_bufsize=2**22)

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Object:
        """Make one call.

        Raises
        ------
        ApiError
            It was refused.
        """
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        timeout = aiohttp.ClientTimeout(total=15)
        headers = {"Content-Type": content_type}
        async with self._session.request(method, path, data=data, headers=headers, timeout=timeout) as answer:
            found: Object = await answer.json(content_type=None)
            if answer.status >= 400:
                raise ApiError(answer.status, str(found.get("message", found)))
            return found

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Events after ``version``, until the API server closes the watch or reports an error."""
        assert self._session is not None
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_S)}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with self._session.get(path, params=query, timeout=timeout) as answer:
            if answer.status >= 400:
                raise ApiError(answer.status, await answer.text())
            try:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["type"], event["object"]
            finally:
                # The end of a TLS session by handshake would outlast the event loop.
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()


class Cache:
    """All objects of a kind, by namespace and name.

    Parameters
    ----------
    changed
        Called with the object before and after: None for one that was not there, or is gone.
    """

    def __init__(self, api: Api, path: str, changed: Callable[[Object | None, Object | None], None]) -> None:
        self._api = api
        self._path = path
        self._changed = changed
        self.items: dict[Key, Object] = {}
        self.synced = asyncio.Event()

    def get(self, namespace: str, name: str) -> Object | None:
        """The object as it was last seen."""
        return self.items.get((namespace, name))

    def of(self, namespace: str) -> list[Object]:
        """All objects of a namespace, by name."""
        return [item for key, item in sorted(self.items.items()) if key[0] == namespace]

    async def run(self) -> None:
        """Follow the API server for ever."""
        while True:
            try:
                version = await self._list()
                self.synced.set()
                async for event, item in self._api.watch(self._path, version):
                    self._put(_key(item), None if event == "DELETED" else item)
            except (*AWAY, ApiError):
                await asyncio.sleep(_AGAIN_S)

    async def _list(self) -> str:
        found = await self._api.call("GET", self._path)
        items = {_key(item): item for item in found.get("items") or ()}
        for key in [key for key in self.items if key not in items]:
            self._put(key, None)
        for key, item in items.items():
            known = self.items.get(key)
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._put(key, item)
        return str(found["metadata"]["resourceVersion"])

    def _put(self, key: Key, item: Object | None) -> None:
        before = self.items.pop(key, None)
        if item is not None:
            self.items[key] = item
        self._changed(before, item)


def _key(item: Object) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
