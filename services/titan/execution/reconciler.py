"""Three-way reconciliation with the venue: query, compare by the pure core, journal every adoption."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec

from titan.domain.enums import DriftClass, OrderRole, OrderState
from titan.domain.journal_records import Deposit
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.orders import Order
from titan.domain.truth import (
    UNKNOWN_TRUTH,
    Drift,
    TruthSnapshot,
    after_drift,
    after_pass,
    after_silence,
    points_lost_to_silence,
)
from titan.domain.venue import ACCOUNT_CURRENCY, VenueAccount, VenueOrder, VenueTrade
from titan.domain.venue_comparison import adoptions, compare, foreign_account, next_exit, recognize
from titan.domain.venue_news import after_venue_order
from titan.execution.events import ExecutionEvents
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.protector import Protector
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.execution.valuation import Valuer
from titan.execution.venue_updates import VenueUpdates
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.venues.base import Venue, VenueUnavailableError

_TRADES_PAGE = 500
# Account and trades must be of one moment; in a moving market that may take some tries.
_SAME_MOMENT_TRIES = 20
# Pause between two requested passes, and while an order is still in doubt.
_PAUSE_S = 0.2


class Reconciler:
    """Queries the venue for everything that is not certain, and compares.

    A pass runs at start, after each reconnection, every ``reconcile_interval_s`` and after each :meth:`request_pass`.

    Attributes
    ----------
    truth
        The snapshot of the last pass, less the points lost to silence since.
    settled
        Set while nothing is in doubt: cleared when the connection breaks, set by a pass that resolved everything.
    problem
        Why no pass can ever succeed with this venue account; empty where one can.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        store: JournalledAccount,
        venue: Venue,
        sender: Sender,
        venue_updates: VenueUpdates,
        protector: Protector,
        valuer: Valuer,
        posture: PostureKeeper,
        events: ExecutionEvents,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.truth: TruthSnapshot = UNKNOWN_TRUTH
        self.settled = asyncio.Event()
        self.problem = ""
        self._settings = settings
        self._store = store
        self._account = store.account
        self._venue = venue
        self._sender = sender
        self._updates = venue_updates
        self._protector = protector
        self._valuer = valuer
        self._posture = posture
        self._events = events
        self._log = log
        # A predecessor signed its last request before this moment.
        self._started_ns = sender.wall_ns()
        self._requested = asyncio.Event()
        self._unstreamed: set[int] = set()
        # Drifts that the pass under way has found so far.
        self._drifts: list[Drift] = []
        self._silence_charged = 0
        self._drift_count = metrics.counter("titan_drifts", "Disagreements with the venue, by class.", ["class"])
        self._passes = metrics.counter("titan_reconciliations", "Passes of reconciliation.", ["result"])
        self._score = metrics.gauge("titan_truth_score", "Truth score 0 to 100; -1 while unknown.")
        self._score.set(-1)

    @property
    def clean(self) -> bool:
        """Whether nothing is in doubt and the truth is known."""
        return self.settled.is_set() and self.truth.known

    def request_pass(self, reason: str) -> None:
        """Let a pass run soon."""
        if not self._requested.is_set():
            self._log.info("reconciliation requested", reason=reason)
            self._requested.set()

    def mark_sent_unknown(self) -> None:
        """Mark every journalled or sent order UNKNOWN at start: it may or may not have reached the venue."""
        for order in list(self._account.working.values()):
            if order.state in (OrderState.JOURNALLED, OrderState.SENT):
                self._updates.mark_unknown(order)

    def connection_lost(self) -> None:
        """Forget that nothing is in doubt, until the next pass."""
        self.settled.clear()
        self._unstreamed.clear()

    def charge_silence(self) -> None:
        """Take one point per second of silence beyond ten; called each second."""
        silent_ns = time.monotonic_ns() - self._updates.last_answer_monotonic_ns
        points = points_lost_to_silence(silent_ns)
        if points > self._silence_charged and self.truth.known:
            self._set_truth(after_silence(self.truth, points - self._silence_charged))
        self._silence_charged = points

    def record_drift(self, drift: Drift) -> None:
        """Journal a drift that was found and repaired between two passes; it costs what a plain one does."""
        self._report_drift(drift)
        self._set_truth(after_drift(self.truth, drift))

    async def run(self) -> None:
        """Run pass after pass, for ever, from the first request on."""
        await self._requested.wait()
        while True:
            if self._venue.connected:
                try:
                    await self._pass()
                except VenueUnavailableError as error:
                    self._passes.labels("no_answer").inc()
                    self._log.warning("reconciliation got no answer", reason=str(error))
                    self._requested.set()
            await asyncio.sleep(_PAUSE_S)
            try:
                async with asyncio.timeout(self._settings.reconcile_interval_s):
                    await self._requested.wait()
            except TimeoutError:
                continue

    async def _pass(self) -> None:
        self._requested.clear()
        # A trade that the last pass fetched and the stream has not delivered since was lost by the stream.
        late = sorted(self._unstreamed - self._updates.streamed)
        self._unstreamed.clear()
        drifts = [_missed_fill(sequence) for sequence in late]
        self._drifts = drifts
        await self._fetch_trades()
        unresolved, lost_exits = await self._resolve_doubts()
        open_orders = await self._open_orders()
        venue_account = await self._account_of_one_moment()
        self._updates.last_answer_monotonic_ns = time.monotonic_ns()
        if venue_account is None:
            self._passes.labels("foreign" if self.problem else "moving").inc()
            self._requested.set()
            return
        self._record_deposits(venue_account)
        if (policy_drift := self._posture.policy_drift()) is not None:
            drifts.append(policy_drift)
        self._compare(venue_account, open_orders, drifts)
        if unresolved:
            # The receive window of these orders has not passed: they are queried again until it has.
            self._requested.set()
        else:
            self._protector.active = True
            self._protector.protect()
            self._resend(lost_exits)
            self._store.notify()
            self.settled.set()
            self._events.reconciled()

    def _compare(self, venue_account: VenueAccount, open_orders: Iterable[VenueOrder], found: list[Drift]) -> None:
        result = compare(self._account, venue_account, open_orders, found)
        drifts = [_repaired(drift) for drift in result.drifts]
        for drift in drifts:
            self._report_drift(drift)
        adopted = adoptions(result.drifts[len(found) :], venue_account, self._account)
        for adoption in adopted:
            self._store.write(adoption)
        self._updates.settled_sequence = max(self._updates.settled_sequence, venue_account.last_trade_sequence)
        self._passes.labels("drift" if drifts else "clean").inc()
        self._set_truth(after_pass(self.truth, drifts, result.ours_sha256, result.venues_sha256, self._store.now_ns))
        if adopted:
            self._events.adopted()
        if not self.truth.known:
            # Adoptions are compared again at once: only a clean pass makes the truth known.
            self._requested.set()

    def _report_drift(self, drift: Drift) -> None:
        self._drift_count.labels(drift.drift_class.name).inc()
        self._log.error("drift", kind=drift.drift_class.name, symbol=drift.symbol, ours=drift.ours, venues=drift.venues)
        self._store.write(drift)

    def _set_truth(self, truth: TruthSnapshot) -> None:
        self.truth = truth
        self._score.set(truth.score if truth.known else -1)
        self._events.truth_changed(truth)

    async def _fetch_trades(self) -> None:
        """Book every trade since the cursor; the dedupe by trade id makes a second report harmless."""
        after = self._account.venue_cursor
        while True:
            trades = await self._venue.get_trades(after, _TRADES_PAGE)
            for trade in trades:
                await self._fetch_trade(trade)
                after = max(after, trade.sequence)
            self._store.notify()
            if len(trades) < _TRADES_PAGE:
                return

    async def _fetch_trade(self, trade: VenueTrade) -> None:
        if (trade.symbol, trade.trade_id) in self._account.trade_ids:
            self._updates.highest_sequence = max(self._updates.highest_sequence, trade.sequence)
            return
        if trade.client_order_id not in self._account.orders:
            reported = await self._venue.get_order(trade.client_order_id)
            if reported is not None and trade.client_order_id not in self._account.orders:
                self._adopt(reported, DriftClass.UNTRACKED)
        if self._updates.apply_trade(trade) and self.settled.is_set() and trade.sequence not in self._updates.streamed:
            self._unstreamed.add(trade.sequence)

    async def _resolve_doubts(self) -> tuple[int, list[Order]]:
        """Query each order in doubt; return how many stay so, and the exits that turned out lost."""
        unresolved, lost_exits = 0, []
        for order in list(self._account.working.values()):
            if not self._in_doubt(order):
                continue
            reported = await self._venue.get_order(order.client_order_id)
            # The stream may have reported the order meanwhile.
            current = self._account.orders[order.client_order_id]
            if reported is not None:
                self._updates.apply_order(current, reported)
            elif current.final or current.at_venue:
                continue
            elif self._may_still_arrive(current):
                unresolved += 1
            else:
                self._updates.mark_lost(current, "queried after the receive window: the venue has never had it")
                if current.order_role is OrderRole.EXIT:
                    lost_exits.append(current)
        self._store.notify()
        return unresolved, lost_exits

    def _in_doubt(self, order: Order) -> bool:
        return order.state is OrderState.UNKNOWN or (
            order.state is OrderState.SENT and not self._may_still_arrive(order)
        )

    def _may_still_arrive(self, order: Order) -> bool:
        signed_ns = self._sender.signed_ns.get(order.client_order_id, self._started_ns)
        return self._sender.wall_ns() <= signed_ns + self._settings.absence_ns

    async def _open_orders(self) -> tuple[VenueOrder, ...]:
        """Return the venue's open orders: adopt the unknown ones, query ours that it does not list."""
        ours = [order.client_order_id for order in self._account.working.values() if order.at_venue]
        open_orders = await self._venue.get_open_orders()
        for reported in open_orders:
            known = self._account.orders.get(reported.client_order_id)
            if known is not None:
                self._updates.apply_order(known, reported)
            else:
                self._adopt(reported, DriftClass.ORPHAN_ORDER)
        listed = {reported.client_order_id for reported in open_orders}
        for order_id in ours:
            if order_id in listed or not self._account.orders[order_id].at_venue:
                continue
            answer = await self._venue.get_order(order_id)
            order = self._account.orders[order_id]
            if answer is not None:
                self._updates.apply_order(order, answer)
            elif order.at_venue:
                self._drifts.append(
                    Drift(drift_class=DriftClass.GHOST, symbol=order.symbol, ours=order_id, venues="no such order")
                )
                self._updates.mark_lost(order, "the venue acknowledged it and no longer knows it")
        return open_orders

    def _adopt(self, reported: VenueOrder, otherwise: DriftClass) -> None:
        """Journal an order that only the venue has. It is a drift, unless its id is one of ours."""
        order = recognize(self._account, reported, self._store.term)
        try:
            self._store.write(after_venue_order(order, reported))
        except ValueError as error:
            self._log.error("order cannot be adopted", order=reported.client_order_id, reason=str(error))
        self._log.warning("order adopted from the venue", order=reported.client_order_id, intent=order.intent_id)
        if order.intent_id not in self._account.intakes:
            self._drifts.append(
                Drift(
                    drift_class=otherwise, symbol=reported.symbol, ours="no such order", venues=reported.client_order_id
                )
            )

    async def _account_of_one_moment(self) -> VenueAccount | None:
        """Return the venue's account once exactly its trades are booked here; None when it is not ours or moves on."""
        for _ in range(_SAME_MOMENT_TRIES):
            booked = self._updates.highest_sequence
            venue_account = await self._venue.get_account()
            if venue_account.last_trade_sequence > self._updates.highest_sequence:
                await self._fetch_trades()
            self._set_problem(
                foreign_account(venue_account.last_trade_sequence, booked, self._updates.highest_sequence)
            )
            if self.problem:
                return None
            if venue_account.last_trade_sequence == self._updates.highest_sequence:
                return venue_account
        return None

    def _set_problem(self, problem: str) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        if problem:
            self.settled.clear()
            self._set_truth(UNKNOWN_TRUTH)
            self._log.error("not our account", reason=problem)
        else:
            self._log.info("the venue's account is ours again")

    def _record_deposits(self, venue_account: VenueAccount) -> None:
        known = self._account.ledger.net_deposits().get(ACCOUNT_CURRENCY, ZERO)
        if venue_account.deposits != known:
            reference = f"{self._venue.name} {format_decimal(venue_account.deposits)}"
            self._valuer.record_deposit(
                Deposit(asset=ACCOUNT_CURRENCY, amount=venue_account.deposits - known, reference=reference)
            )

    def _resend(self, lost_exits: Iterable[Order]) -> None:
        """Send exits again that are proven lost. Entries are never sent again; stops and targets are planned anew."""
        for lost in lost_exits:
            if (order := next_exit(self._account, lost, self._store.now_ns)) is not None:
                self._sender.place([order])


def _missed_fill(sequence: int) -> Drift:
    return Drift(
        drift_class=DriftClass.MISSED_FILL, symbol="", ours="not reported by the stream", venues=f"trade {sequence}"
    )


def _repaired(drift: Drift) -> Drift:
    if drift.drift_class is DriftClass.POLICY_HASH:
        return drift
    repair = "the venue's is taken as true"
    if drift.drift_class is DriftClass.SHARES:
        repair = "the shares are cut to the net position"
    return msgspec.structs.replace(drift, resolved=True, repair=repair)
