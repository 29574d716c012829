"""How well the venue executes: slippage of entries and rejected orders. Source: domain.md section 3, guard 11."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

# The last orders that count.
_WINDOW = 100


class ExecutionQuality:
    """Entries that ended, newest last: the adverse slippage of each (a fraction of price), None where rejected.

    Attributes
    ----------
    rejected
        Number of those that the venue rejected.
    changes
        Number of entries counted in this life.
    """

    __slots__ = ("_entries", "_slippage", "changes", "rejected")

    def __init__(self) -> None:
        self._entries: deque[float | None] = deque()
        self._slippage = 0.0
        self.rejected = self.changes = 0

    @property
    def orders(self) -> int:
        """Number of orders that count."""
        return len(self._entries)

    @property
    def entries(self) -> tuple[float | None, ...]:
        """What counts, to store."""
        return tuple(self._entries)

    @property
    def mean_slippage(self) -> float:
        """Mean adverse slippage of what was filled, a fraction of price; 0 where nothing was."""
        filled = len(self._entries) - self.rejected
        return self._slippage / filled if filled else 0.0

    def restore(self, entries: Iterable[float | None]) -> None:
        """Put stored entries before those at hand."""
        since = list(self._entries)
        self._entries.clear()
        self._slippage, self.rejected = 0.0, 0
        for entry in (*entries, *since):
            self._add(entry)

    def filled(self, slippage: float) -> None:
        """Count an entry that was filled; a better price than asked is no slippage."""
        self.changes += 1
        self._add(max(0.0, slippage))

    def refused(self) -> None:
        """Count an entry that the venue rejected."""
        self.changes += 1
        self._add(None)

    def score(self, max_slippage: float) -> float:
        """Return the share of orders that were accepted, less the share of the allowed slippage that was used."""
        if not self._entries:
            return 1.0
        accepted = 1.0 - self.rejected / len(self._entries)
        return accepted * max(0.0, 1.0 - self.mean_slippage / max_slippage)

    def _add(self, entry: float | None) -> None:
        if len(self._entries) == _WINDOW:
            oldest = self._entries.popleft()
            if oldest is None:
                self.rejected -= 1
            else:
                self._slippage -= oldest
        self._entries.append(entry)
        if entry is None:
            self.rejected += 1
        else:
            self._slippage += entry


def slippage(side_sign: int, decided: Decimal, filled: Decimal) -> float:
    """Compute the adverse slippage of a fill against the price that was decided on, a fraction of price."""
    return float((filled - decided) / decided) * side_sign
