"""What becomes of the objects of a kind, by a watch of the test's own: past the proxy, and past the operator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from support.connectors import ending_connector
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.resource_kinds import Kind


async def events(admin: Cluster, kind: Kind, namespace: str) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
    """Events and objects of a namespace for ever, those of a list as ADDED; None is before each list.

    What happens while the API server is away is seen by the list after it.
    """
    connection = admin.connection
    connector = ending_connector(connection.ssl_context())
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**22) as session:
        while True:
            try:
                listed = await admin.list(kind, namespace)
                yield None
                for item in listed:
                    yield "ADDED", item
                query = {"watch": "1", "resourceVersion": listed.resource_version}
                url = connection.server + kind.path("", namespace)
                async with session.get(url, params=query, timeout=aiohttp.ClientTimeout(total=None)) as stream:
                    async for line in stream.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        yield event["type"], event["object"]
            except (aiohttp.ClientError, ConnectionError):
                # The API server is on its way out or in.
                await asyncio.sleep(0.1)
