"""gRPC between processes: mutual TLS, the role in the peer's certificate, and long-lived streams.

Every server checks every call against :mod:`titan.runtime.topology`. On the order path there is one bidirectional
stream an edge, and messages are posted to it synchronously: no await, no thread between a decision and its send.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from titan.runtime.contract import Method
from titan.runtime.logs import Log
from titan.runtime.outbox import Outbox
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry import Metrics
from titan.runtime.topology import CALLERS, may_call

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

DOMAIN = "titan.internal"
_ROLE_HEADER = "titan-role"
_COMMON_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # A peer that is stopped (SIGSTOP, a frozen node) must be noticed although its socket stays open.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
]
_SERVER_OPTIONS = [
    *_COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
]
_CLIENT_OPTIONS = [
    *_COMMON_OPTIONS,
    # Without it channels to one address share a connection, and market data delays orders.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
]


class RpcError(Exception):
    """A call failed. ``unavailable``: the peer could not be reached, and the same call may succeed later."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def unavailable(self) -> bool:
        """Whether the peer could not be reached or did not answer in time."""
        return self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class RpcRefused(Exception):  # noqa: N818 — a refusal is an answer, not a defect
    """Raised by a handler to answer with a status other than OK."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class PortTakenError(OSError):
    """The address to serve on is taken; the message is one sentence."""


@dataclass(frozen=True)
class Peer:
    """Who calls: its role by certificate, and its address for the log."""

    role: str
    address: str


class ServerStream(Generic[Req, Resp]):
    """The server's side of one stream."""

    def __init__(self, peer: Peer, context: Any) -> None:
        self.peer = peer
        self.closed = False
        self._context = context
        self._task = asyncio.current_task()
        self._outbox = Outbox(context.write, lambda _error: self.close())

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
        """End the stream from this side: its handler is cancelled, and the caller sees a plain end."""
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


def server_credentials(settings: ProcessSettings) -> grpc.ServerCredentials:
    """Credentials that demand a certificate of the stack's own CA from every caller."""
    folder = Path(settings.tls_dir)
    pair = ((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())
    return grpc.ssl_server_credentials([pair], (folder / "ca.pem").read_bytes(), require_client_auth=True)


def channel_credentials(settings: ProcessSettings) -> grpc.ChannelCredentials:
    """Credentials that show our certificate and trust the stack's own CA only."""
    folder = Path(settings.tls_dir)
    return grpc.ssl_channel_credentials(
        (folder / "ca.pem").read_bytes(), (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes()
    )


class RpcServer:
    """Serves the methods of one role. A method nobody registered is UNIMPLEMENTED."""

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
                # Ours to end: the caller sees a plain end. Anything else was the caller going away.
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
        server = grpc.aio.server(options=_SERVER_OPTIONS)
        server.add_generic_rpc_handlers((_Router(self._handlers),))
        address = f"{self._settings.bind}:{self.port}"
        try:
            if self._settings.identity == "plain":
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, server_credentials(self._settings))
        except RuntimeError as error:
            raise PortTakenError(f"grpc_port: {address} cannot be served on: it is taken or not ours") from error
        await server.start()
        self._server = server

    async def stop(self, grace_s: float = 1.0) -> None:
        """End all streams, then stop."""
        for stream in list(self._streams):
            stream.close()
        if self._server is not None:
            await self._server.stop(grace_s)

    def count_refused(self, cause: str) -> None:
        """Count a refusal that happened below us, in the TLS handshake."""
        self._refused.labels(cause).inc()

    async def _admit(self, method: Method[Any, Any], context: Any) -> Peer:
        role = self._role_of(context)
        if may_call(role, method.path):
            return Peer(role, context.peer())
        self._refused.labels("forbidden_edge").inc()
        allowed = ", ".join(CALLERS.get(method.path, ())) or "nobody"
        message = f"{role or 'a caller without a role'} may not call {method.label}; allowed: {allowed}"
        self._log.warning("call refused", caller=role, address=context.peer(), method=method.label, allowed=allowed)
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        raise RpcRefused(grpc.StatusCode.PERMISSION_DENIED, message)

    def _role_of(self, context: Any) -> str:
        if self._settings.identity == "plain":
            return str(dict(context.invocation_metadata() or ()).get(_ROLE_HEADER, ""))
        names = context.auth_context().get("x509_common_name", [])
        return names[0].decode("utf-8", "replace") if names else ""


class _Router(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)


class ClientStream(Generic[Req, Resp]):
    """The client's side of one stream."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._outbox = Outbox(call.write, lambda _error: call.cancel())

    @property
    def pending(self) -> int:
        """Messages posted and not yet taken by the transport."""
        return self._outbox.pending

    def post(self, request: Req) -> None:
        """Send ``request`` after all posted before it."""
        self._outbox.post(request)

    async def flush(self) -> None:
        """Return when all that was posted has been taken by the transport."""
        await self._outbox.flush()

    async def __aiter__(self) -> AsyncIterator[Resp]:
        try:
            while True:
                response = await self._call.read()
                if response is grpc.aio.EOF:
                    break
                yield response
            code = await self._call.code()
            if code is not grpc.StatusCode.OK:
                raise RpcError(code, await self._call.details() or "")
        except grpc.aio.AioRpcError as error:
            raise RpcError(error.code(), error.details() or "") from error
        except asyncio.CancelledError as error:
            # gRPC cancels the reader when the call was ended from this side, as a failed write does. Only where
            # nobody cancelled the reading task itself is that an end of the stream.
            task = asyncio.current_task()
            if not self._call.cancelled() or (task is not None and task.cancelling()):
                raise
            raise RpcError(grpc.StatusCode.CANCELLED, "the stream was ended from this side") from error

    async def wait_connected(self) -> None:
        """Return when the stream is up.

        Raises
        ------
        RpcError
            When it cannot be.
        """
        try:
            await self._call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise RpcError(error.code(), error.details() or "") from error

    def close(self) -> None:
        """End the stream at once."""
        self._call.cancel()


class RpcChannel:
    """A connection of its own to one role."""

    def __init__(self, settings: ProcessSettings, role: str, address: str | None = None) -> None:
        target = address or settings.peers.get(role, "")
        if not target:
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, f"peers: no address for {role!r}")
        self.role = role
        self.target = target
        self._metadata = ((_ROLE_HEADER, settings.role),) if settings.identity == "plain" else None
        if settings.identity == "plain":
            self._channel = grpc.aio.insecure_channel(target, options=_CLIENT_OPTIONS)
        else:
            # The name is the role's: a certificate of the same CA for another role is refused here.
            options = [*_CLIENT_OPTIONS, ("grpc.ssl_target_name_override", f"{role}.{DOMAIN}")]
            self._channel = grpc.aio.secure_channel(target, channel_credentials(settings), options=options)

    async def call(self, method: Method[Req, Resp], request: Req, timeout_s: float = 5.0) -> Resp:
        """Call a unary method.

        Raises
        ------
        RpcError
            With the code and message of the failure.
        """
        stub = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            response: Resp = await stub(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise RpcError(error.code(), error.details() or "") from error
        return response

    def open(self, method: Method[Req, Resp]) -> ClientStream[Req, Resp]:
        """Open a bidirectional stream."""
        stub = self._channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return ClientStream(stub(metadata=self._metadata))

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
