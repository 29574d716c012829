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
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from titan.runtime.contract import Method
from titan.runtime.identity import Identity, IdentityFiles, channel_credentials, server_credentials
from titan.runtime.logs import Log
from titan.runtime.outbox import Outbox
from titan.runtime.rpc_options import CLIENT_OPTIONS, SERVER_OPTIONS
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry import Metrics
from titan.runtime.topology import CALLERS, may_call

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

DOMAIN = "titan.internal"
# Calls that are under way on a connection that was replaced may end by themselves for so long.
_RETIRE_S = 10.0
_FIRST_MESSAGE_S = 1.0
_ROLE_HEADER = "titan-role"


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
        if method.streaming:
            # A refusal that overtakes the caller's first message reaches it as gRPC's own "internal error".
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(context.read(), _FIRST_MESSAGE_S)
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
            # nobody canceled the reading task itself is that an end of the stream.
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

    async def finish(self, timeout_s: float) -> None:
        """Send nothing more; what was posted still arrives, and what the peer has to say is still read.

        Returns when the stream has ended. A peer that goes on for longer than ``timeout_s`` is cut off.
        """
        ended = asyncio.ensure_future(self._call.code())
        try:
            async with asyncio.timeout(timeout_s):
                await self._outbox.flush()
                await self._call.done_writing()
                await asyncio.shield(ended)
        except (TimeoutError, asyncio.InvalidStateError, grpc.aio.AioRpcError):
            self._call.cancel()
            await asyncio.wait([ended])

    def close(self) -> None:
        """End the stream at once."""
        self._call.cancel()


class RpcChannel:
    """A connection of its own to one role; calls use the newest certificate, a stream the one that it began with."""

    def __init__(self, settings: ProcessSettings, role: str, address: str | None = None) -> None:
        target = address or settings.peers.get(role, "")
        if not target:
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, f"peers: no address for {role!r}")
        self.role = role
        self.target = target
        self._metadata = ((_ROLE_HEADER, settings.role),) if settings.identity == "plain" else None
        self._files = IdentityFiles(Path(settings.tls_dir)) if settings.identity == "mtls" else None
        # Counts the connections that were made one after another.
        self.generation = 0
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._identity, self._channel = self._dial()

    @property
    def outdated(self) -> bool:
        """Whether our certificate was replaced since the connection was made."""
        return self._files is not None and self._files.now is not self._identity

    @property
    def identity_problem(self) -> str:
        """Why our certificate cannot be read again; empty when it can."""
        return self._files.problem if self._files is not None else ""

    async def renew(self, timeout_s: float = 5.0) -> None:
        """Connect with the newest certificate; streams that are open stay on the connection that they have.

        Raises
        ------
        RpcError
            When the peer cannot be reached with it; everything stays as it is.
        """
        identity, channel = self._dial()
        try:
            async with asyncio.timeout(timeout_s):
                await channel.channel_ready()
        except TimeoutError as error:
            await channel.close()
            message = f"{self.role} at {self.target} cannot be reached with the new certificate"
            raise RpcError(grpc.StatusCode.UNAVAILABLE, message) from error
        self._replace(identity, channel)

    async def call(self, method: Method[Req, Resp], request: Req, timeout_s: float = 5.0) -> Resp:
        """Call a unary method.

        Raises
        ------
        RpcError
            With the code and message of the failure.
        """
        stub = self._newest().unary_unary(
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
        stub = self._newest().stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return ClientStream(stub(metadata=self._metadata))

    async def close(self) -> None:
        """Close the connection."""
        retiring = list(self._retiring.items())
        for task, _ in retiring:
            task.cancel()
        for channel in (self._channel, *(channel for _, channel in retiring)):
            await channel.close()

    def _dial(self) -> tuple[Identity | None, grpc.aio.Channel]:
        if self._files is None:
            return None, grpc.aio.insecure_channel(self.target, options=CLIENT_OPTIONS)
        identity = self._files.now
        # The name is the role's: a certificate of the same CA for another role is refused here.
        options = [*CLIENT_OPTIONS, ("grpc.ssl_target_name_override", f"{self.role}.{DOMAIN}")]
        return identity, grpc.aio.secure_channel(self.target, channel_credentials(identity), options=options)

    def _newest(self) -> grpc.aio.Channel:
        if self.outdated:
            self._replace(*self._dial())
        return self._channel

    def _replace(self, identity: Identity | None, channel: grpc.aio.Channel) -> None:
        retired = asyncio.get_running_loop().create_task(self._channel.close(_RETIRE_S))
        self._retiring[retired] = self._channel
        retired.add_done_callback(lambda task: self._retiring.pop(task, None))
        self._identity, self._channel = identity, channel
        self.generation += 1
