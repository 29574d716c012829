"""Market events as every process sees them, and bars made of them.

Prices are in quote units, quantities in base units. ``market_time_ns`` is the market clock: time of receipt (in a
recording its ``receive_ns``). ``event_time_ns`` is the venue's own clock, which may run ahead; 0 where it gives none.
``sequence`` counts from 1 through the whole run, over all symbols.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import Side


class Level(msgspec.Struct, frozen=True, gc=False):
    """One price level; quantity 0 means gone."""

    price: Decimal
    quantity: Decimal


class BookEvent(msgspec.Struct, frozen=True, gc=False):
    """A snapshot of the book, or a difference to it."""

    sequence: int
    symbol: str
    event_time_ns: int
    market_time_ns: int
    snapshot: bool
    update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class TradeEvent(msgspec.Struct, frozen=True, gc=False):
    """A public trade. ``taker_side`` is the aggressor's."""

    sequence: int
    symbol: str
    event_time_ns: int
    market_time_ns: int
    trade_id: str
    price: Decimal
    quantity: Decimal
    taker_side: Side


class QuoteEvent(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask. A side that is empty has price and quantity 0."""

    sequence: int
    symbol: str
    event_time_ns: int
    market_time_ns: int
    bid_price: Decimal
    bid_quantity: Decimal
    ask_price: Decimal
    ask_quantity: Decimal


MarketEvent = BookEvent | TradeEvent | QuoteEvent


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar over ``[start_ns, end_ns)`` of the market clock."""

    symbol: str
    start_ns: int
    end_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    quantity: Decimal
