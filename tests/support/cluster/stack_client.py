"""The operator's client for stacks that tests run: processes in this one, or a whole ``titan up``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.stack.local_processes import Stack
from support.stack.titan_up import LocalStack
from titan.runtime.pki.certificate_files import ensure_ca, issue
from titan.runtime.telemetry.logs import get_logger
from titan_operator.stack.client import StackClient


@asynccontextmanager
async def client_for(stack: Stack) -> AsyncIterator[StackClient]:
    """A client of processes that a test runs with ``stack.settings(…)``; their addresses are ``stack.peers``."""
    client = StackClient(stack.name, stack.tls("operator"), get_logger("operator"))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def client_of_local(stack: LocalStack, directory: Path) -> AsyncIterator[tuple[StackClient, dict[str, str]]]:
    """A client of a ``titan up``, with a certificate of its authority in ``directory``, and the addresses by role."""
    issue(ensure_ca(stack.state / "ca"), "operator", "local", directory)
    client = StackClient("local", directory, get_logger("operator"))
    try:
        yield client, json.loads((stack.state / "plan.json").read_text())["addresses"]
    finally:
        await client.close()
