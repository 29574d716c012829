"""Equity of the account: computed from the ledger and marks, never assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from titan.domain.instruments import Instrument
from titan.domain.marks import Mark, Marks
from titan.domain.numbers import ONE, ZERO
from titan.domain.orders import PRECISION
from titan.domain.positions import Holding
from titan.domain.time import NS_PER_MS, NS_PER_S, utc_day

# A reported equity that is older, on the market clock, is unknown to the operator and an obstacle for people.
EQUITY_MAX_AGE_NS = 10 * NS_PER_S


class Equity(msgspec.Struct, frozen=True, kw_only=True):
    """Worth in USDT. Where ``known`` is false only ``reason`` means anything: unknown is not zero.

    ``equity`` = ``cash`` + spot inventory at mark + ``unrealized_pnl``; ``realized_pnl`` gross of ``fees``.
    ``unconfirmed`` is the part of it that single prints show. ``drawdown`` is the confirmed equity's fraction below the
    peak. ``net_deposits`` are deposits less withdrawals. ``oldest_mark_ns`` is the market time of the oldest mark
    in it; 0 where it needs none.
    """

    known: bool
    reason: str = ""
    equity: Decimal = ZERO
    unconfirmed: Decimal = ZERO
    cash: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    high_water_mark: Decimal = ZERO
    drawdown: Decimal = ZERO
    margin_used: Decimal = ZERO
    net_deposits: Decimal = ZERO
    market_time_ns: int = 0
    oldest_mark_ns: int = 0

    @property
    def confirmed_equity(self) -> Decimal:
        """Equity at confirmed marks: all that ratchets reads it."""
        return self.equity - self.unconfirmed

    @property
    def opening_equity(self) -> Decimal:
        """The lower of both, which sizes openings: a gain that one print shows opens no more, a loss opens less."""
        return self.equity if self.unconfirmed <= ZERO else self.confirmed_equity


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """References of drawdown and of the day's loss; 0: no known equity yet.

    ``day`` counts UTC days since the epoch. ``unsettled`` is the sum of transfers that the high-water mark does not
    contain yet: it moves in proportion, so only the next known equity can settle them.
    """

    high_water_mark: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    day: int = -1
    unsettled: Decimal = ZERO

    def observed(self, equity: Decimal, market_time_ns: int) -> Peak:
        """After a known, confirmed equity: transfers are settled, a new day starts with it, the peak follows it up."""
        day = utc_day(market_time_ns)
        new_day = day > self.day
        return Peak(
            high_water_mark=max(self._settled_mark(equity), equity),
            day_start_equity=equity if new_day else self.day_start_equity,
            day=day if new_day else self.day,
        )

    def transferred(self, amount: Decimal) -> Peak:
        """After a deposit (or, negative, a withdrawal): it is no profit or loss, and leaves the drawdown as it was."""
        if self.day < 0:
            return self
        return msgspec.structs.replace(
            self, day_start_equity=self.day_start_equity + amount, unsettled=self.unsettled + amount
        )

    def shifted(self, amount: Decimal) -> Peak:
        """After a transfer that was recorded when both still moved by its amount."""
        if self.day < 0:
            return self
        return msgspec.structs.replace(
            self,
            high_water_mark=self.high_water_mark + amount,
            day_start_equity=self.day_start_equity + amount,
        )

    def drawdown(self, equity: Decimal) -> Decimal:
        """Fraction lost since the peak."""
        if self.high_water_mark <= ZERO or equity >= self.high_water_mark:
            return ZERO
        return ((self.high_water_mark - equity) / self.high_water_mark).quantize(PRECISION)

    def _settled_mark(self, equity: Decimal) -> Decimal:
        """Move the peak by the ratio of equity after and before the transfers."""
        if not self.unsettled:
            return self.high_water_mark
        before = equity - self.unsettled
        if before <= ZERO:
            return equity
        return (self.high_water_mark * equity / before).quantize(PRECISION)


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of equity other than marks: amounts in the named currency, fees and profit in quote units."""

    assets: Mapping[str, Decimal]
    net_deposits: Mapping[str, Decimal]
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
        Unknown, with the reason, as soon as one mark is missing, unconfirmed or stale.
    """
    needed: dict[str, Mark] = {}
    for symbol in _needed_marks(valuation, instruments, quote):
        mark = marks.get(symbol)
        if problem := _mark_problem(symbol, mark, now_ns, max_mark_age_ns):
            return unknown(problem, now_ns)
        assert mark is not None
        needed[symbol] = mark
    cash = valuation.assets.get(quote, ZERO)
    inventory = unrealized = unconfirmed = margin = ZERO
    for asset, amount in valuation.assets.items():
        if asset != quote and amount != ZERO:
            mark = needed[f"{asset}/{quote}"]
            inventory += amount * mark.price
            unconfirmed += amount * mark.unconfirmed
    for symbol, holding in valuation.holdings.items():
        instrument = instruments.get(symbol)
        if holding.quantity == ZERO or instrument is None or instrument.kind == "spot":
            continue
        mark = needed[symbol]
        unrealized += holding.unrealized_pnl(mark.price)
        unconfirmed += holding.quantity * mark.unconfirmed
        leverage = max(ONE, min(margin_leverage, instrument.max_margin_leverage))
        margin += (abs(holding.quantity) * mark.price / leverage).quantize(PRECISION)
    equity = (cash + inventory + unrealized).quantize(PRECISION)
    unconfirmed = unconfirmed.quantize(PRECISION)
    confirmed = equity - unconfirmed
    peak = valuation.peak.observed(confirmed, now_ns)
    return Equity(
        known=True,
        equity=equity,
        unconfirmed=unconfirmed,
        cash=cash,
        unrealized_pnl=unrealized,
        realized_pnl=valuation.realized_pnl,
        fees=valuation.fees,
        day_start_equity=peak.day_start_equity,
        high_water_mark=peak.high_water_mark,
        drawdown=peak.drawdown(confirmed),
        margin_used=margin,
        net_deposits=valuation.net_deposits.get(quote, ZERO),
        market_time_ns=now_ns,
        oldest_mark_ns=min((mark.market_time_ns for mark in needed.values()), default=0),
    )


def exposures(holdings: Mapping[str, Holding], marks: Marks) -> dict[str, Decimal]:
    """Compute the notional of each open position in quote units, without sign; one without a price is left out."""
    return {
        symbol: abs(holding.quantity) * mark.price
        for symbol, holding in holdings.items()
        if holding.quantity != ZERO and (mark := marks.get(symbol)) is not None
    }


def _needed_marks(valuation: Valuation, instruments: Mapping[str, Instrument], quote: str) -> Iterable[str]:
    for asset, amount in valuation.assets.items():
        if asset != quote and amount != ZERO:
            yield f"{asset}/{quote}"
    for symbol, holding in valuation.holdings.items():
        instrument = instruments.get(symbol)
        if holding.quantity != ZERO and (instrument is None or instrument.kind == "perp"):
            yield symbol


def _mark_problem(symbol: str, mark: Mark | None, now_ns: int, max_age_ns: int) -> str:
    if mark is None:
        return f"no price of {symbol} yet"
    age_ns = now_ns - mark.market_time_ns
    if age_ns > max_age_ns:
        return f"price of {symbol} is {age_ns // NS_PER_MS} ms old, allowed are {max_age_ns // NS_PER_MS}"
    if mark.confirmed is None:
        return f"price of {symbol} is not confirmed: it needs a second print"
    return ""
