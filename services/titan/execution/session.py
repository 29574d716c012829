"""Everything that trades, put together once the lease is held: journal, account, venue, market, Brain's desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from titan.domain.equity import Marks
from titan.domain.kinds import DriftClass, Posture
from titan.domain.numbers import ZERO
from titan.domain.policy_hash import Policy
from titan.domain.reasons import Reason
from titan.domain.truth import Drift
from titan.domain.venue import VenueMarker
from titan.durable.latch import Latch
from titan.durable.lease import Lease
from titan.execution.account_store import AccountStore, count_changes, open_journal
from titan.execution.brain_session import BrainSession
from titan.execution.flatten import Flattener
from titan.execution.intake import OrderIntake
from titan.execution.posture import PostureKeeper
from titan.execution.projector import Projector
from titan.execution.queries import Queries
from titan.execution.reconciler import Reconciler
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.execution.valuation import Valuer
from titan.execution.venue_updates import VenueUpdates
from titan.runtime.market_feed import MarketFeed
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import market_pb2
from titan.venues.paper import PaperVenue

_PULSE_S = 0.1
_PULSES_A_SECOND = 10


class TradingSession:
    """One holder of the lease, from recovery to the end.

    Parameters
    ----------
    fail
        Ends the process: told one sentence when something broke that cannot be done without.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        policy: Policy,
        lease: Lease,
        database: AsyncEngine,
        metrics: Metrics,
        log: Log,
        fail: Callable[[str], None],
    ) -> None:
        self._log = log
        self._fail = fail
        self._tasks: list[asyncio.Task[None]] = []
        self._venue_marker: VenueMarker | None = None
        state = Path(settings.state_dir)
        syncs = metrics.histogram("titan_journal_sync_seconds", "Durations of fdatasync.")
        self.policy = policy
        self.lease = lease
        backlog: list[tuple[int, Any, Any]] = []
        journal, account, self._floor_ns, self.report = open_journal(
            state / "journal", lambda duration_ns: syncs.observe(duration_ns / 1e9), lambda *told: backlog.append(told)
        )
        self.store = store = AccountStore(journal, account, lambda: self.now_ns, lease.term)
        store.on_failed = self.broken
        self.projector = Projector(database, account, metrics, log)
        for told in backlog:
            self.projector.hear(*told)
        store.listeners.append(self.projector.hear)
        self.feed = MarketFeed(
            settings,
            (market_pb2.CHANNEL_QUOTES,),
            lambda _hello: None,
            self._on_batch,
            metrics,
            log,
            conflate=True,
        )
        self.venue = PaperVenue(settings, log)
        self.sender = Sender(settings, store, self.venue, lease, metrics)
        self.posture = PostureKeeper(Latch.load(state / "latch.json"), store, settings.brain_silence_s, metrics, log)
        self.desk = VenueUpdates(settings, store, self.sender, metrics, log)
        leverage = min(Decimal(settings.margin_leverage), policy.rules.max_margin_leverage)
        self.valuer = Valuer(settings, store, Marks(), leverage)
        self.reconciler = Reconciler(
            settings, store, self.venue, self.sender, self.desk, self.valuer, self._policy_drift, metrics, log
        )
        self.intake = OrderIntake(
            settings,
            policy,
            store,
            self.sender,
            self.posture,
            self.valuer.marks,
            lambda: self.venue.connected,
            lambda: self.reconciler.settled.is_set() and self.reconciler.truth.known,
            metrics,
        )
        self.brain = BrainSession(
            store, self.intake, self.posture, self.valuer, self.reconciler, self.desk, policy.hash, log
        )
        self.flattener = Flattener(store, self.venue, self.sender, self.desk, self.posture, self.reconciler, log)
        self.queries = Queries(
            store,
            self.posture,
            self.valuer,
            self.reconciler,
            self.brain,
            self.sender,
            self.projector,
            policy.hash,
            lambda: self.venue.connected,
        )
        self.desk.ask = self.reconciler.ask
        self.reconciler.on_truth = self.brain.tell_truth
        self.reconciler.on_settled = self.brain.tell_account
        self.flattener.on_finished = self.brain.flatten_finished
        self.brain.on_posture = self._on_posture
        store.listeners.append(lambda *_told: self.flattener.kick())
        store.listeners.append(count_changes(metrics))

    @property
    def now_ns(self) -> int:
        """Market time; after a restart not before the journal's last record."""
        return max(self.feed.clock.now_ns, self._floor_ns)

    def start(self) -> None:
        """Doubt what was under way, ask the venue, and go on."""
        self._log.info("journal recovered", report=self.report.message, records=self.store.journal.last_sequence)
        self.reconciler.doubt_everything_sent()
        self.store.tell()
        self.projector.start()
        self.venue.start(self.desk.on_update, self._venue_connected, self._venue_lost)
        self.feed.start()
        self._run(self.reconciler.run(), "reconciler")
        self._run(self.flattener.run(), "flattener")
        self._run(self._pulse(), "pulse")

    async def stop(self) -> None:
        """Take nothing more, take back the entries that rest, close the streams, make everything durable."""
        self.intake.closing = True
        # Nobody would end them in time.
        self.desk.cancel_entries("", Reason.SHUTTING_DOWN, "Execution stops")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.feed.stop()
        await self.venue.stop()
        self.store.tell()
        await self.projector.stop()
        if not self.store.journal.failed:
            self.store.close()

    @property
    def answered(self) -> bool:
        """Whether the venue has answered every request: a successor then need not wait."""
        flight = self.sender.flight
        return not (
            flight.cancels or flight.amends or any(not order.at_venue for order in self.store.account.working.values())
        )

    def not_ready(self) -> list[str]:
        """Why it does not trade, a sentence each."""
        reasons = []
        if not self.venue.connected:
            reasons.append("no stream to the venue")
        if not self.reconciler.settled.is_set():
            reasons.append("orders and account are not reconciled with the venue yet")
        if not self.feed.connected:
            reasons.append("no market data")
        if self.store.journal.failed:
            reasons.append(self.store.journal.failed)
        if self.projector.problem and not self.projector.problem.away:
            # A database that is away only lags; one of another schema must not be written by anybody.
            reasons.append(self.projector.problem.said)
        return reasons

    def lease_in_danger(self, problem: str) -> None:
        """The lease could not be renewed: while it still covers a request, take back the entries that rest."""
        count = self.desk.cancel_entries("", Reason.LEASE_LOST, problem)
        self._log.error("lease not renewed", reason=problem, entries_canceled=count)

    def _policy_drift(self) -> Drift | None:
        brain = self.posture.brain_policy_hash
        if not brain or brain == self.policy.hash:
            return None
        return Drift(drift_class=DriftClass.POLICY_HASH, symbol="", ours=self.policy.hash, venues=brain)

    async def _on_batch(self, batch: market_pb2.MarketBatch) -> None:
        for event in batch.events:
            if event.HasField("quote"):
                bid, ask = Decimal(event.quote.bid_price or 0), Decimal(event.quote.ask_price or 0)
                if bid > ZERO and ask > ZERO:
                    self.valuer.marks.update(event.symbol, (bid + ask) / 2, event.market_time_ns)
        if batch.snapshot or not batch.step_complete:
            if not self.feed.lockstep:
                self._react()
            return
        if self.feed.lockstep:
            # The venue's part of this step first, and nothing of it in doubt.
            await self.desk.markers.reached(batch.step)
            await self.reconciler.settled.wait()
        self._react()
        self.brain.mark(batch.step, batch.market_time_ns)
        if self.feed.lockstep:
            await self.brain.markers.reached(batch.step)
        self._venue_marker = VenueMarker(step=batch.step, market_time_ns=batch.market_time_ns)
        self.venue.send_marker(self._venue_marker)

    def _react(self) -> None:
        """Do what time, prices and posture demand."""
        self._heed_posture()
        self.desk.sweep(self.posture.in_force is Posture.ARMED)
        self.desk.protect()
        self.desk.watch_stops()
        equity = self.valuer.value()
        self.store.tell()
        self.brain.tell_equity(equity)

    def _on_posture(self) -> None:
        self._heed_posture()
        self.store.tell()

    def _heed_posture(self) -> None:
        posture = self.posture.in_force
        if posture is not Posture.ARMED:
            self.desk.cancel_entries("", Reason.CANCELED_BY_POSTURE, self.posture.why())
        if posture is Posture.FLATTEN:
            self.flattener.kick()

    def _venue_connected(self) -> None:
        if self._venue_marker is not None:
            self.venue.send_marker(self._venue_marker)
        self.reconciler.ask("the venue's stream is up")

    def _venue_lost(self, reason: str) -> None:
        self._log.warning("venue lost", reason=reason)
        self.desk.on_lost()
        self.reconciler.connection_lost()

    async def _pulse(self) -> None:
        """The machine's clock: silence, heartbeats, space, and in real time the market between two batches."""
        count = 0
        while True:
            await asyncio.sleep(_PULSE_S)
            count += 1
            if self.feed.lockstep:
                # Market time stands between two steps; only the machine's clock may have something to say.
                self._on_posture()
            else:
                self._react()
            if count % _PULSES_A_SECOND == 0:
                self.reconciler.charge_silence()
                self.store.journal.reserve()
            broken = self.feed.failure or self.venue.failure
            if broken is not None:
                self.broken(str(broken))

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken(f"{task.get_name()}: {error!r}")

    def broken(self, reason: str) -> None:
        """Something broke for good: take back what rests while that is possible, and end."""
        self.intake.closing = True
        self.desk.cancel_entries("", Reason.SHUTTING_DOWN, reason)
        self._fail(reason)
