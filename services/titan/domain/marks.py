"""Believed prices: the one place that turns prints into marks.

A *print* is one quote of one symbol by one source. It is evidence once: the source's sequence identifies it. A mark
holds two prices:

* ``price`` values the account now. A jump beyond the bound counts only when a second print supports it.
* ``confirmed`` is supported by the last two prints, whatever the size of a jump. Everything that only ratchets (peak,
  day's start, risk level, allocation tier, eligibility) reads it, so one print moves none of them.

A confirmed price is the former one, moved as little as the range of the last two prints requires. One outlier in either
direction leaves the former price inside that range, so it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO


def mid_price(bid: Decimal, ask: Decimal) -> Decimal | None:
    """Compute the middle of bid and ask in quote units; a quote that is one-sided or crossed has none."""
    return (bid + ask) / 2 if ZERO < bid <= ask else None


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Believed prices of one symbol, in quote units.

    ``confirmed`` is None before two prints agree. ``market_time_ns`` is the time of the last print that supports
    ``price``.
    """

    price: Decimal
    confirmed: Decimal | None
    market_time_ns: int

    @property
    def unconfirmed(self) -> Decimal:
        """The part of the price that only one print supports; all of it before two agree."""
        return self.price - (self.confirmed or ZERO)


class _Print(msgspec.Struct, frozen=True, gc=False):
    price: Decimal
    market_time_ns: int
    source: str
    sequence: int

    def is_newer_than(self, other: _Print) -> bool:
        """Whether this is other evidence, and not older; a source numbers its prints, two sources share a clock."""
        if self.source == other.source:
            return self.sequence > other.sequence and self.market_time_ns >= other.market_time_ns
        return self.market_time_ns > other.market_time_ns


class Marks:
    """The mark of each symbol.

    Parameters
    ----------
    wild_fraction
        The bound of a jump that counts at once: a fraction of the price, and of the equity that depends on it.
    """

    def __init__(self, wild_fraction: Decimal = Decimal("0.05")) -> None:
        self._wild_fraction = wild_fraction
        self._marks: dict[str, Mark] = {}
        self._prints: dict[str, _Print] = {}
        self._bounds: dict[str, Decimal] = {}

    def update(self, symbol: str, bid: Decimal, ask: Decimal, market_time_ns: int, source: str, sequence: int) -> None:
        """Apply a print: best bid and ask in quote units (0: none). One without a middle or not newer is ignored."""
        price = mid_price(bid, ask)
        if price is None:
            return
        new, last = _Print(price, market_time_ns, source, sequence), self._prints.get(symbol)
        if last is None:
            self._marks[symbol] = Mark(price, None, market_time_ns)
        elif new.is_newer_than(last):
            self._marks[symbol] = self._after(self._marks[symbol], last, new, symbol)
        else:
            return
        self._prints[symbol] = new

    def get(self, symbol: str) -> Mark | None:
        """The mark of a symbol, or None while there was no print."""
        return self._marks.get(symbol)

    def set_exposure(self, notionals: Mapping[str, Decimal], equity: Decimal) -> None:
        """Bound the jumps of held symbols by what they do to the account.

        Parameters
        ----------
        notionals
            Quote units held by symbol, without sign; a symbol that is absent has the bound of its price only.
        equity
            The account's worth in quote units.
        """
        # Where no more is held than the account is worth, the bound of the price is the tighter one.
        self._bounds = {
            symbol: self._wild_fraction * max(ZERO, equity) / notional
            for symbol, notional in notionals.items()
            if notional > equity
        }

    def _after(self, mark: Mark, last: _Print, new: _Print, symbol: str) -> Mark:
        bound = self._bounds.get(symbol, self._wild_fraction)
        if mark.confirmed is None:
            # Two prints that differ wildly confirm neither.
            return mark if _differ(new.price, last.price, bound) else Mark(new.price, last.price, new.market_time_ns)
        low, high = (last.price, new.price) if last.price < new.price else (new.price, last.price)
        confirmed = low if mark.confirmed < low else high if mark.confirmed > high else mark.confirmed
        if not _differ(new.price, confirmed, bound):
            return Mark(new.price, confirmed, new.market_time_ns)
        # The old mark stands, and ages, until two prints have moved what is confirmed.
        return mark if confirmed == mark.confirmed else Mark(confirmed, confirmed, last.market_time_ns)


def _differ(price: Decimal, reference: Decimal, bound: Decimal) -> bool:
    return abs(price - reference) > bound * reference
