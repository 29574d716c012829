"""Spot trades around a trip: their aggressor side and volume."""

from __future__ import annotations

from collections import deque

import msgspec

from titan.domain.enums import Side


class FlowMeasure(msgspec.Struct, frozen=True):
    """Taker volume of a window: ``imbalance`` in [-1, 1], positive in the given direction; ``quantity`` in base units.

    ``takers`` counts orders, not prints: prints of one side at one venue time are one taker walking the book.
    """

    imbalance: float
    takers: int
    quantity: float


class TakerFlow:
    """A short memory of one symbol's trades on the market clock."""

    __slots__ = ("_keep_ns", "_trades")

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self._trades: deque[tuple[int, int, float]] = deque()

    def add(self, now_ns: int, venue_ns: int, side: Side, quantity: float) -> None:
        """Add one trade; ``quantity`` in base units. Trades older than the memory are dropped."""
        trades = self._trades
        trades.append((now_ns, venue_ns or now_ns, quantity if side is Side.BUY else -quantity))
        oldest = now_ns - self._keep_ns
        while trades[0][0] < oldest:
            trades.popleft()

    def measure(self, from_ns: int, to_ns: int, side: Side) -> FlowMeasure:
        """Measure trades with ``from_ns <= market time < to_ns``, each once, as seen from ``side``."""
        net = gross = 0.0
        takers = 0
        last: tuple[int, bool] | None = None
        for now_ns, venue_ns, signed in self._trades:
            if not from_ns <= now_ns < to_ns:
                continue
            net += signed
            gross += abs(signed)
            taker = (venue_ns, signed > 0.0)
            if taker != last:
                takers += 1
                last = taker
        return FlowMeasure(side.sign * net / gross if gross > 0.0 else 0.0, takers, gross)

    def forget(self) -> None:
        """Clear the history."""
        self._trades.clear()
