"""The account: the fold over the journal's records, the same live and in recovery."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from titan.domain import orders as machine
from titan.domain.enums import OrderRole, OrderState
from titan.domain.equity import Peak, Valuation
from titan.domain.ids import client_order_id
from titan.domain.instruments import Instrument
from titan.domain.journal_records import (
    Adoption,
    BrainTerm,
    DayStart,
    Deposit,
    HighWaterMark,
    Intake,
    LatchChange,
    PeakMove,
    Record,
    Refusal,
)
from titan.domain.ledger import Ledger, LedgerAccount, Transaction, fill_transaction, transfer_transaction
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order, OrderEvent
from titan.domain.positions import HeldPositions, RoundTrip
from titan.domain.time import utc_day
from titan.domain.trip_results import TripResults
from titan.domain.truth import Drift


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
        self.positions = HeldPositions()
        # The same objects, for readers.
        self.holdings, self.realized = self.positions.holdings, self.positions.realized
        self.shares, self.lots, self.trips = self.positions.shares, self.positions.lots, self.positions.trips
        self.round_trips = self.positions.round_trips
        self.trip_results = TripResults()
        self.fees = ZERO
        # Fees in currencies that are neither base nor quote of their symbol, each in its own units.
        self.other_fees: dict[str, Decimal] = {}
        self.ledger = Ledger()
        self.peak = Peak()
        # Nonces of rebases: each works once, for ever.
        self.rebases: set[str] = set()
        self.brain_term = 0
        self.trade_ids: set[tuple[str, str]] = set()
        self.fills: list[Fill] = []
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
            moved = self.peak.transferred if fact.in_proportion else self.peak.shifted
            self.peak = moved(fact.amount)
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
        elif isinstance(fact, PeakMove):
            self.peak = msgspec.structs.replace(self.peak, high_water_mark=fact.high_water_mark, unsettled=ZERO)
            if fact.nonce:
                self.rebases.add(fact.nonce)
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

    @property
    def closable_positions(self) -> int:
        """Number of symbols with a net position that is not below the instrument's minimum."""
        return sum(
            abs(holding.quantity) >= instrument.min_quantity
            if (instrument := self.instruments.get(symbol)) is not None
            else holding.quantity != ZERO
            for symbol, holding in self.holdings.items()
        )

    def valuation(self) -> Valuation:
        """Return the inputs of equity other than marks."""
        return Valuation(
            assets=self.ledger.assets(),
            net_deposits=self.ledger.net_deposits(),
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
            message=_unused_terms(intake),
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
        fill = self.positions.without_base_fee(fill, instrument)
        fee = fill.fee_in_quote
        if fee is None:
            # Nobody here knows its price: it stays in its own currency, and the trip's fees are without it.
            self.other_fees[fill.fee_currency] = self.other_fees.get(fill.fee_currency, ZERO) + fill.fee
            fee = ZERO
        realized, trip = self.positions.book_fill(fill, fee, self.intakes.get(fill.intent_id))
        if trip is not None:
            self.trip_results.add(trip)
        fill = msgspec.structs.replace(fill, realized_pnl=realized)
        transaction = fill_transaction(fill, instrument)
        self.ledger.book(transaction)
        self.fees += fee
        self.trade_ids.add((fill.symbol, fill.trade_id))
        self._advance_cursor(fill.venue_sequence)
        self.fills.append(fill)
        self._put(filled)
        return Change(order=filled, fill=fill, round_trip=trip, transaction=transaction)

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
        self.positions.adopt(adoption, market_time_ns)
        return _NOTHING


def _unused_terms(intake: Intake) -> str:
    """Say which terms of a request do not apply, because it turned out to reduce: it makes no lot of its own."""
    if intake.order_role is not OrderRole.EXIT or not (intake.stop_price or intake.target_price):
        return ""
    return f"reduces the position: stop {intake.stop_price} and target {intake.target_price} do not apply"
