"""The client side of gRPC: one connection a role, long-lived streams, certificates that are replaced meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Generic

import grpc
import grpc.aio

from titan.runtime.pki.certificates import dns_name
from titan.runtime.pki.identity import Identity, IdentityFiles, channel_credentials
from titan.runtime.rpc.contract import Method, Req, Resp
from titan.runtime.rpc.errors import RpcError
from titan.runtime.rpc.options import CLIENT_OPTIONS, ROLE_HEADER
from titan.runtime.rpc.send_queue import SendQueue
from titan.runtime.settings import ProcessSettings

# Time in which calls on a replaced connection may still end by themselves.
_RETIRE_S = 10.0


class ClientStream(Generic[Req, Resp]):
    """The client's side of one stream."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._outbox = SendQueue(call.write, lambda _error: call.cancel())

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
            # the reading task itself was not canceled is that an end of the stream.
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
        """Stop sending; posted messages still arrive, and the peer's remaining messages are still read.

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
        self._metadata = ((ROLE_HEADER, settings.role),) if settings.identity == "plain" else None
        self._files = IdentityFiles(Path(settings.tls_dir)) if settings.identity == "mtls" else None
        # Number of connections that were made one after another.
        self.generation = 0
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._identity, self._channel = self._dial()

    @property
    def outdated(self) -> bool:
        """Whether our certificate was replaced since the connection was made."""
        return self._files is not None and self._files.now is not self._identity

    @property
    def identity_problem(self) -> str:
        """Cause for which our certificate cannot be read again; empty when it can."""
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
        options = [*CLIENT_OPTIONS, ("grpc.ssl_target_name_override", dns_name(self.role))]
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
