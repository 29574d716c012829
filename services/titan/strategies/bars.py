"""Closed bars on the market clock, from trades, without a clock of their own."""

from __future__ import annotations

import itertools
import math
from collections import deque

from titan.domain.market import Bar


class BarWindow:
    """The last closed bars of one symbol, in floats for signal maths; prices in quote units, volume in base units.

    A bar closes when any event, of whatever symbol, carries the market clock past its end. A bar without a trade is
    flat at the last price with volume 0, so that an age in bars is an age in time. A bar of which only a part was seen
    (the first one, and the one in which a gap ends) is left out: only whole bars count. After a silence longer than
    the window the history is cleared: prices before such a gap are no structure.
    """

    __slots__ = (
        "_end_ns",
        "_high",
        "_low",
        "_quantity",
        "_whole",
        "bar_ns",
        "closes",
        "highs",
        "last_price",
        "lows",
        "quantities",
    )

    def __init__(self, bar_ns: int, length: int) -> None:
        self.bar_ns = bar_ns
        self.highs: deque[float] = deque(maxlen=length)
        self.lows: deque[float] = deque(maxlen=length)
        self.closes: deque[float] = deque(maxlen=length)
        self.quantities: deque[float] = deque(maxlen=length)
        self.last_price = 0.0
        self._high = self._low = self._quantity = 0.0
        self._end_ns = 0
        self._whole = False

    def __len__(self) -> int:
        """Number of closed bars."""
        return len(self.closes)

    @property
    def end_ns(self) -> int:
        """End of the open bar on the market clock; 0 before the first event."""
        return self._end_ns

    def warm_up(self, bar: Bar) -> bool:
        """Append one closed bar from outside; False when it has another length or is not newer than the known ones."""
        if bar.end_ns - bar.start_ns != self.bar_ns or bar.start_ns % self.bar_ns != 0:
            return False
        if self._end_ns and bar.end_ns < self._end_ns:
            return False
        if self._end_ns and bar.start_ns >= self._end_ns:
            # No source has the bars between: fill or clear, as after a live gap.
            self.advance(bar.start_ns)
        self.last_price = float(bar.close)
        self._close(float(bar.high), float(bar.low), self.last_price, float(bar.quantity))
        self._open(bar.end_ns + self.bar_ns, whole=False)
        return True

    def advance(self, now_ns: int) -> bool:
        """Advance the market clock to ``now_ns``; return whether at least one bar has closed."""
        if now_ns < self._end_ns:
            return False
        if self._end_ns == 0:
            self._open((now_ns // self.bar_ns + 1) * self.bar_ns, whole=False)
            return False
        missed = (now_ns - self._end_ns) // self.bar_ns
        if missed >= (self.closes.maxlen or 0):
            self.forget()
            self._open((now_ns // self.bar_ns + 1) * self.bar_ns, whole=False)
            return True
        if self._whole and self.last_price > 0.0:
            self._close(self._high, self._low, self.last_price, self._quantity)
        for _ in range(missed if self.last_price > 0.0 else 0):
            self._close(self.last_price, self.last_price, self.last_price, 0.0)
        self._open((now_ns // self.bar_ns + 1) * self.bar_ns, whole=True)
        return True

    def add(self, price: float, quantity: float) -> None:
        """Add one trade to the open bar; the market clock has been advanced to it."""
        if self._quantity == 0.0:
            self._high = self._low = price
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._quantity += quantity
        self.last_price = price

    def forget(self) -> None:
        """Clear the history."""
        for column in (self.highs, self.lows, self.closes, self.quantities):
            column.clear()
        self.last_price = 0.0

    def recent(self, count: int) -> tuple[list[float], list[float]]:
        """Highs and lows of the last ``count`` closed bars, oldest first; fewer where there are fewer."""
        return list(self.highs)[-count:], list(self.lows)[-count:]

    def volatility(self, horizon_ns: int) -> float:
        """Standard deviation of log returns scaled to ``horizon_ns``, a fraction of price; 0 with under 3 bars."""
        if len(self.closes) < 3:
            return 0.0
        returns = [math.log(later / earlier) for earlier, later in itertools.pairwise(self.closes)]
        mean = sum(returns) / len(returns)
        variance = sum((value - mean) ** 2 for value in returns) / (len(returns) - 1)
        return math.sqrt(variance * horizon_ns / self.bar_ns)

    def mean_quantity(self) -> float:
        """Mean volume of a closed bar, base units; 0 without bars."""
        return sum(self.quantities) / len(self.quantities) if self.quantities else 0.0

    def _close(self, high: float, low: float, close: float, quantity: float) -> None:
        self.highs.append(high)
        self.lows.append(low)
        self.closes.append(close)
        self.quantities.append(quantity)

    def _open(self, end_ns: int, *, whole: bool) -> None:
        self._end_ns = end_ns
        self._whole = whole
        # Until its first trade an open bar is flat where the last one ended.
        self._high = self._low = self.last_price
        self._quantity = 0.0
