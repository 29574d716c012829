from __future__ import annotations

import pytest
from testcluster.ports import free_ports

from titan.cli.local.health import Health, fetch_health, parse_health

NO_ANSWER = Health(False, ("its /health is not the answer of a process of this stack",))


@pytest.mark.parametrize(
    ("description", "answer", "health"),
    [
        ("ready", b'HTTP/1.1 200 OK\r\n\r\n{"status": "ok", "reasons": []}', Health(True)),
        (
            "not ready, with reasons",
            b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"reasons": ["no feed", "no venue"]}',
            Health(False, ("no feed", "no venue")),
        ),
        ("somebody else's server", b"HTTP/1.1 404 Not Found\r\n\r\n<html>", NO_ANSWER),
        ("JSON of somebody else", b"HTTP/1.1 503 Busy\r\n\r\n[]", NO_ANSWER),
        ("closed without an answer", b"", NO_ANSWER),
    ],
)
def test_parse_health(description: str, answer: bytes, health: Health) -> None:
    assert parse_health(answer) == health


async def test_closed_port() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert await fetch_health(url) == Health(False, (f"does not listen at {url}",))
