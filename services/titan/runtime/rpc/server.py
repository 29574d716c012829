"""gRPC between processes: mutual TLS, the role in the peer's certificate, and long-lived streams.

Every server checks every call against :mod:`titan.runtime.topology`. On the order path there is one bidirectional
stream an edge, and messages are posted to it synchronously: no await, no thread between a decision and its send.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import grpc
import grpc.aio

from titan.runtime.pki.identity import IdentityFiles, server_credentials
from titan.runtime.rpc.contract import Method, Req, Resp
from titan.runtime.rpc.errors import PortTakenError, RpcRefused
from titan.runtime.rpc.options import ROLE_HEADER, SERVER_OPTIONS
from titan.runtime.rpc.send_queue import SendQueue
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.topology import CALLERS, may_call

_FIRST_MESSAGE_S = 1.0


@dataclass(frozen=True)
class Peer:
    """The caller: its role by certificate, and its address for the log."""

    role: str
    address: str


class ServerStream(Generic[Req, Resp]):
    """The server's side of one stream."""

    def __init__(self, peer: Peer, context: Any) -> None:
        self.peer = peer
        self.closed = False
        self._context = context
        self._task = asyncio.current_task()
        self._outbox = SendQueue(context.write, lambda _error: self.close())

    @property
    def pending(self) -> int:
        """Messages posted and not yet taken by the transport."""
        return self._outbox.pending

    def post(self, response: Resp) -> None:
        """Send ``response`` after all posted before it."""
        self._outbox.post(response)

    async def flush(self) -> None:
        """Return when all that was posted has been taken by the transport."""
        await self._outbox.flush()

    def close(self) -> None:
        """End the stream from this side: its handler is canceled, and the caller sees a plain end."""
        if not self.closed:
            self.closed = True
            if self._task is not None:
                self._task.cancel()

    async def __aiter__(self) -> AsyncIterator[Req]:
        while True:
            request = await self._context.read()
            if request is grpc.aio.EOF:
                return
            yield request


class RpcServer:
    """Serves the methods of one role. A method without a handler is UNIMPLEMENTED."""

    def __init__(self, settings: ProcessSettings, metrics: Metrics, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._handlers: dict[str, grpc.RpcMethodHandler] = {}
        self._streams: set[ServerStream[Any, Any]] = set()
        self._refused = metrics.counter("titan_rpc_refused", "Calls and connections refused, by cause.", ["cause"])
        self._server: grpc.aio.Server | None = None
        self.port = settings.grpc_port

    def unary(self, method: Method[Req, Resp], handle: Callable[[Req, Peer], Awaitable[Resp]]) -> None:
        """Serve a unary method. ``handle`` may raise :class:`RpcRefused`."""

        async def serve(request: Req, context: Any) -> Resp:
            peer = await self._admit(method, context)
            try:
                return await handle(request, peer)
            except RpcRefused as refused:
                await context.abort(refused.code, str(refused))
                raise

        self._handlers[method.path] = grpc.unary_unary_rpc_method_handler(
            serve, request_deserializer=method.request.FromString, response_serializer=method.response.SerializeToString
        )

    def stream(self, method: Method[Req, Resp], handle: Callable[[ServerStream[Req, Resp]], Awaitable[None]]) -> None:
        """Serve a bidirectional stream; it ends when ``handle`` returns."""

        async def serve(_requests: AsyncIterator[Req], context: Any) -> None:
            peer = await self._admit(method, context)
            stream: ServerStream[Req, Resp] = ServerStream(peer, context)
            self._streams.add(stream)
            try:
                await handle(stream)
                await stream.flush()
            except RpcRefused as refused:
                await context.abort(refused.code, str(refused))
            except asyncio.CancelledError:
                # This side ended the stream: the caller sees a plain end. Otherwise the caller disconnected.
                if not stream.closed:
                    raise
            finally:
                stream.closed = True
                self._streams.discard(stream)

        self._handlers[method.path] = grpc.stream_stream_rpc_method_handler(
            serve, request_deserializer=method.request.FromString, response_serializer=method.response.SerializeToString
        )

    async def start(self) -> None:
        """Listen on the settings' address (port 0: any free one, then in ``port``).

        Raises
        ------
        PortTakenError
            When the address is taken.
        """
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((_Router(self._handlers),))
        address = f"{self._settings.bind}:{self.port}"
        try:
            if self._settings.identity == "plain":
                self.port = server.add_insecure_port(address)
            else:
                credentials = server_credentials(IdentityFiles(Path(self._settings.tls_dir)))
                self.port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise PortTakenError(f"grpc_port: {address} cannot be served on: it is taken or not local") from error
        await server.start()
        self._server = server

    async def stop(self, grace_s: float = 1.0) -> None:
        """End all streams, then stop."""
        for stream in list(self._streams):
            stream.close()
        if self._server is not None:
            await self._server.stop(grace_s)

    async def _admit(self, method: Method[Any, Any], context: Any) -> Peer:
        role = self._role_of(context)
        if may_call(role, method.path):
            return Peer(role, context.peer())
        self._refused.labels("forbidden_edge").inc()
        allowed = ", ".join(CALLERS.get(method.path, ())) or "nobody"
        message = f"{role or 'a caller without a role'} may not call {method.label}; allowed: {allowed}"
        self._log.warning("call refused", caller=role, address=context.peer(), method=method.label, allowed=allowed)
        if method.streaming:
            # A refusal that overtakes the caller's first message arrives as gRPC's own "internal error".
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(context.read(), _FIRST_MESSAGE_S)
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        raise RpcRefused(grpc.StatusCode.PERMISSION_DENIED, message)

    def _role_of(self, context: Any) -> str:
        if self._settings.identity == "plain":
            return str(dict(context.invocation_metadata() or ()).get(ROLE_HEADER, ""))
        names = context.auth_context().get("x509_common_name", [])
        return names[0].decode("utf-8", "replace") if names else ""


class _Router(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)
