"""Wait in a test for a state that comes by messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE_S = 60.0


async def until(condition: Callable[[], object], state: str | Callable[[], object]) -> None:
    """Wait until ``condition`` holds; fail with the name of the awaited state when it does not."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        missing = state() if callable(state) else state
        raise AssertionError(f"waited {PATIENCE_S} s in vain: {missing}") from None
