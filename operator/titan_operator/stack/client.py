"""The operator's client of one stack's processes, over their own mTLS gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import InvalidOperation
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from titan.domain.enums import Posture
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import (
    BRAIN_GET_BRAIN,
    BRAIN_SET_CEILING,
    BRAIN_SET_POSTURE,
    EXECUTION_GET_EXECUTION,
    EXECUTION_REBASE_PEAK,
    EXECUTION_TIGHTEN,
    Method,
)
from titan.runtime.rpc.errors import RpcError
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.v1 import brain_pb2, execution_pb2
from titan_operator.stack.responses import act_ack, brain_view, ceiling_ack, execution_view, rebase_ack, tighten_ack
from titan_operator.stack.view import Ack, BrainView, ExecutionView, StackView

ROLE = "operator"
BRAIN, EXECUTION = "brain", "execution"
# Brain answers an act after Execution's answer, or after waiting for it in vain.
ACT_TIMEOUT_S = 10.0

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)
View = TypeVar("View", BrainView, ExecutionView)


class StackClient:
    """Connections to one stack's Brain and Execution, by the present addresses of their pods.

    A process that does not answer, refuses or sends an unreadable response is a sentence in the result, never an
    exception.

    Parameters
    ----------
    identity_dir
        Holds ``ca.pem``, ``cert.pem`` and ``key.pem`` of the role ``operator`` of this stack; read again when replaced.
    """

    def __init__(self, namespace: str, identity_dir: Path, log: Log) -> None:
        self._namespace = namespace
        self._log = log.bind(namespace=namespace)
        self._settings = ProcessSettings(role=ROLE, http_port=0, state_dir=str(identity_dir), tls_dir=str(identity_dir))
        self._channels: dict[str, RpcChannel] = {}
        self._problems: dict[str, str] = {}

    async def query(self, addresses: Mapping[str, str], timeout_s: float = 2.0) -> StackView:
        """Query both processes concurrently.

        Parameters
        ----------
        addresses
            Role to ``host:port``; a role without one is not queried, and is a problem of the view.
        """
        brain, execution = await asyncio.gather(
            self._query_process(BRAIN, addresses, BRAIN_GET_BRAIN, brain_pb2.GetBrainRequest(), brain_view, timeout_s),
            self._query_process(
                EXECUTION,
                addresses,
                EXECUTION_GET_EXECUTION,
                execution_pb2.GetExecutionRequest(),
                execution_view,
                timeout_s,
            ),
        )
        problems = {
            role: answer for role, answer in ((BRAIN, brain), (EXECUTION, execution)) if isinstance(answer, str)
        }
        for role in (BRAIN, EXECUTION):
            problem = problems.get(role, "")
            if problem != self._problems.get(role, ""):
                self._problems[role] = problem
                self._log.info("stack process answers" if not problem else "stack process query failed", role=role)
        return StackView(
            brain=brain if isinstance(brain, BrainView) else None,
            execution=execution if isinstance(execution, ExecutionView) else None,
            problems=problems,
        )

    async def set_ceiling(self, address: str, ceiling: Posture, policy_hash: str) -> Ack:
        """Send the resource's ceiling to Brain; a Brain that enforces another policy refuses it."""
        request = brain_pb2.SetCeilingRequest(
            ceiling=ceiling.value,  # type: ignore[arg-type]
            by=ROLE,
            policy_hash=policy_hash,
            reason=f"the resources of {self._namespace} allow {ceiling.name}",
        )
        return await self._send(BRAIN, address, BRAIN_SET_CEILING, request, ceiling_ack)

    async def act(self, address: str, posture: Posture, by: str, reason: str, nonce: str) -> Ack:
        """Send a person's act to Brain. Only ARMED raises; any other act succeeds where the latch is lower already.

        Brain answers an act whose nonce it has carried out before with ``NONCE_USED``.
        """
        request = brain_pb2.SetPostureRequest(
            posture=posture.value,  # type: ignore[arg-type]
            by=by,
            reason=reason,
            nonce=nonce,
            tighten_only=posture is not Posture.ARMED,
        )
        return await self._send(BRAIN, address, BRAIN_SET_POSTURE, request, act_ack)

    async def tighten(self, address: str, posture: Posture, by: str, reason: str) -> Ack:
        """Lower Execution's own latch to ``posture`` at most, also while Brain is away."""
        request = execution_pb2.TightenRequest(
            posture=posture.value,  # type: ignore[arg-type]
            by=by,
            reason=reason,
        )
        return await self._send(EXECUTION, address, EXECUTION_TIGHTEN, request, tighten_ack)

    async def rebase(self, address: str, by: str, reason: str, nonce: str) -> Ack:
        """Send a person's rebase of the peak to Execution, which carries each nonce out once."""
        request = execution_pb2.RebasePeakRequest(by=by, reason=reason, nonce=nonce)
        return await self._send(EXECUTION, address, EXECUTION_REBASE_PEAK, request, rebase_ack)

    async def close(self) -> None:
        """Close every connection."""
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    async def _query_process(
        self,
        role: str,
        addresses: Mapping[str, str],
        method: Method[Req, Resp],
        request: Req,
        read: Callable[[Resp], View],
        timeout_s: float,
    ) -> View | str:
        address = addresses.get(role, "")
        if not address:
            return f"{role} has no address yet"
        try:
            answer = await (await self._channel(role, address)).call(method, request, timeout_s)
            return read(answer)
        except RpcError as error:
            return f"{role} at {address} does not answer: {_first_line(error)}"
        except OSError as error:
            return f"{role} at {address} cannot be queried: {error}"
        except (ValueError, InvalidOperation) as error:
            return f"{role} at {address} sent an unreadable response: {error}"

    async def _send(
        self, role: str, address: str, method: Method[Req, Resp], request: Req, read: Callable[[Resp], Ack]
    ) -> Ack:
        try:
            answer = await (await self._channel(role, address)).call(method, request, ACT_TIMEOUT_S)
        except RpcError as error:
            sentence = f"{role} at {address}: {_first_line(error)}"
            return Ack(done=False, reason=error.code.name, message=sentence, reached=not error.unavailable)
        except OSError as error:
            return Ack(False, "NO_CERTIFICATE", f"{role} at {address} cannot be reached: {error}", reached=False)
        return read(answer)

    async def _channel(self, role: str, address: str) -> RpcChannel:
        channel = self._channels.get(role)
        if channel is not None and channel.target != address:
            # The pod was replaced.
            del self._channels[role]
            await channel.close()
            channel = None
        if channel is None:
            channel = self._channels[role] = RpcChannel(self._settings, role, address)
        return channel


def _first_line(error: RpcError) -> str:
    return f"{error.code.name}: {error.message.splitlines()[0] if error.message else 'no connection'}"
