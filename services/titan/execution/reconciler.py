"""Three-way reconciliation with the venue: asking, comparing by the pure core, journalling what is adopted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec

from titan.domain.ids import client_order_id
from titan.domain.kinds import DriftClass, OrderRole, OrderState, PositionEffect
from titan.domain.ledger import LedgerAccount
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.orders import Order
from titan.domain.position_effect import classify
from titan.domain.reconcile import adoptions, compare, recognise
from titan.domain.records import Deposit
from titan.domain.truth import UNKNOWN_TRUTH, Drift, TruthSnapshot, after_pass, after_silence, points_lost_to_silence
from titan.domain.venue import VenueAccount, VenueOrder, VenueTrade
from titan.domain.venue_news import after_venue_order
from titan.execution.account_store import AccountStore
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.execution.valuation import Valuer
from titan.execution.venue_updates import VenueUpdates
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.venues.base import Venue, VenueUnavailableError

_TRADES_PAGE = 500
# Account and trades must be of one moment; while the market trades it may take some tries.
_SAME_MOMENT_TRIES = 20
# Between two passes that somebody asked for, and while something is still in doubt.
_PAUSE_S = 0.2
_QUOTE = "USDT"


class Reconciler:
    """Asks the venue for everything that is not certain, and compares.

    A pass runs at start, after each reconnection, every ``reconcile_interval_s`` and whenever somebody
    :meth:`asks <ask>` because something did not fit.

    Attributes
    ----------
    truth
        The snapshot of the last pass, less what silence has cost since.
    settled
        Set while nothing is in doubt: cleared when the connection breaks, set by a pass that resolved everything.
    on_truth, on_settled
        Called when the truth changed, and after each pass that left nothing in doubt.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        store: AccountStore,
        venue: Venue,
        sender: Sender,
        desk: VenueUpdates,
        valuer: Valuer,
        policy_drift: Callable[[], Drift | None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.truth: TruthSnapshot = UNKNOWN_TRUTH
        self.settled = asyncio.Event()
        self.on_truth: Callable[[TruthSnapshot], None] = lambda _truth: None
        self.on_settled: Callable[[], None] = lambda: None
        self._settings = settings
        self._store = store
        self._account = store.account
        self._venue = venue
        self._sender = sender
        self._desk = desk
        self._valuer = valuer
        self._policy_drift = policy_drift
        self._log = log
        # What a predecessor signed last, it signed before we began.
        self._started_ns = sender.wall_ns()
        self._wanted = asyncio.Event()
        self._unstreamed: set[int] = set()
        # What the pass that is under way has found so far.
        self._found: list[Drift] = []
        self._silence_charged = 0
        self._drift_count = metrics.counter("titan_drifts", "Disagreements with the venue, by class.", ["class"])
        self._passes = metrics.counter("titan_reconciliations", "Passes of reconciliation.", ["result"])
        self._score = metrics.gauge("titan_truth_score", "Truth score 0 to 100; -1 while unknown.")
        self._score.set(-1)

    def ask(self, why: str) -> None:
        """Let a pass run soon."""
        if not self._wanted.is_set():
            self._log.info("reconciliation asked for", why=why)
            self._wanted.set()

    def doubt_everything_sent(self) -> None:
        """At start: what was journalled may or may not have reached the venue."""
        for order in list(self._account.working.values()):
            if order.state in (OrderState.JOURNALLED, OrderState.SENT):
                self._desk.doubt(order)

    def connection_lost(self) -> None:
        """Until the next pass nothing is certain."""
        self.settled.clear()
        self._unstreamed.clear()

    def charge_silence(self) -> None:
        """Take a point a second of silence beyond ten; to be called each second."""
        silent_ns = time.monotonic_ns() - self._desk.last_answer_monotonic_ns
        points = points_lost_to_silence(silent_ns)
        if points > self._silence_charged and self.truth.known:
            self._now_true(after_silence(self.truth, points - self._silence_charged))
        self._silence_charged = points

    async def run(self) -> None:
        """Pass after pass, for ever. Begins when something asks for the first."""
        await self._wanted.wait()
        while True:
            if self._venue.connected:
                try:
                    await self._pass()
                except VenueUnavailableError as error:
                    self._passes.labels("no_answer").inc()
                    self._log.warning("reconciliation got no answer", reason=str(error))
                    self._wanted.set()
            await asyncio.sleep(_PAUSE_S)
            try:
                async with asyncio.timeout(self._settings.reconcile_interval_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _pass(self) -> None:
        self._wanted.clear()
        # What the last pass had to fetch and the stream has not told since: the stream had lost it.
        late = sorted(self._unstreamed - self._desk.streamed)
        self._unstreamed.clear()
        drifts = [_missed(sequence) for sequence in late]
        self._found = drifts
        await self._fetch_trades()
        unresolved, lost_exits = await self._resolve_doubts()
        open_orders = await self._open_orders()
        venue_account = await self._account_of_one_moment()
        self._desk.last_answer_monotonic_ns = time.monotonic_ns()
        if venue_account is None:
            self._passes.labels("moving").inc()
            self._wanted.set()
            return
        self._take_deposits(venue_account)
        if (policy_drift := self._policy_drift()) is not None:
            drifts.append(policy_drift)
        self._compare(venue_account, open_orders, drifts)
        if unresolved:
            # Their receive window has not passed: they are asked again until it has.
            self._wanted.set()
        else:
            self._desk.protecting = True
            self._desk.protect()
            self._resend(lost_exits)
            self._store.tell()
            self.settled.set()
            self.on_settled()

    def _compare(self, venue_account: VenueAccount, open_orders: Iterable[VenueOrder], found: list[Drift]) -> None:
        result = compare(self._account, venue_account, open_orders, found)
        drifts = [_repaired(drift) for drift in result.drifts]
        for drift in drifts:
            self._drift_count.labels(drift.drift_class.name).inc()
            self._log.error(
                "drift", kind=drift.drift_class.name, symbol=drift.symbol, ours=drift.ours, venues=drift.venues
            )
            self._store.write(drift)
        for adoption in adoptions(result.drifts[len(found) :], venue_account):
            self._store.write(adoption)
        self._desk.settled_sequence = max(self._desk.settled_sequence, venue_account.last_trade_sequence)
        self._passes.labels("drift" if drifts else "clean").inc()
        self._now_true(after_pass(self.truth, drifts, result.ours_sha256, result.venues_sha256, self._store.now_ns))
        if not self.truth.known:
            # What was adopted is compared again at once: only a clean pass makes the truth known.
            self._wanted.set()

    def _now_true(self, truth: TruthSnapshot) -> None:
        self.truth = truth
        self._score.set(truth.score if truth.known else -1)
        self.on_truth(truth)

    async def _fetch_trades(self) -> None:
        """Book every trade since the cursor; the dedupe by trade id makes a second telling harmless."""
        after = self._account.venue_cursor
        while True:
            trades = await self._venue.get_trades(after, _TRADES_PAGE)
            for trade in trades:
                await self._fetch_trade(trade)
                after = max(after, trade.sequence)
            self._store.tell()
            if len(trades) < _TRADES_PAGE:
                return

    async def _fetch_trade(self, trade: VenueTrade) -> None:
        if (trade.symbol, trade.trade_id) in self._account.trade_ids:
            self._desk.highest_sequence = max(self._desk.highest_sequence, trade.sequence)
            return
        if trade.client_order_id not in self._account.orders:
            told = await self._venue.get_order(trade.client_order_id)
            if told is not None and trade.client_order_id not in self._account.orders:
                self._adopt(told, DriftClass.UNTRACKED)
        if self._desk.take_trade(trade) and self.settled.is_set() and trade.sequence not in self._desk.streamed:
            self._unstreamed.add(trade.sequence)

    async def _resolve_doubts(self) -> tuple[int, list[Order]]:
        """Ask for each order in doubt; return how many stay so, and the exits that turned out lost."""
        unresolved, lost_exits = 0, []
        for order in list(self._account.working.values()):
            if not self._in_doubt(order):
                continue
            told = await self._venue.get_order(order.client_order_id)
            # The stream may have told meanwhile.
            current = self._account.orders[order.client_order_id]
            if told is not None:
                self._desk.take_order(current, told)
            elif current.final or current.at_venue:
                continue
            elif self._may_still_arrive(current):
                unresolved += 1
            else:
                self._desk.mark_lost(current, "asked after the receive window: the venue has never had it")
                if current.order_role is OrderRole.EXIT:
                    lost_exits.append(current)
        self._store.tell()
        return unresolved, lost_exits

    def _in_doubt(self, order: Order) -> bool:
        return order.state is OrderState.UNKNOWN or (
            order.state is OrderState.SENT and not self._may_still_arrive(order)
        )

    def _may_still_arrive(self, order: Order) -> bool:
        signed_ns = self._sender.signed_ns.get(order.client_order_id, self._started_ns)
        return self._sender.wall_ns() <= signed_ns + self._settings.absence_ns

    async def _open_orders(self) -> tuple[VenueOrder, ...]:
        """The venue's open orders, after adopting what we did not know and asking for what it does not list."""
        ours = [order.client_order_id for order in self._account.working.values() if order.at_venue]
        open_orders = await self._venue.get_open_orders()
        for told in open_orders:
            known = self._account.orders.get(told.client_order_id)
            if known is not None:
                self._desk.take_order(known, told)
            else:
                self._adopt(told, DriftClass.ORPHAN_ORDER)
        listed = {told.client_order_id for told in open_orders}
        for order_id in ours:
            if order_id in listed or not self._account.orders[order_id].at_venue:
                continue
            answer = await self._venue.get_order(order_id)
            order = self._account.orders[order_id]
            if answer is not None:
                self._desk.take_order(order, answer)
            elif order.at_venue:
                self._found.append(
                    Drift(drift_class=DriftClass.GHOST, symbol=order.symbol, ours=order_id, venues="no such order")
                )
                self._desk.mark_lost(order, "the venue acknowledged it and no longer knows it")
        return open_orders

    def _adopt(self, told: VenueOrder, otherwise: DriftClass) -> None:
        """Journal an order that only the venue has; it is a drift, unless its id says that it is ours."""
        order = recognise(self._account, told, self._store.term)
        try:
            self._store.write(after_venue_order(order, told))
        except ValueError as error:
            self._log.error("order cannot be adopted", order=told.client_order_id, reason=str(error))
        self._log.warning("order adopted from the venue", order=told.client_order_id, intent=order.intent_id)
        if order.intent_id not in self._account.intakes:
            self._found.append(
                Drift(drift_class=otherwise, symbol=told.symbol, ours="no such order", venues=told.client_order_id)
            )

    async def _account_of_one_moment(self) -> VenueAccount | None:
        """The venue's account, once we have booked exactly the trades that it contains; None when it keeps moving."""
        for _ in range(_SAME_MOMENT_TRIES):
            venue_account = await self._venue.get_account()
            if venue_account.last_trade_sequence > self._desk.highest_sequence:
                await self._fetch_trades()
            if venue_account.last_trade_sequence == self._desk.highest_sequence:
                return venue_account
        return None

    def _take_deposits(self, venue_account: VenueAccount) -> None:
        known = -self._account.ledger.balance(LedgerAccount.DEPOSITS, _QUOTE)
        if venue_account.deposits != known:
            reference = f"{self._venue.name} {format_decimal(venue_account.deposits)}"
            self._valuer.deposited(Deposit(asset=_QUOTE, amount=venue_account.deposits - known, reference=reference))

    def _resend(self, lost_exits: Iterable[Order]) -> None:
        """Send exits again that are proven to have been lost. Entries never; stops and targets are planned anew."""
        for lost in lost_exits:
            if (
                classify(self._account, lost.phase_id, lost.symbol, lost.side, lost.quantity)
                is not PositionEffect.REDUCING
            ):
                continue
            attempt = self._account.next_attempt(lost.intent_id, OrderRole.EXIT)
            now_ns = self._store.now_ns
            self._sender.place(
                [
                    msgspec.structs.replace(
                        lost,
                        client_order_id=client_order_id(lost.intent_id, OrderRole.EXIT, attempt),
                        attempt=attempt,
                        state=OrderState.NEW,
                        created_ns=now_ns,
                        updated_ns=now_ns,
                        filled_quantity=ZERO,
                        average_price=ZERO,
                        venue_order_id="",
                        message="",
                    )
                ]
            )


def _missed(sequence: int) -> Drift:
    return Drift(
        drift_class=DriftClass.MISSED_FILL, symbol="", ours="not told by the stream", venues=f"trade {sequence}"
    )


def _repaired(drift: Drift) -> Drift:
    if drift.drift_class is DriftClass.POLICY_HASH:
        return drift
    return msgspec.structs.replace(drift, resolved=True, repair="the venue's is taken as true")
