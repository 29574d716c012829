"""A trap: one side's level with its tripwire, and the crossing test from inside."""

from __future__ import annotations

from titan.domain.enums import Side
from titan.strategies.scavenger.structure import Level


class Trap:
    """Armed by a trade inside the level, tripped by the first trade at or beyond the tripwire.

    Then only a trade inside arms it again: a touch from outside does not trip, and one crossing trips once.
    """

    __slots__ = ("_direction", "_inside", "_wire", "armed", "level", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.level: Level | None = None
        self.armed = False
        # Prices times direction, so that "beyond" is "greater" on both sides.
        self._direction = float(side.sign)
        self._inside = self._wire = 0.0

    def set_level(self, level: Level | None, last_price: float, tripwire_bps: float) -> None:
        """Move the trap; it is armed if the last trade was inside the new level."""
        self.level = level
        if level is None:
            self.armed = False
            return
        self._inside = level.price * self._direction
        self._wire = level.price * (1.0 + self._direction * tripwire_bps / 10_000) * self._direction
        self.armed = last_price > 0.0 and last_price * self._direction < self._inside

    @property
    def wire_price(self) -> float:
        """The tripwire, in quote units; 0 without a level."""
        return self._wire * self._direction if self.level is not None else 0.0

    def crossed(self, price: float) -> bool:
        """Whether this trade, the next in order, trips the trap."""
        if self.level is None:
            return False
        directed = price * self._direction
        if not self.armed:
            self.armed = directed < self._inside
            return False
        # A wire at the level itself is crossed by exceeding it, not by touching it.
        if directed < self._wire or directed <= self._inside:
            return False
        self.armed = False
        return True
