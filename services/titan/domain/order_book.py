"""An order book rebuilt from a snapshot and differences, by Binance's own rules.

Spot chains differences by their first id (``U`` is the previous ``u`` + 1), USD-M futures by the previous id they
carry (``pu``). Differences that come before a snapshot are kept and checked when it arrives. A hole in the chain makes
the book *broken* until the next snapshot, since a book with a hole shows prices that do not exist. A difference that is
not newer than the book is no hole: a venue or a recorder may send one twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from heapq import heapify, heappop, heappush

import msgspec

from titan.domain.market import Level
from titan.domain.numbers import ZERO

# Minutes of differences: it bounds what a recording without a second snapshot costs.
MAX_WAITING = 20_000


class BookDiff(msgspec.Struct, frozen=True, gc=False):
    """One difference as the venue sent it; ``previous_id`` None means spot. A level with quantity 0 is gone."""

    first_id: int
    last_id: int
    previous_id: int | None
    event_time_ns: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class BookSide:
    """Levels of one side and its best price, in quote and base units.

    The best price comes from a heap whose entries are dropped lazily: a level that goes leaves its entry behind until
    it reaches the top. Prices of bids are stored negated there, so that the smallest entry is the best on both sides.
    """

    __slots__ = ("_heap", "_negate", "levels")

    def __init__(self, bids: bool) -> None:
        self.levels: dict[Decimal, Decimal] = {}
        self._heap: list[Decimal] = []
        self._negate = bids

    def replace(self, levels: Iterable[Level]) -> None:
        """Replace all levels."""
        self.levels = {level.price: level.quantity for level in levels if level.quantity}
        self._heap = [-price for price in self.levels] if self._negate else list(self.levels)
        heapify(self._heap)

    def apply(self, levels: Iterable[Level]) -> None:
        """Set, or where the quantity is 0 remove, each of these levels."""
        known = self.levels
        for level in levels:
            price = level.price
            if not level.quantity:
                known.pop(price, None)
            else:
                if price not in known:
                    heappush(self._heap, -price if self._negate else price)
                known[price] = level.quantity

    def best(self) -> Level:
        """The best level; price and quantity 0 where the side is empty."""
        heap = self._heap
        while heap:
            price = -heap[0] if self._negate else heap[0]
            quantity = self.levels.get(price)
            if quantity is not None:
                return Level(price, quantity)
            heappop(heap)
        return Level(ZERO, ZERO)


class BookState(Enum):
    """Whether the book equals the venue's."""

    WAITING = "waiting for a snapshot"
    VALID = "valid"
    BROKEN = "broken, waiting for a snapshot"


class DiffResult(Enum):
    """The effect of a difference on the book."""

    APPLIED = "applied"
    OLDER = "not newer than the book"
    KEPT = "kept for a snapshot"
    GAP = "a hole in the chain, kept for a snapshot"


class OrderBook:
    """The book of one symbol.

    ``gaps`` counts holes in the chain.
    """

    def __init__(self) -> None:
        self.bids = BookSide(bids=True)
        self.asks = BookSide(bids=False)
        self.state = BookState.WAITING
        self.last_id = 0
        self.gaps = 0
        self._waiting: list[BookDiff] = []
        # The first difference after a snapshot overlaps it; only from then on are ids chained exactly.
        self._chained = False

    def on_snapshot(
        self, last_id: int, bids: tuple[Level, ...], asks: tuple[Level, ...], on_applied: Callable[[], None]
    ) -> list[BookDiff] | None:
        """Apply a snapshot and the differences that waited for it; ``on_applied`` is called after each of those.

        Returns
        -------
        list of BookDiff or None
            Differences applied on top of the snapshot, in order; None when the snapshot was not used, because the book
            is already newer or the kept differences begin after it.
        """
        if self.state is BookState.VALID and last_id < self.last_id:
            return None
        waiting = [diff for diff in self._waiting if diff.last_id > last_id]
        if waiting and not _bridges(waiting[0], last_id):
            return None
        self.bids.replace(bids)
        self.asks.replace(asks)
        self.last_id = last_id
        self.state = BookState.VALID
        self._chained = False
        self._waiting = []
        applied = []
        for index, diff in enumerate(waiting):
            result = self.on_diff(diff)
            if result is DiffResult.GAP:
                self._waiting = waiting[index:]
                break
            if result is DiffResult.APPLIED:
                applied.append(diff)
                on_applied()
        return applied

    def on_diff(self, diff: BookDiff) -> DiffResult:
        """Apply a difference, where it follows the book."""
        if self.state is not BookState.VALID:
            self._keep(diff)
            return DiffResult.KEPT
        if diff.last_id <= self.last_id:
            return DiffResult.OLDER
        if not (_follows(diff, self.last_id) if self._chained else _bridges(diff, self.last_id)):
            self.gaps += 1
            self.state = BookState.BROKEN
            self._keep(diff)
            return DiffResult.GAP
        self.bids.apply(diff.bids)
        self.asks.apply(diff.asks)
        self.last_id = diff.last_id
        self._chained = True
        return DiffResult.APPLIED

    def _keep(self, diff: BookDiff) -> None:
        self._waiting.append(diff)
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[: MAX_WAITING // 2]


def _bridges(diff: BookDiff, snapshot_id: int) -> bool:
    """Whether the first difference newer than a snapshot leaves nothing out between the two."""
    if diff.previous_id is None:
        return diff.first_id <= snapshot_id + 1
    return diff.first_id <= snapshot_id or diff.previous_id <= snapshot_id


def _follows(diff: BookDiff, last_id: int) -> bool:
    return diff.first_id == last_id + 1 if diff.previous_id is None else diff.previous_id == last_id
