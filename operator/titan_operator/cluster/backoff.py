"""Backoff by object: a failed write delays the next try of that object only, longer each time."""

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
    """Delays by object.

    Parameters
    ----------
    clock_s
        Monotonic seconds.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._waits: dict[tuple[str, str], _Wait] = {}

    def failed(self, kind: str, name: str, why: str) -> float:
        """Record a failure; return the delay until the next try, in seconds."""
        before = self._waits.get((kind, name))
        delay_s = FIRST_S if before is None else min(2 * before.delay_s, LAST_S)
        self._waits[kind, name] = _Wait(self._clock_s() + delay_s, delay_s, why)
        return delay_s

    def done(self, kind: str, name: str) -> None:
        """Record a success."""
        self._waits.pop((kind, name), None)

    def waits(self, kind: str, name: str) -> str:
        """Return why the object is delayed now; empty where it may be tried."""
        wait = self._waits.get((kind, name))
        return wait.why if wait is not None and self._clock_s() < wait.until_s else ""

    def next_s(self) -> float:
        """Return the seconds until the first object may be tried again; infinite where none waits."""
        now_s = self._clock_s()
        return min((max(0.0, wait.until_s - now_s) for wait in self._waits.values()), default=float("inf"))

    def forget(self, present: set[tuple[str, str]]) -> None:
        """Drop all objects that are not ``present``: nothing writes them any more."""
        self._waits = {key: wait for key, wait in self._waits.items() if key in present}
