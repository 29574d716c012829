"""Calls from the command line to a running stack, with the command line's own certificate."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

from titan.cli.errors import BadInput, Refused, Unreachable
from titan.cli.local.state import State, start_command

if TYPE_CHECKING:
    from titan.runtime.rpc.client import RpcChannel
    from titan.runtime.rpc.contract import Method
    from titan.runtime.rpc.errors import RpcError
    from titan.runtime.settings import ProcessSettings

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)
T = TypeVar("T")

ROLE = "cli"


class StackClient:
    """Connections to the roles of one stack, opened on first use; failures are sentences with an exit code."""

    def __init__(self, state: State, peers: dict[str, str]) -> None:
        self.state = state
        self._settings = _settings(state, peers)
        self._channels: dict[str, RpcChannel] = {}

    async def call(self, role: str, method: Method[Req, Resp], request: Req, timeout_s: float = 5.0) -> Resp:
        """Call ``method`` of ``role``.

        Raises
        ------
        Unreachable
            When it does not answer within ``timeout_s`` seconds.
        Refused
            When it answers with a refusal.
        """
        from titan.runtime.rpc.client import RpcChannel
        from titan.runtime.rpc.errors import RpcError

        address = self._settings.peers.get(role)
        if address is None:
            raise Refused(f"the stack in {self.state.path} has no {role}")
        if role not in self._channels:
            self._channels[role] = RpcChannel(self._settings, role)
        try:
            return await self._channels[role].call(method, request, timeout_s)
        except RpcError as error:
            if error.unavailable:
                raise Unreachable(
                    f"{role} does not answer at {address}: {_cause(error, timeout_s)}; `titan logs {role}` shows more"
                ) from error
            raise Refused(f"{role} refused {method.label}: {error.message}") from error

    async def close(self) -> None:
        """Close every connection."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()


def with_stack(state: State, use: Callable[[StackClient], Awaitable[T]]) -> T:
    """Run ``use`` with a client of the stack in ``state``.

    Raises
    ------
    BadInput
        When the directory holds no stack.
    Unreachable
        When no stack runs there.
    """
    peers = peers_of_plan(state)
    if state.supervisor_pid() is None:
        raise Unreachable(f"no stack runs on {state.path}; start it with {start_command(state.path)}")

    async def run() -> T:
        client = StackClient(state, peers)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


def call_stack(state: State, role: str, method: Method[Req, Resp], request: Req, timeout_s: float = 5.0) -> Resp:
    """Make one call to a running stack; raises as :func:`with_stack` and :meth:`StackClient.call` do."""
    return with_stack(state, lambda client: client.call(role, method, request, timeout_s))


def peers_of_plan(state: State) -> dict[str, str]:
    """Read addresses by role from the plan."""
    peers = state.read_plan().get("addresses")
    if not isinstance(peers, dict) or not all(isinstance(value, str) for value in peers.values()):
        raise BadInput(f"{state.plan}: holds no addresses; `titan up` writes it again")
    return peers


def _settings(state: State, peers: dict[str, str]) -> ProcessSettings:
    # gRPC's core would print its own log lines. Failures come back as statuses.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from titan.runtime.settings import ProcessSettings

    for name in ("ca.pem", "cert.pem", "key.pem"):
        if not (state.client / name).is_file():
            raise BadInput(f"{state.client / name}: missing; `titan up` makes this certificate of the command line")
    return ProcessSettings(role=ROLE, http_port=0, state_dir=str(state.path), tls_dir=str(state.client), peers=peers)


def _cause(error: RpcError, timeout_s: float) -> str:
    # gRPC's own text names sockets and retries, and not the process.
    return f"no answer within {timeout_s:g} s" if error.code.name == "DEADLINE_EXCEEDED" else "no connection"
