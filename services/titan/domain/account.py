"""The account: the fold over the journal's records, the same live and in recovery."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from titan.domain import orders as machine
from titan.domain.equity import Peak, Valuation
from titan.domain.ids import client_order_id
from titan.domain.instruments import Instrument
from titan.domain.kinds import OrderRole, OrderState, Side
from titan.domain.ledger import Ledger, LedgerAccount, Transaction, fill_transaction, transfer_transaction
from titan.domain.numbers import ZERO
from titan.domain.orders import PRECISION, Fill, Order, OrderEvent
from titan.domain.positions import Holding, Lot, RoundTrip, TripProgress, enter_lot, leave_lots, trade
from titan.domain.records import (
    Adoption,
    BrainTerm,
    DayStart,
    Deposit,
    HighWaterMark,
    Intake,
    LatchChange,
    Record,
    Refusal,
)
from titan.domain.time import utc_day
from titan.domain.truth import Drift

Share = tuple[str, str]  # phase id, symbol
# Positions that reconciliation found at the venue and no phase of ours opened.
NOBODY = ""
# An exit may reduce any lot of its share; these roles reduce the lot of their own entry first.
_OWN_LOT_FIRST = (OrderRole.STOP, OrderRole.TARGET, OrderRole.FLATTEN)


class AccountError(ValueError):
    """A record names an order or symbol that the account does not have; the message names it."""


class Change(msgspec.Struct, frozen=True):
    """Effect of a record, for its observers; empty where the record was a repetition."""

    order: Order | None = None
    fill: Fill | None = None
    round_trip: RoundTrip | None = None
    transaction: Transaction | None = None


_NOTHING = Change()


class Account:
    """Orders, positions, ledger and obligations, as the journal records them.

    Read its attributes; change it by :meth:`apply` only. Quantities in base units, prices and profit in quote units.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments
        self.orders: dict[str, Order] = {}
        self.working: dict[str, Order] = {}
        self.intakes: dict[str, Intake] = {}
        self.first_results: dict[tuple[str, int], str | Refusal] = {}
        self.attempts: dict[tuple[str, OrderRole], int] = {}
        self.holdings: dict[str, Holding] = {}
        self.shares: dict[Share, Holding] = {}
        self.lots: dict[Share, tuple[Lot, ...]] = {}
        self.trips: dict[Share, TripProgress] = {}
        self.realized: dict[str, Decimal] = {}
        self.fees = ZERO
        self.ledger = Ledger()
        self.peak = Peak()
        self.brain_term = 0
        self.trade_ids: set[tuple[str, str]] = set()
        self.fills: list[Fill] = []
        self.round_trips: list[RoundTrip] = []
        self.refusals = 0
        self.venue_cursor = 0
        self.opened: dict[int, list[str]] = {}
        self._ahead: set[int] = set()

    def apply(self, record: Record) -> Change:
        """Fold one record in.

        Raises
        ------
        AccountError
            When it names an order or symbol that the account does not know.
        TransitionError
            When a fill cannot happen to its order.
        """
        fact = record.fact
        if isinstance(fact, Intake):
            return self._take(fact, record.market_time_ns)
        if isinstance(fact, Order):
            return self._put(fact)
        if isinstance(fact, Fill):
            return self._fill(fact)
        if isinstance(fact, Refusal):
            self.first_results.setdefault((fact.intent_id, fact.attempt), fact)
            self.refusals += 1
        elif isinstance(fact, BrainTerm):
            self.brain_term = max(self.brain_term, fact.term)
        elif isinstance(fact, Deposit):
            self.peak = self.peak.deposited(fact.amount)
            return self._transfer(
                LedgerAccount.DEPOSITS, fact.asset, fact.amount, fact.reference, record.market_time_ns
            )
        elif isinstance(fact, DayStart):
            self.peak = Peak(
                high_water_mark=fact.high_water_mark,
                day_start_equity=fact.equity,
                day=utc_day(record.market_time_ns),
            )
        elif isinstance(fact, HighWaterMark):
            self.peak = msgspec.structs.replace(self.peak, high_water_mark=max(self.peak.high_water_mark, fact.equity))
        elif isinstance(fact, Adoption):
            return self._adopt(fact, record.market_time_ns)
        else:
            # Evidence for people: the latch has its own file, and a drift's repair is a record of its own.
            assert isinstance(fact, LatchChange | Drift)
        return _NOTHING

    @property
    def open_positions(self) -> int:
        """Number of symbols with an open net position."""
        return sum(holding.quantity != ZERO for holding in self.holdings.values())

    def valuation(self) -> Valuation:
        """Return the inputs of equity other than marks."""
        return Valuation(
            assets=self.ledger.assets(),
            holdings=self.holdings,
            realized_pnl=sum(self.realized.values(), ZERO),
            fees=self.fees,
            peak=self.peak,
        )

    def next_attempt(self, intent_id: str, order_role: OrderRole) -> int:
        """The number of the next order with this role for an intent."""
        return self.attempts.get((intent_id, order_role), 0) + 1

    def _take(self, intake: Intake, market_time_ns: int) -> Change:
        order = Order(
            client_order_id=client_order_id(intake.intent_id, intake.order_role, intake.attempt),
            intent_id=intake.intent_id,
            phase_id=intake.phase_id,
            order_role=intake.order_role,
            attempt=intake.attempt,
            symbol=intake.symbol,
            side=intake.side,
            type=intake.order_type,
            time_in_force=intake.time_in_force,
            quantity=intake.quantity,
            reduce_only=intake.order_role is OrderRole.EXIT,
            policy_hash=intake.policy_hash,
            term=intake.term,
            created_ns=market_time_ns,
            updated_ns=market_time_ns,
            limit_price=intake.limit_price,
            state=OrderState.JOURNALLED,
        )
        self.intakes[intake.intent_id] = intake
        self.first_results.setdefault((intake.intent_id, intake.attempt), order.client_order_id)
        if intake.order_role is OrderRole.ENTRY:
            self.opened.setdefault(utc_day(market_time_ns), []).append(intake.intent_id)
        return self._put(order)

    def _put(self, order: Order) -> Change:
        self.orders[order.client_order_id] = order
        if order.final:
            self.working.pop(order.client_order_id, None)
        else:
            self.working[order.client_order_id] = order
        key = (order.intent_id, order.order_role)
        self.attempts[key] = max(self.attempts.get(key, 0), order.attempt)
        return Change(order=order)

    def _fill(self, fill: Fill) -> Change:
        if (fill.symbol, fill.trade_id) in self.trade_ids:
            return _NOTHING
        order = self.orders.get(fill.client_order_id)
        instrument = self.instruments.get(fill.symbol)
        if order is None or instrument is None:
            missing = f"order {fill.client_order_id}" if order is None else f"symbol {fill.symbol}"
            raise AccountError(f"trade {fill.trade_id}: {missing} is not known")
        filled = machine.apply(
            order,
            OrderEvent(
                kind=machine.fill_kind(order, fill.quantity),
                quantity=fill.quantity,
                price=fill.price,
                market_time_ns=fill.event_time_ns,
            ),
        )
        signed = fill.quantity * fill.side.sign
        holding, realized = trade(self.holdings.get(fill.symbol, Holding()), signed, fill.price, fill.event_time_ns)
        fill = msgspec.structs.replace(fill, realized_pnl=realized)
        transaction = fill_transaction(fill, instrument)
        self.ledger.book(transaction)
        self.holdings[fill.symbol] = holding
        self.realized[fill.symbol] = self.realized.get(fill.symbol, ZERO) + realized
        fee = _fee_in_quote(fill, instrument)
        self.fees += fee
        self.trade_ids.add((fill.symbol, fill.trade_id))
        self._advance_cursor(fill.venue_sequence)
        self.fills.append(fill)
        self._put(filled)
        trip = self._share(fill, signed, fee)
        return Change(order=filled, fill=fill, round_trip=trip, transaction=transaction)

    def _share(self, fill: Fill, signed: Decimal, fee: Decimal) -> RoundTrip | None:
        key = (fill.phase_id, fill.symbol)
        before = self.shares.get(key, Holding())
        after, _ = trade(before, signed, fill.price, fill.event_time_ns)
        self.shares[key] = after
        first = fill.intent_id if fill.order_role in _OWN_LOT_FIRST else ""
        lots, rest = leave_lots(self.lots.get(key, ()), signed, first, fill.event_time_ns)
        if rest != ZERO:
            intake = self.intakes.get(fill.intent_id)
            entry = intake is not None and fill.order_role is OrderRole.ENTRY
            lots = enter_lot(
                lots,
                Lot(
                    intent_id=fill.intent_id,
                    phase_id=fill.phase_id,
                    symbol=fill.symbol,
                    quantity=rest,
                    stop_price=intake.stop_price if intake is not None and entry else ZERO,
                    target_price=intake.target_price if intake is not None and entry else ZERO,
                    opened_ns=fill.event_time_ns,
                    updated_ns=fill.event_time_ns,
                ),
            )
        self.lots[key] = lots
        return self._progress(key, fill, before.quantity, fee)

    def _progress(self, key: Share, fill: Fill, before: Decimal, fee: Decimal) -> RoundTrip | None:
        """Book a fill onto the share's round trip; a reversal finishes one and begins the next."""
        side = Side.BUY if before > ZERO else Side.SELL
        closing = min(fill.quantity, abs(before)) if before != ZERO and fill.side is not side else ZERO
        opening = fill.quantity - closing
        closing_fee = (fee * closing / fill.quantity).quantize(PRECISION)
        finished: RoundTrip | None = None
        progress = self.trips.get(key)
        if closing > ZERO and progress is not None:
            progress = progress.with_trade(fill.side, closing, fill.price, closing_fee)
            if closing == abs(before):
                finished = progress.finished(key[0], key[1], fill.event_time_ns)
                self.round_trips.append(finished)
                progress = None
        if opening > ZERO:
            if progress is None:
                intake = self.intakes.get(fill.intent_id)
                progress = TripProgress(
                    intent_id=fill.intent_id,
                    setup=intake.setup if intake is not None else "",
                    side=fill.side,
                    opened_ns=fill.event_time_ns,
                )
            progress = progress.with_trade(fill.side, opening, fill.price, fee - closing_fee)
        if progress is None:
            self.trips.pop(key, None)
        else:
            self.trips[key] = progress
        return finished

    def _advance_cursor(self, sequence: int) -> None:
        """Advance the cursor up to the first gap, so that a query from it returns every missed trade."""
        if sequence <= self.venue_cursor:
            return
        self._ahead.add(sequence)
        while self.venue_cursor + 1 in self._ahead:
            self.venue_cursor += 1
            self._ahead.remove(self.venue_cursor)

    def _transfer(
        self, account: LedgerAccount, asset: str, amount: Decimal, reference: str, market_time_ns: int
    ) -> Change:
        transaction = transfer_transaction(account, asset, amount, reference, market_time_ns)
        self.ledger.book(transaction)
        return Change(transaction=transaction)

    def _adopt(self, adoption: Adoption, market_time_ns: int) -> Change:
        if adoption.asset:
            over = adoption.amount - self.ledger.balance(LedgerAccount.ASSETS, adoption.asset)
            return self._transfer(LedgerAccount.ADJUSTMENTS, adoption.asset, over, "reconciliation", market_time_ns)
        symbol = adoption.symbol
        over = adoption.quantity - self.holdings.get(symbol, Holding()).quantity
        self.holdings[symbol] = Holding(adoption.quantity, adoption.average_entry_price, market_time_ns)
        # A reduction is taken from the phases' shares; an excess belongs to no phase.
        for key in sorted(self.shares):
            share = self.shares[key]
            if key[1] != symbol or share.quantity == ZERO or (share.quantity > ZERO) == (over > ZERO):
                continue
            taken = -share.quantity if abs(over) >= abs(share.quantity) else over
            self._resize(key, taken, market_time_ns)
            over -= taken
        if over != ZERO:
            key = (NOBODY, symbol)
            before = self.shares.get(key, Holding())
            self.shares[key], _ = trade(before, over, adoption.average_entry_price, market_time_ns)
            lot = Lot(
                intent_id=f"adopted:{symbol}",
                phase_id=NOBODY,
                symbol=symbol,
                quantity=over,
                opened_ns=market_time_ns,
                updated_ns=market_time_ns,
            )
            self.lots[key] = enter_lot(self.lots.get(key, ()), lot)
        return _NOTHING

    def _resize(self, key: Share, taken: Decimal, market_time_ns: int) -> None:
        share = self.shares[key]
        left = share.quantity + taken
        self.shares[key] = Holding(left, share.average_entry_price, share.opened_ns) if left != ZERO else Holding()
        self.lots[key], _ = leave_lots(self.lots.get(key, ()), taken, "", market_time_ns)
        # Entry and exit no longer match the trades: a round trip cannot be computed, and is not invented.
        if left == ZERO:
            self.trips.pop(key, None)


def _fee_in_quote(fill: Fill, instrument: Instrument) -> Decimal:
    return (fill.fee * fill.price).quantize(PRECISION) if fill.fee_currency == instrument.base else fill.fee
