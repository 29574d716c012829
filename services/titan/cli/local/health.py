"""Readiness of a local process, from its HTTP port."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Health:
    """One answer of ``/health``. ``reasons`` explain a process that is not ready; empty where it is ready."""

    ready: bool
    reasons: tuple[str, ...] = ()


async def fetch_health(base_url: str, path: str = "/health") -> Health:
    """Fetch the health of the process at ``base_url``; a process that does not answer is not ready."""
    address = urlsplit(base_url)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                answer = await reader.read()
            finally:
                writer.close()
    except TimeoutError:
        return Health(False, (f"does not answer at {base_url} within {_TIMEOUT_S:g} s",))
    except OSError:
        return Health(False, (f"does not listen at {base_url}",))
    return parse_health(answer)


def parse_health(answer: bytes) -> Health:
    """Parse an HTTP answer of ``/health``."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status == [b"200"]:
        return Health(True)
    try:
        document = json.loads(body)
        reasons = tuple(str(reason) for reason in document["reasons"])
    except (ValueError, KeyError, TypeError):
        return Health(False, ("its /health is not the answer of a process of this stack",))
    return Health(False, reasons)
