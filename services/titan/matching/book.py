"""An aggregated book of price levels, and the quantities that we took from it.

The market of a recording or a simulator does not know that we traded: a level that we took stays on display. So the
book keeps the quantity taken from each level. Quantity added to a level afterwards is available; a withdrawal reduces
the available rest first; a level that disappears is dropped. One level is therefore never taken twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from titan.domain.enums import Side
from titan.domain.market import BookEvent, Level, QuoteEvent
from titan.domain.marks import mid_price
from titan.domain.numbers import ZERO


class TakenLevel(msgspec.Struct, frozen=True):
    """Base units that we took from one level of one side (``BUY``: the bids) and that are still on display."""

    side: Side
    price: Decimal
    quantity: Decimal


class _Ladder:
    """One side: quantities by price, and the prices in ascending order."""

    __slots__ = ("changed", "prices", "quantities", "taken")

    def __init__(self) -> None:
        self.quantities: dict[Decimal, Decimal] = {}
        self.prices: list[Decimal] = []
        self.taken: dict[Decimal, Decimal] = {}
        # Whether ``taken`` changed since the owner last collected it.
        self.changed = False

    def set(self, price: Decimal, quantity: Decimal, catching_up: bool) -> None:
        old = self.quantities.get(price)
        if quantity:
            if old is None:
                insort(self.prices, price)
            self.quantities[price] = quantity
        elif old is not None:
            del self.quantities[price]
            del self.prices[bisect_left(self.prices, price)]
        if self.taken and not catching_up:
            self._forget(price, old or ZERO, quantity)

    def _forget(self, price: Decimal, old: Decimal, new: Decimal) -> None:
        taken = self.taken.get(price)
        if taken is None:
            return
        available = min(new, max(ZERO, old - taken) + max(ZERO, new - old))
        left = new - available
        self.changed = self.changed or left != taken
        if left:
            self.taken[price] = left
        else:
            del self.taken[price]

    def replace(self, levels: Iterable[Level], catching_up: bool) -> None:
        wanted = {level.price: level.quantity for level in levels if level.quantity}
        for price in [price for price in self.prices if price not in wanted]:
            self.set(price, ZERO, catching_up)
        for price, quantity in wanted.items():
            self.set(price, quantity, catching_up)

    def available(self, price: Decimal) -> Decimal:
        quantity = self.quantities[price]
        taken = self.taken.get(price)
        return quantity if taken is None else max(ZERO, quantity - taken)

    def take(self, price: Decimal, quantity: Decimal) -> None:
        self.taken[price] = self.taken.get(price, ZERO) + quantity
        self.changed = True


class Book:
    """The book of one symbol: prices in quote units, quantities in base units."""

    __slots__ = ("_asks", "_bids", "has_depth")

    def __init__(self, taken: Iterable[TakenLevel] = ()) -> None:
        self._bids = _Ladder()
        self._asks = _Ladder()
        # Whether book events come for this symbol; if not, quotes make a book of one level.
        self.has_depth = False
        for level in taken:
            (self._bids if level.side is Side.BUY else self._asks).taken[level.price] = level.quantity

    def apply(self, event: BookEvent, catching_up: bool = False) -> None:
        """Apply a snapshot or a difference.

        Parameters
        ----------
        event
            Of this book's symbol.
        catching_up
            The event was applied before a restart: the taken quantities are already those after it.
        """
        self.has_depth = True
        if event.snapshot:
            self._bids.replace(event.bids, catching_up)
            self._asks.replace(event.asks, catching_up)
            return
        bids, asks = self._bids, self._asks
        for level in event.bids:
            bids.set(level.price, level.quantity, catching_up)
        for level in event.asks:
            asks.set(level.price, level.quantity, catching_up)

    def apply_quote(self, event: QuoteEvent, catching_up: bool = False) -> None:
        """Make a book of one level a side, where the source has no depth for the symbol; else change nothing."""
        if self.has_depth:
            return
        self._bids.replace((Level(event.bid_price, event.bid_quantity),), catching_up)
        self._asks.replace((Level(event.ask_price, event.ask_quantity),), catching_up)

    @property
    def best_bid(self) -> Decimal | None:
        """Highest price bid, or None."""
        return self._bids.prices[-1] if self._bids.prices else None

    @property
    def best_ask(self) -> Decimal | None:
        """Lowest price asked, or None."""
        return self._asks.prices[0] if self._asks.prices else None

    @property
    def mid_price(self) -> Decimal | None:
        """Middle of best bid and ask, or None where a side is empty or they cross."""
        bids, asks = self._bids.prices, self._asks.prices
        return mid_price(bids[-1], asks[0]) if bids and asks else None

    def level_quantity(self, side: Side, price: Decimal) -> Decimal:
        """Base units on display at ``price`` among the bids (``BUY``) or asks; 0 where there is no such level."""
        return (self._bids if side is Side.BUY else self._asks).quantities.get(price, ZERO)

    def would_take(self, side: Side, limit_price: Decimal) -> bool:
        """Whether a limit order of this side would meet the other side on arrival."""
        opposite = self.best_ask if side is Side.BUY else self.best_bid
        return opposite is not None and (limit_price - opposite) * side.sign >= 0

    def walk(self, side: Side, quantity: Decimal, limit_price: Decimal | None) -> list[Level]:
        """Return the levels that an order of ``side`` would get now, best price first; change nothing.

        Parameters
        ----------
        side
            Side of the taker: a buy walks the asks.
        quantity
            Base units of the order.
        limit_price
            The worst price accepted, or None for any.

        Returns
        -------
        list[Level]
            Price and base units of each level; in sum at most ``quantity``.
        """
        ladder = self._asks if side is Side.BUY else self._bids
        found: list[Level] = []
        for price in ladder.prices if side is Side.BUY else reversed(ladder.prices):
            if quantity <= ZERO or (limit_price is not None and (limit_price - price) * side.sign < 0):
                break
            got = min(quantity, ladder.available(price))
            if got:
                found.append(Level(price, got))
                quantity -= got
        return found

    def take(self, side: Side, levels: Iterable[Level]) -> None:
        """Record that an order of ``side`` took these levels."""
        ladder = self._asks if side is Side.BUY else self._bids
        for level in levels:
            ladder.take(level.price, level.quantity)

    def take_changes(self) -> tuple[TakenLevel, ...] | None:
        """Return all taken levels if they changed since the last call; else None."""
        if not (self._bids.changed or self._asks.changed):
            return None
        self._bids.changed = self._asks.changed = False
        return tuple(
            TakenLevel(side, price, quantity)
            for side, ladder in ((Side.BUY, self._bids), (Side.SELL, self._asks))
            for price, quantity in ladder.taken.items()
        )
