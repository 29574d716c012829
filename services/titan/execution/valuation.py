"""Equity while the market moves: marks from the feed, the peak, the day's start, and their journalling."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import OrderRole
from titan.domain.equity import Equity, Peak, exposures, value_account
from titan.domain.journal_records import DayStart, Deposit, HighWaterMark, PeakMove
from titan.domain.marks import Marks
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.positions import Holding, PhaseShare, Position
from titan.domain.protection import farthest_trigger, working_at_venue
from titan.domain.time import NS_PER_MS
from titan.execution.journalled_account import JournalledAccount
from titan.execution.settings import ExecutionSettings

# A higher peak is journalled once it has risen by this fraction: a crash loses no more of it.
PEAK_STEP = Decimal("0.0001")


class Valuer:
    """Values the account by the market clock.

    Attributes
    ----------
    marks
        Last believable prices.
    equity
        The last valuation.
    """

    def __init__(
        self, settings: ExecutionSettings, store: JournalledAccount, marks: Marks, margin_leverage: Decimal
    ) -> None:
        self.marks = marks
        self.equity = Equity(known=False, reason="not valued yet")
        self._store = store
        self._account = store.account
        self._max_age_ns = settings.mark_max_age_ms * NS_PER_MS
        self._margin_leverage = margin_leverage
        self._peak: Peak = store.account.peak
        self._funded = bool(store.account.ledger.transactions)

    def record_deposit(self, deposit: Deposit) -> None:
        """Journal a deposit or a withdrawal: it moves the peak in proportion and is no profit."""
        self._store.write(deposit)
        self._peak = self._peak.transferred(deposit.amount)
        self._funded = True
        self.value()

    def rebase(self, high_water_mark: Decimal, by: str, reason: str, nonce: str) -> None:
        """Journal and sync a person's new peak, in quote units."""
        self._store.write(PeakMove(high_water_mark=high_water_mark, by=by, reason=reason, nonce=nonce))
        self._store.sync()
        self._peak = self._store.account.peak
        self.value()

    def value(self) -> Equity:
        """Value the account now, and journal a new day or a higher peak."""
        now_ns = self._store.now_ns
        valuation = msgspec.structs.replace(self._account.valuation(), peak=self._peak)
        equity = value_account(
            valuation, self.marks, self._account.instruments, now_ns, self._max_age_ns, self._margin_leverage
        )
        if equity.known and not self._funded:
            equity = Equity(known=False, reason="no balance has been read from the venue yet", market_time_ns=now_ns)
        if equity.known:
            self.marks.set_exposure(exposures(self._account.holdings, self.marks), equity.confirmed_equity)
            if now_ns:
                self._record_peak(equity.confirmed_equity, now_ns)
        self.equity = equity
        return equity

    def _record_peak(self, equity: Decimal, now_ns: int) -> None:
        before = self._peak
        self._peak = before.observed(equity, now_ns)
        if before.unsettled:
            reason = f"transfers of {format_decimal(before.unsettled)}: the drawdown stays"
            self._store.write(PeakMove(high_water_mark=self._peak.high_water_mark, by="execution", reason=reason))
        if self._peak.day != before.day:
            self._store.write(DayStart(equity=equity, high_water_mark=self._peak.high_water_mark))
        elif self._peak.high_water_mark > self._account.peak.high_water_mark * (1 + PEAK_STEP):
            self._store.write(HighWaterMark(self._peak.high_water_mark))

    def positions(self) -> list[Position]:
        """Open net positions with their marks, stops, shares and lots."""
        return [self._position(symbol) for symbol in self._account.positions.open_symbols()]

    def _position(self, symbol: str) -> Position:
        holding = self._account.holdings.get(symbol, Holding())
        mark = self.marks.get(symbol)
        working = self._account.working.values()
        stops = working_at_venue(working, symbol, OrderRole.STOP)
        targets = working_at_venue(working, symbol, OrderRole.TARGET)
        direction = 1 if holding.quantity > ZERO else -1
        shares = tuple(
            PhaseShare(
                phase_id=phase_id,
                quantity=share.quantity,
                average_entry_price=share.average_entry_price,
                intent_id=lots[0].intent_id if (lots := self._account.lots.get((phase_id, held), ())) else "",
                opened_ns=share.opened_ns,
            )
            for (phase_id, held), share in self._account.shares.items()
            if held == symbol and share.quantity != ZERO
        )
        return Position(
            symbol=symbol,
            quantity=holding.quantity,
            average_entry_price=holding.average_entry_price,
            realized_pnl=self._account.realized.get(symbol, ZERO),
            mark_price=mark.price if mark is not None else ZERO,
            unrealized_pnl=holding.unrealized_pnl(mark.price) if mark is not None else ZERO,
            stop_price=farthest_trigger(stops, -direction),
            stop_quantity=sum((order.remaining_quantity for order in stops), ZERO),
            target_price=farthest_trigger(targets, direction),
            opened_ns=holding.opened_ns,
            updated_ns=self._store.now_ns,
            shares=shares,
            lots=tuple(lot for (_, held), lots in self._account.lots.items() if held == symbol for lot in lots),
        )
