"""Equity of the account: computed from the ledger and marks, never assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from titan.domain.instruments import Instrument
from titan.domain.numbers import ONE, ZERO
from titan.domain.orders import PRECISION
from titan.domain.positions import Holding
from titan.domain.time import NS_PER_MS, utc_day


class Equity(msgspec.Struct, frozen=True, kw_only=True):
    """Worth in USDT. Where ``known`` is false only ``reason`` means anything: unknown is not zero.

    ``equity`` = ``cash`` + spot inventory at mark + ``unrealized_pnl``; ``realized_pnl`` gross of ``fees``;
    ``drawdown`` a fraction, peak to now.
    """

    known: bool
    reason: str = ""
    equity: Decimal = ZERO
    cash: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    high_water_mark: Decimal = ZERO
    drawdown: Decimal = ZERO
    margin_used: Decimal = ZERO
    market_time_ns: int = 0


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A price to value things at, in quote units, with the market time of its print."""

    price: Decimal
    market_time_ns: int


class Marks:
    """The last plausible price of each symbol.

    A print that jumps by more than ``wild_fraction`` counts only when a second print confirms it. Until then the old
    mark stands, and ages.
    """

    def __init__(self, wild_fraction: Decimal = Decimal("0.05")) -> None:
        self._wild_fraction = wild_fraction
        self._marks: dict[str, Mark] = {}
        self._candidates: dict[str, Decimal] = {}

    def update(self, symbol: str, price: Decimal, market_time_ns: int) -> None:
        """Apply a print (quote units); a price of 0 or less is ignored."""
        if price <= ZERO:
            return
        last = self._marks.get(symbol)
        if last is not None and self._wild(price, last.price):
            candidate = self._candidates.get(symbol)
            self._candidates[symbol] = price
            if candidate is None or self._wild(price, candidate):
                return
        self._candidates.pop(symbol, None)
        self._marks[symbol] = Mark(price, market_time_ns)

    def get(self, symbol: str) -> Mark | None:
        """The mark of a symbol, or None while there was no print."""
        return self._marks.get(symbol)

    def _wild(self, price: Decimal, reference: Decimal) -> bool:
        return abs(price - reference) > self._wild_fraction * reference


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """References of drawdown and of the day's loss; 0: no known equity yet.

    ``day`` counts UTC days since the epoch.
    """

    high_water_mark: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    day: int = -1

    def observed(self, equity: Decimal, market_time_ns: int) -> Peak:
        """After a known equity was seen: a new day starts with it, and the mark follows it up."""
        day = utc_day(market_time_ns)
        new_day = day > self.day
        return Peak(
            high_water_mark=max(self.high_water_mark, equity),
            day_start_equity=equity if new_day else self.day_start_equity,
            day=day if new_day else self.day,
        )

    def deposited(self, amount: Decimal) -> Peak:
        """After a deposit (or, negative, a withdrawal): both move by its amount, so that it is no profit or loss."""
        if self.day < 0:
            return self
        return Peak(
            high_water_mark=self.high_water_mark + amount,
            day_start_equity=self.day_start_equity + amount,
            day=self.day,
        )

    def drawdown(self, equity: Decimal) -> Decimal:
        """Fraction lost since the peak."""
        if self.high_water_mark <= ZERO or equity >= self.high_water_mark:
            return ZERO
        return ((self.high_water_mark - equity) / self.high_water_mark).quantize(PRECISION)


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of equity other than marks: amounts in the named currency, fees and profit in quote units."""

    assets: Mapping[str, Decimal]
    holdings: Mapping[str, Holding]
    realized_pnl: Decimal
    fees: Decimal
    peak: Peak


def unknown(reason: str, market_time_ns: int) -> Equity:
    """Return an unknown equity with its reason."""
    return Equity(known=False, reason=reason, market_time_ns=market_time_ns)


def value_account(
    valuation: Valuation,
    marks: Marks,
    instruments: Mapping[str, Instrument],
    now_ns: int,
    max_mark_age_ns: int,
    margin_leverage: Decimal,
    quote: str = "USDT",
) -> Equity:
    """Value the account at ``now_ns``.

    Parameters
    ----------
    valuation
        Ledger balances, holdings and peak.
    marks
        Prices in quote units.
    instruments
        By symbol; an instrument's kind separates derivatives from spot.
    now_ns
        Market time.
    max_mark_age_ns
        A mark older than this is stale.
    margin_leverage
        The venue's margin setting: notional per unit of margin.
    quote
        The currency that everything is valued in.

    Returns
    -------
    Equity
        Unknown, with the reason, as soon as one mark is missing or stale.
    """
    missing = _missing_mark(_needed_marks(valuation, instruments, quote), marks, now_ns, max_mark_age_ns)
    if missing:
        return unknown(missing, now_ns)
    cash = valuation.assets.get(quote, ZERO)
    inventory = sum(
        (amount * _price(marks, f"{asset}/{quote}") for asset, amount in valuation.assets.items() if asset != quote),
        ZERO,
    )
    unrealized = margin = ZERO
    for symbol, holding in valuation.holdings.items():
        instrument = instruments.get(symbol)
        if holding.quantity == ZERO or instrument is None or instrument.kind == "spot":
            continue
        price = _price(marks, symbol)
        unrealized += holding.unrealized_pnl(price)
        leverage = max(ONE, min(margin_leverage, instrument.max_margin_leverage))
        margin += (abs(holding.quantity) * price / leverage).quantize(PRECISION)
    equity = (cash + inventory + unrealized).quantize(PRECISION)
    peak = valuation.peak.observed(equity, now_ns)
    return Equity(
        known=True,
        equity=equity,
        cash=cash,
        unrealized_pnl=unrealized,
        realized_pnl=valuation.realized_pnl,
        fees=valuation.fees,
        day_start_equity=peak.day_start_equity,
        high_water_mark=peak.high_water_mark,
        drawdown=peak.drawdown(equity),
        margin_used=margin,
        market_time_ns=now_ns,
    )


def _price(marks: Marks, symbol: str) -> Decimal:
    mark = marks.get(symbol)
    return mark.price if mark is not None else ZERO


def _needed_marks(valuation: Valuation, instruments: Mapping[str, Instrument], quote: str) -> Iterable[str]:
    for asset, amount in valuation.assets.items():
        if asset != quote and amount != ZERO:
            yield f"{asset}/{quote}"
    for symbol, holding in valuation.holdings.items():
        instrument = instruments.get(symbol)
        if holding.quantity != ZERO and (instrument is None or instrument.kind == "perp"):
            yield symbol


def _missing_mark(symbols: Iterable[str], marks: Marks, now_ns: int, max_age_ns: int) -> str:
    for symbol in symbols:
        mark = marks.get(symbol)
        if mark is None:
            return f"no price of {symbol} yet"
        age_ns = now_ns - mark.market_time_ns
        if age_ns > max_age_ns:
            return f"price of {symbol} is {age_ns // NS_PER_MS} ms old, allowed are {max_age_ns // NS_PER_MS}"
    return ""
