"""A process's HTTP side: ``/health``, ``/live``, ``/metrics``, ``/status``. Read only; h11 implements the protocol.

A web framework would cost a phase more memory than all the rest of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import h11

from titan.runtime.telemetry.logs import Log

# (status, content type, body)
Page = tuple[HTTPStatus, str, bytes]
_IDLE_SECONDS = 30.0
_MAX_REQUEST_BYTES = 16_384


class HttpServer:
    """Serves a handful of pages that are computed on request."""

    def __init__(self, pages: dict[str, Callable[[], Page]], log: Log) -> None:
        self._pages = pages
        self._log = log
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, bind: str, port: int) -> None:
        """Listen.

        Raises
        ------
        OSError
            When the address is taken or not local.
        """
        self._server = await asyncio.start_server(self._serve, bind, port, reuse_address=True)

    async def stop(self) -> None:
        """Close; open connections end with their answer."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_REQUEST_BYTES)
        try:
            while await self._answer(connection, reader, writer):
                pass
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError) as error:
            self._log.debug("http client disconnected", error=str(error))
        finally:
            writer.close()

    async def _answer(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(_IDLE_SECONDS):
                    connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                return False
        assert request is not None
        status, content_type, body = self._page(request)
        head = h11.Response(
            status_code=status.value,
            headers=[("content-type", content_type), ("content-length", str(len(body))), ("cache-control", "no-store")],
            reason=status.phrase.encode(),
        )
        for part in (head, h11.Data(data=b"" if request.method == b"HEAD" else body), h11.EndOfMessage()):
            writer.write(connection.send(part) or b"")
        await writer.drain()
        if connection.our_state is not h11.DONE:
            return False
        connection.start_next_cycle()
        return True

    def _page(self, request: h11.Request) -> Page:
        if request.method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET is served here\n"
        path = request.target.split(b"?")[0].decode("ascii", "replace")
        page = self._pages.get(path)
        if page is None:
            return HTTPStatus.NOT_FOUND, "text/plain", f"served here: {', '.join(self._pages)}\n".encode()
        return page()
