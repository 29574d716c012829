"""A scripted stack as a service: its state outlives an operator's process that is killed."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from support.cluster.controller_fixture import ScriptedStack
from titan.domain.enums import Posture
from titan_operator.stack.view import Ack, StackView


class ScriptedStackService:
    """Serves the scripted stacks of a test, by namespace. An asynchronous context manager."""

    def __init__(self) -> None:
        self.stacks: dict[str, ScriptedStack] = {}
        self.address = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        _, namespace, call = request.path.split("/")
        stack, said = self.stacks[namespace], msgspec.json.decode(await request.read())
        answer: StackView | Ack
        match call:
            case "ask":
                answer = await stack.query(said["addresses"])
            case "ceiling":
                answer = await stack.set_ceiling("", Posture[said["posture"]], said["policy_hash"])
            case "act":
                answer = await stack.act("", Posture[said["posture"]], said["by"], said["reason"], said["nonce"])
            case _:
                answer = await stack.tighten("", Posture[said["posture"]], said["by"], said["reason"])
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


class RemoteScriptedStack:
    """Client of a scripted stack, in place of an operator's client of a stack's processes."""

    def __init__(self, address: str, namespace: str) -> None:
        self._url = f"{address}/{namespace}"
        self._session: aiohttp.ClientSession | None = None

    async def query(self, addresses: Mapping[str, str], timeout_s: float = 2.0) -> StackView:
        try:
            return msgspec.json.decode(await self._post("ask", addresses=dict(addresses)), type=StackView)
        except (aiohttp.ClientError, TimeoutError) as error:
            return StackView(None, None, dict.fromkeys(("brain", "execution"), f"no answer: {error!r}"))

    async def set_ceiling(self, address: str, ceiling: Posture, policy_hash: str) -> Ack:
        return await self._send("ceiling", posture=ceiling.name, policy_hash=policy_hash)

    async def act(self, address: str, posture: Posture, by: str, reason: str, nonce: str) -> Ack:
        return await self._send("act", posture=posture.name, by=by, reason=reason, nonce=nonce)

    async def tighten(self, address: str, posture: Posture, by: str, reason: str) -> Ack:
        return await self._send("tighten", posture=posture.name, by=by, reason=reason)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _send(self, call: str, **said: str) -> Ack:
        try:
            return msgspec.json.decode(await self._post(call, **said), type=Ack)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Ack(False, "UNAVAILABLE", f"no answer: {error!r}")

    async def _post(self, call: str, **said: Any) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        async with self._session.post(f"{self._url}/{call}", data=msgspec.json.encode(said)) as answer:
            answer.raise_for_status()
            return await answer.read()
