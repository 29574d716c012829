"""A proxy between the operator and the real API server that counts writes and breaks connections, lists and watches.

TLS ends here with a throw-away certificate, so a client is who its token says; a client certificate is not passed on.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from support.cluster.api_requests import Mutation, Target, status
from support.cluster.loopback_certificate import throw_away_certificate
from support.connectors import ending_connector
from titan_operator.cluster.credentials import Connection
from titan_operator.cluster.resource_kinds import Kind

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
# Reviews, which are read by POST.
_REVIEWS = (
    "selfsubjectreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "subjectaccessreviews",
    "tokenreviews",
)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "upgrade"}


class WatchFault(Enum):
    """Faults of the watch streams of a kind."""

    DROP = "the next events never arrive"
    DUPLICATE = "the next events arrive twice"
    DELAY = "the next events arrive late, in order"
    ERROR = "the open streams tell an ERROR and end"
    CLOSE = "the open streams end"
    HALF_OPEN = "the open streams stay open and tell nothing more"


@dataclass
class _Cut:
    after: int
    before: bool
    everything: bool


@dataclass
class _Answer:
    code: int
    left: int
    retry_after_s: int | None


@dataclass
class _Faults:
    """Events of a kind still to be dropped, doubled, delayed."""

    drop: int = 0
    duplicate: int = 0
    delay: int = 0
    delay_s: float = 0.0


@dataclass(eq=False)
class _Stream:
    """One open watch."""

    plural: str
    silent: bool = False
    ending: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ApiProxy:
    """Serves the API server's paths on a port of its own. An asynchronous context manager.

    Parameters
    ----------
    upstream
        The real API server: only its address and authority are used.

    Attributes
    ----------
    mutations
        Writes asked for since the start, dry runs and reviews left out.
    requests
        (method, path with query) of everything asked for.
    happened
        Set when a cut has happened.
    """

    def __init__(self, upstream: Connection) -> None:
        self._upstream = Connection(server=upstream.server, source="proxy", ca_pem=upstream.ca_pem)
        self.mutations: list[Mutation] = []
        self.requests: list[tuple[str, str]] = []
        self.happened = asyncio.Event()
        self._port = 0
        self._cut: _Cut | None = None
        self._down = False
        self._faults: defaultdict[str, _Faults] = defaultdict(_Faults)
        self._answers: dict[tuple[str, str], _Answer] = {}
        self._streams: set[_Stream] = set()
        self._open: set[asyncio.Transport] = set()
        self._lists: dict[str, bytes] = {}
        self._stale: dict[str, dict[str, bytes]] = {}
        self._certificate_pem, self._key_pem = throw_away_certificate()

    async def __aenter__(self) -> Self:
        connector = ending_connector(self._upstream.ssl_context())
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**22, auto_decompress=False
        )
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True, access_log=None))
        await self._runner.setup()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
            certificate.write_text(self._certificate_pem)
            key.write_text(self._key_pem)
            self._context.load_cert_chain(certificate, key)
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort_connections()
        await self._runner.cleanup()
        await self._session.close()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._context, reuse_address=True)
        await self._site.start()
        assert self._site._server is not None
        self._port = self._site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    # For clients

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    def connection(self, token: str) -> Connection:
        """A client's connection as who the token says."""
        return Connection(server=self.server, source="fault proxy", ca_pem=self._certificate_pem, token=token)

    def kubeconfig(self, path: Path, token: str) -> Path:
        """Write a KUBECONFIG for the proxy and return its path."""
        authority = path.with_suffix(".ca.pem")
        authority.write_text(self._certificate_pem)
        named = {
            "clusters": [
                {"name": "proxy", "cluster": {"server": self.server, "certificate-authority": str(authority)}}
            ],
            "users": [{"name": "proxy", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "proxy", **named}))
        return path

    def service_account(self, folder: Path, token: str, namespace: str) -> dict[str, str]:
        """Write what a kubelet mounts into a pod, and return the environment that goes with it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "ca.crt").write_text(self._certificate_pem)
        (folder / "namespace").write_text(namespace)
        return {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._port),
            "TITAN_SERVICE_ACCOUNT_DIR": str(folder),
        }

    # Faults

    def cut_after(self, writes: int, *, before: bool, everything: bool = True) -> None:
        """Cut at the given write from now on, counting from 1: once.

        Parameters
        ----------
        before
            The write does not reach the server; else it does, and its answer does not reach the client.
        everything
            All connections break, the watches' too; else only the writer's.
        """
        self.happened.clear()
        self._cut = _Cut(writes, before, everything)

    def cut_never(self) -> None:
        """Forget a cut that has not happened."""
        self._cut = None

    def abort_connections(self) -> None:
        """Break every connection to a client."""
        for transport in tuple(self._open):
            transport.abort()

    async def down(self) -> None:
        """Listen no more and break every connection: the API server is gone."""
        await self._site.stop()
        self.abort_connections()

    async def up(self) -> None:
        """Listen again, on the same port."""
        await self._listen()

    def answer(self, method: str, kind: Kind, code: int, *, times: int = 1, retry_after_s: int | None = None) -> None:
        """Answer the next requests with a Status of this code; ``method`` WATCH for watch requests."""
        self._answers[method, kind.plural] = _Answer(code, times, retry_after_s)

    def stale_lists(self, kind: Kind, *, stale: bool = True) -> None:
        """Answer lists of the kind with what the same request was answered last, or truthfully again."""
        if stale:
            self._stale[kind.plural] = dict(self._lists)
        else:
            self._stale.pop(kind.plural, None)

    def watch_fault(
        self, kind: Kind, fault: WatchFault, *, times: int = 1, delay_s: float = 1.0, code: int = 500
    ) -> None:
        """Do this to the watch streams of a kind.

        Parameters
        ----------
        times
            Of DROP, DUPLICATE and DELAY: how many events, bookmarks not counted.
        delay_s
            Of DELAY, for each event, in seconds.
        code
            Of ERROR.
        """
        faults = self._faults[kind.plural]
        streams = [stream for stream in self._streams if stream.plural == kind.plural]
        match fault:
            case WatchFault.DROP:
                faults.drop += times
            case WatchFault.DUPLICATE:
                faults.duplicate += times
            case WatchFault.DELAY:
                faults.delay, faults.delay_s = faults.delay + times, delay_s
            case WatchFault.HALF_OPEN:
                for stream in streams:
                    stream.silent = True
            case WatchFault.CLOSE:
                self._end(streams, b"")
            case WatchFault.ERROR:
                event = {"type": "ERROR", "object": status(code, "injected by the test")}
                self._end(streams, json.dumps(event).encode() + b"\n")

    def watching(self, kind: Kind) -> int:
        """How many watches of the kind are open."""
        return sum(stream.plural == kind.plural for stream in self._streams)

    def _end(self, streams: list[_Stream], last: bytes) -> None:
        for stream in streams:
            if not stream.ending.done():
                stream.ending.set_result(last)

    # Serving

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        self._open = {transport for transport in self._open if not transport.is_closing()} | {request.transport}
        target, url = Target.of(request.path), request.path_qs
        self.requests.append((request.method, url))
        watch = request.query.get("watch") in ("true", "1")
        if planned := self._planned("WATCH" if watch else request.method, target.plural):
            return planned
        if watch:
            try:
                return await self._watch(request, target)
            except (aiohttp.ClientError, ConnectionError):
                return _gone(request)
        # A sent request arrives, whether or not the client is still alive.
        return await asyncio.shield(asyncio.ensure_future(self._once(request, target, url)))

    async def _once(self, request: web.BaseRequest, target: Target, url: str) -> web.StreamResponse:
        mutation = self._note(request, target)
        if mutation is not None and self._due(before=True):
            return self._break(request)
        body = await request.read()
        listed = request.method == "GET" and not target.name
        if listed and url in self._stale.get(target.plural, {}):
            return web.Response(body=self._stale[target.plural][url], content_type="application/json")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            async with self._session.request(
                request.method, self._upstream.server + url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.read()
        except aiohttp.ClientError:
            return _gone(request)
        if listed and response.status == 200:
            self._lists[url] = answer
        if mutation is not None:
            mutation.code = response.status
            if self._due(before=False):
                return self._break(request)
        passed = {name: value for name, value in response.headers.items() if name.lower() not in _HOP_BY_HOP}
        return web.Response(status=response.status, body=answer, headers=passed)

    def _note(self, request: web.BaseRequest, target: Target) -> Mutation | None:
        dry_run = "dryRun" in request.query
        if request.method not in _WRITES or dry_run or target.plural in _REVIEWS:
            return None
        mutation = Mutation(request.method, target.plural, target.namespace, target.name, target.subresource)
        self.mutations.append(mutation)
        if self._cut is not None:
            self._cut.after -= 1
        return mutation

    def _due(self, *, before: bool) -> bool:
        return self._cut is not None and self._cut.after <= 0 and self._cut.before == before

    def _break(self, request: web.BaseRequest) -> web.Response:
        assert self._cut is not None
        everything, self._cut = self._cut.everything, None
        self.happened.set()
        if everything:
            self.abort_connections()
        return _gone(request)

    def _planned(self, method: str, plural: str) -> web.Response | None:
        planned = self._answers.get((method, plural))
        if planned is None or planned.left <= 0:
            return None
        planned.left -= 1
        headers = {} if planned.retry_after_s is None else {"Retry-After": str(planned.retry_after_s)}
        return web.json_response(status(planned.code, "injected by the test"), status=planned.code, headers=headers)

    async def _watch(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with self._session.get(self._upstream.server + request.path_qs, headers=headers) as upstream:
            answer = web.StreamResponse(status=upstream.status, headers={"Content-Type": "application/json"})
            await answer.prepare(request)
            stream = _Stream(target.plural)
            self._streams.add(stream)
            try:
                async for line in _lines(upstream, stream.ending):
                    await self._pass_on(answer, stream, line)
            finally:
                self._streams.discard(stream)
            if stream.silent:
                # Until the client gives up or the proxy ends.
                await asyncio.get_running_loop().create_future()
            await answer.write_eof()
        return answer

    async def _pass_on(self, answer: web.StreamResponse, stream: _Stream, line: bytes) -> None:
        if stream.silent:
            return
        faults = self._faults[stream.plural]
        copies = 1
        if b'"type":"BOOKMARK"' not in line and b'"type": "ERROR"' not in line:
            if faults.drop:
                faults.drop -= 1
                return
            if faults.duplicate:
                faults.duplicate -= 1
                copies = 2
            if faults.delay:
                faults.delay -= 1
                await asyncio.sleep(faults.delay_s)
        for _ in range(copies):
            await answer.write(line)


async def _lines(upstream: aiohttp.ClientResponse, ending: asyncio.Future[bytes]) -> AsyncIterator[bytes]:
    """Yield whole lines until the server ends the stream, or the last one that a test has put there."""
    while True:
        reading = asyncio.ensure_future(upstream.content.readline())
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
        if ending.done():
            if ending.result():
                yield ending.result()
            return
        line = reading.result()
        if not line:
            return
        yield line


def _gone(request: web.BaseRequest) -> web.Response:
    """Break the client's connection; the returned response is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
