"""The one interface of market sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from titan.domain.instruments import PAPER_INSTRUMENTS, Instrument
from titan.domain.market import MarketEvent
from titan.recordings.book_check import CheckCounts


class SourceError(Exception):
    """A source cannot be read, or not further; the message names file, line and problem."""


@dataclass
class SourceCounts:
    """Observations of a source so far.

    ``examples`` are the first book mismatches in words; ``unused_snapshots`` are book snapshots that were older than
    the book or did not reach the differences kept for them; ``repeated_trades`` are trades that were dropped because
    their id had been shown for the symbol before.
    """

    checks: CheckCounts = field(default_factory=CheckCounts)
    gaps: int = 0
    unused_snapshots: int = 0
    repeated_trades: int = 0
    examples: list[str] = field(default_factory=list)


class MarketSource(Protocol):
    """Events of several symbols in receive order, on the market clock.

    ``name`` is its name in the settings, ``label`` is shown wherever its prices are, ``start_ns`` is the market time
    just before its first event, sources of equal ``identity`` have equal events, ``counts`` grows as events are read.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def label(self) -> str: ...  # noqa: D102

    @property
    def identity(self) -> str: ...  # noqa: D102

    @property
    def instruments(self) -> tuple[Instrument, ...]: ...  # noqa: D102

    @property
    def start_ns(self) -> int: ...  # noqa: D102

    @property
    def counts(self) -> SourceCounts: ...  # noqa: D102

    def events(self) -> Iterator[MarketEvent]:
        """Yield all events from the first.

        ``sequence`` counts from 1, ``market_time_ns`` never falls, and each trade id of a symbol comes once.

        Raises
        ------
        SourceError
            When the source cannot be read further.
        """
        ...

    def last_prices(self) -> Mapping[str, Decimal]:
        """Return the prices that a continued run begins with, quote units by base currency; empty for recordings."""
        ...


def instrument_of(symbol: str, where: str) -> Instrument:
    """Return the paper venue's instrument.

    Raises
    ------
    SourceError
        When it lists none of that name; ``where`` names the origin of the name.
    """
    try:
        return PAPER_INSTRUMENTS[symbol]
    except KeyError:
        raise SourceError(
            f"{where}: symbol {symbol!r} is not traded here; allowed are {', '.join(PAPER_INSTRUMENTS)}"
        ) from None
