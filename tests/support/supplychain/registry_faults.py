"""Faults of a registry of :mod:`support.supplychain.registry`, each put on a path by ``RegistryServer.fault``."""

from __future__ import annotations

import asyncio

from aiohttp import web

from support.supplychain.registry import Fault, refusal


def answers(content: bytes, media_type: str = "application/json", **headers: str) -> Fault:
    """Answer every request with these bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=content, headers={"Content-Type": media_type, **named})

    return fault


def status(code: int, times: int | None = None, **headers: str) -> Fault:
    """This HTTP status; after ``times`` of it the right answer."""
    left = times
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_request: web.BaseRequest) -> web.Response | None:
        nonlocal left
        if left == 0:
            return None
        left = None if left is None else left - 1
        return refusal(code, "UNKNOWN", named)

    return fault


def hangs() -> Fault:
    """No answer for as long as the client waits."""

    async def fault(_request: web.BaseRequest) -> None:
        await asyncio.Event().wait()

    return fault


def drips(pause_s: float) -> Fault:
    """A byte now and then, for ever: no read is ever long in coming."""

    async def fault(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(pause_s)

    return fault


def floods() -> Fault:
    """Bytes without an end and without saying how many."""

    async def fault(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    return fault


def breaks_off(content: bytes, announced: int, times: int | None = None) -> Fault:
    """Fewer bytes than announced, then the connection ends; after ``times`` of it the right answer."""
    left = times

    async def fault(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal left
        if left == 0:
            return None
        left = None if left is None else left - 1
        return await _raw(request, f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n".encode() + content)

    return fault


def speaks(raw: bytes) -> Fault:
    """These bytes on the connection, whatever they are; then it ends."""

    async def fault(request: web.BaseRequest) -> web.StreamResponse:
        return await _raw(request, raw)

    return fault


async def _raw(request: web.BaseRequest, raw: bytes) -> web.StreamResponse:
    transport = request.transport
    assert transport is not None
    transport.write(raw)
    transport.close()
    # aiohttp requires a response to write; the connection is closed by then.
    return web.Response()


def leads_to(location: str, code: int = 307) -> Fault:
    """A redirect."""

    async def fault(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=code, headers={"Location": location} if location else {})

    return fault
