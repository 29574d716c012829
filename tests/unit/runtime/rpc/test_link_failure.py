"""A link or feed whose handler is defective ends the process; one that is stopped does not."""

from __future__ import annotations

import asyncio
from typing import Any

from titan.runtime.rpc.link import end_process_if_broken


async def ended(work: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    try:
        task = loop.create_task(work, name="link Brain.Submit")
        task.add_done_callback(end_process_if_broken)
        await asyncio.wait([task], timeout=0.01)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(before)
    return told


async def test_a_defect_ends_the_process() -> None:
    async def defective() -> None:
        raise KeyError("symbol")

    (context,) = await ended(defective())
    assert context["ends_process"] is True
    assert context["message"] == "link Brain.Submit broke (KeyError): 'symbol'"


async def test_a_stop_does_not() -> None:
    assert await ended(asyncio.Event().wait()) == []
