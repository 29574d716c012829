"""The proof that a rebuilt book equals the venue's.

After each applied difference its best bid and ask, prices and quantities, equal those of the last best-price ticker
whose update id is not greater than the difference's. Tickers may be received after the difference, so a comparison is
settled when a ticker with a greater id arrives, or when the source ends. A difference older than every ticker cannot
be compared and is counted apart.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from titan.domain.market import Level

# Mismatches that are kept as examples for people; the count goes on.
MAX_EXAMPLES = 5


class BestPrices(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask after the venue's update ``update_id``."""

    update_id: int
    bid: Level
    ask: Level


@dataclass
class CheckCounts:
    """Comparisons made, those that differed, and differences without a ticker to compare with."""

    checked: int = 0
    mismatches: int = 0
    incomparable: int = 0


class BookCheck:
    """Compares one symbol's rebuilt book with its tickers.

    The first mismatches go to ``examples``, in words.
    """

    def __init__(self, counts: CheckCounts, examples: list[str]) -> None:
        self._counts = counts
        self._examples = examples
        self._rebuilt: deque[BestPrices] = deque()
        self._tickers: deque[BestPrices] = deque()

    def on_applied(self, rebuilt: BestPrices) -> None:
        """Add the best prices of the book after a difference with this id."""
        self._rebuilt.append(rebuilt)
        if self._tickers and self._tickers[-1].update_id > rebuilt.update_id:
            self._settle(self._tickers[-1].update_id)

    def on_ticker(self, ticker: BestPrices) -> None:
        """Add a ticker; comparisons older than it are settled."""
        self._tickers.append(ticker)
        self._settle(ticker.update_id)

    def finish(self) -> None:
        """Settle the remaining comparisons: no ticker follows."""
        while self._rebuilt:
            self._compare(self._rebuilt.popleft())

    def _settle(self, before_id: int) -> None:
        while self._rebuilt and self._rebuilt[0].update_id < before_id:
            self._compare(self._rebuilt.popleft())
        if not self._rebuilt:
            # Only the newest can be the last one with an id ≤ that of a difference still to come, unless a difference
            # arrives after younger tickers: a venue's delay is far below this many of them.
            while len(self._tickers) > 4096:
                self._tickers.popleft()

    def _compare(self, rebuilt: BestPrices) -> None:
        tickers = self._tickers
        # Ids of differences rise, so a ticker that has a successor with an id ≤ this one is never needed again.
        while len(tickers) > 1 and tickers[1].update_id <= rebuilt.update_id:
            tickers.popleft()
        if not tickers or tickers[0].update_id > rebuilt.update_id:
            self._counts.incomparable += 1
            return
        ticker = tickers[0]
        self._counts.checked += 1
        if ticker.bid != rebuilt.bid or ticker.ask != rebuilt.ask:
            self._counts.mismatches += 1
            if len(self._examples) < MAX_EXAMPLES:
                self._examples.append(
                    f"update {rebuilt.update_id}: rebuilt {_words(rebuilt)}, ticker {ticker.update_id} {_words(ticker)}"
                )


def _words(prices: BestPrices) -> str:
    bid, ask = prices.bid, prices.ask
    return f"{bid.quantity} @ {bid.price} / {ask.quantity} @ {ask.price}"
