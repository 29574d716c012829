"""How long an object that could not be written is left alone: longer each time, and others are not held up by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FIRST_S, LAST_S = 0.5, 60.0


@dataclass(frozen=True)
class _Wait:
    until_s: float
    delay_s: float
    why: str


class Backoff:
    """Waits by object.

    Parameters
    ----------
    clock_s
        Monotonic seconds.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._waits: dict[tuple[str, str], _Wait] = {}

    def failed(self, kind: str, name: str, why: str) -> float:
        """It could not be written; return for how long it is left alone, in seconds."""
        before = self._waits.get((kind, name))
        delay_s = FIRST_S if before is None else min(2 * before.delay_s, LAST_S)
        self._waits[kind, name] = _Wait(self._clock_s() + delay_s, delay_s, why)
        return delay_s

    def done(self, kind: str, name: str) -> None:
        """It was written."""
        self._waits.pop((kind, name), None)

    def waits(self, kind: str, name: str) -> str:
        """Why it is left alone now; empty where it may be tried."""
        wait = self._waits.get((kind, name))
        return wait.why if wait is not None and self._clock_s() < wait.until_s else ""

    def next_s(self) -> float:
        """Seconds until the first of them is tried again; infinite where none waits."""
        now_s = self._clock_s()
        return min((max(0.0, wait.until_s - now_s) for wait in self._waits.values()), default=float("inf"))

    def forget(self, present: set[tuple[str, str]]) -> None:
        """Nothing wants the others any more."""
        self._waits = {key: wait for key, wait in self._waits.items() if key in present}
