"""Brain's page of its latest decisions, which ``kubectl titan explain`` reads through the API server."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

import pytest

from support.processes.brain_scene import scene
from support.stack.local_processes import Stack
from titan.cli.cluster.explain import decisions_of, select_decisions
from titan.cli.errors import Refused
from titan.cli.explain import guard_rows
from titan.runtime.http import HttpServer


async def page(server: HttpServer) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/decisions", timeout=30) as response:
            assert response.headers["content-type"] == "application/json"
            listed: dict[str, Any] = json.load(response)
            return listed

    return await asyncio.to_thread(read)


async def test_the_page_holds_each_decision_guard_by_guard(stack: Stack) -> None:
    async with scene(stack) as made:
        server = HttpServer(made.app.pages(), made.app.log)
        await server.start("127.0.0.1", 0)
        try:
            assert decisions_of(await page(server)) == []
            await made.armed()
            approved = await made.phase.submit(intent_id="aaaa-approved")
            refused = await made.phase.submit(intent_id="bbbb-refused", setup_score=0.1)
            listed = decisions_of(await page(server))
        finally:
            await server.stop()
    assert listed == [refused, approved]
    assert select_decisions(listed, None) == [approved, refused]
    assert select_decisions(listed, "bbbb") == [refused]
    assert any(row[4] == "REJECT SCORE_TOO_LOW" for row in guard_rows(listed[0]))


async def test_an_id_prefix_must_match_one_decision(stack: Stack) -> None:
    async with scene(stack) as made:
        await made.armed()
        for name in ("aaaa-1", "aaaa-2"):
            await made.phase.submit(intent_id=name)
        listed = made.app.intent_handler.recent.newest()
    with pytest.raises(
        Refused, match="2 decisions have ids that begin with 'aaaa': aaaa-2, aaaa-1; allowed is a beginning"
    ):
        select_decisions(listed, "aaaa")
    with pytest.raises(Refused, match="none of the last 2 decisions has an id that begins with 'bbbb'"):
        select_decisions(listed, "bbbb")


def test_a_page_of_another_version_is_reported() -> None:
    with pytest.raises(Refused, match="brain's page /decisions is of another version than this program"):
        decisions_of({"decisions": [{"no_such_field": 1}]})
