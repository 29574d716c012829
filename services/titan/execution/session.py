"""Wiring of all parts that trade, once the lease is held: journal, account, venue, market, the session with Brain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from titan.domain.account import Change
from titan.domain.enums import Posture
from titan.domain.journal_records import Record
from titan.domain.marks import Marks
from titan.domain.order_intake import OrderIntakeRules
from titan.domain.policy_hash import Policy
from titan.domain.reasons import Reason
from titan.domain.truth import TruthSnapshot
from titan.durable.latch import Latch
from titan.durable.lease import Lease
from titan.execution.brain_session import BrainSession
from titan.execution.events import ExecutionEvents
from titan.execution.flatten import Flattener
from titan.execution.intake import OrderIntake
from titan.execution.journalled_account import JournalledAccount, count_changes, open_journal
from titan.execution.market_loop import MarketLoop
from titan.execution.posture_keeper import PostureKeeper, lower_for_cut
from titan.execution.projector import Projector
from titan.execution.protector import Protector
from titan.execution.queries import Queries
from titan.execution.rebaser import Rebaser
from titan.execution.reconciler import Reconciler
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.execution.valuation import Valuer
from titan.execution.venue_updates import VenueUpdates
from titan.execution.venue_watch import VenueWatch
from titan.runtime.market_feed import MarketFeed
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import market_pb2
from titan.venues.paper import PaperVenue


class TradingSession:
    """One holder of the lease, from recovery to the end.

    Parameters
    ----------
    fail
        Ends the process; called with one sentence when a part failed for good.
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
        self.policy = policy
        self.lease = lease
        # The parts are made with this object, so its receivers look them up when an event comes.
        events = ExecutionEvents(
            recorded=self._on_recorded,
            failed=self.fail,
            reconciliation_requested=self._on_reconciliation_requested,
            truth_changed=self._on_truth_changed,
            adopted=self._on_adopted,
            reconciled=self._on_reconciled,
            flatten_finished=self._on_flatten_finished,
            posture_changed=self._on_posture_changed,
            evidence_contradicted=self._on_evidence_contradicted,
        )
        state = Path(settings.state_dir)
        syncs = metrics.histogram("titan_journal_sync_seconds", "Durations of fdatasync.")
        backlog: list[tuple[int, Record, Change]] = []
        latch = Latch.load(state / "latch.json")
        journal, account, self._memory, self.report = open_journal(
            state / "journal",
            lambda duration_ns: syncs.observe(duration_ns / 1e9),
            lambda *each: backlog.append(each),
            lambda report: lower_for_cut(latch, report),
        )
        self._count = count_changes(metrics)
        self.projector = Projector(database, account, events, metrics, log)
        for each in backlog:
            self.projector.enqueue(*each)
        self.feed = MarketFeed(
            settings,
            (market_pb2.CHANNEL_QUOTES,),
            lambda _hello: None,
            self._on_batch,
            metrics,
            log,
            conflate=True,
            ends_steps=True,
        )
        self.store = store = JournalledAccount(journal, account, lambda: self.now_ns, lease.term, events)
        self.venue = PaperVenue(settings, log)
        self.sender = Sender(settings, store, self.venue, lease, metrics)
        self.posture = PostureKeeper(latch, store, policy.hash, settings.brain_silence_s, metrics, log)
        self.protector = Protector(settings, store, self.sender, metrics, log)
        self.venue_updates = VenueUpdates(store, self.sender, self.protector, self.venue.errors, events, metrics, log)
        leverage = min(Decimal(settings.margin_leverage), policy.rules.max_margin_leverage)
        self.valuer = Valuer(settings, store, Marks(), leverage)
        self.reconciler = Reconciler(
            settings,
            store,
            self.venue,
            self.sender,
            self.venue_updates,
            self.protector,
            self.valuer,
            self.posture,
            events,
            metrics,
            log,
        )
        rules = OrderIntakeRules(policy, settings.mode, account, self.valuer.marks)
        self.intake = OrderIntake(rules, store, self.sender, self.posture, self.venue, self.reconciler, events, metrics)
        self.brain = BrainSession(
            store,
            self.intake,
            self.posture,
            self.valuer,
            self.reconciler,
            self.protector,
            events,
            policy.hash,
            log,
        )
        watch = VenueWatch(policy.rules, self.venue.errors, store, self.posture)
        self.flattener = Flattener(store, self.venue, self.sender, self.protector, self.posture, events, log)
        self.market = MarketLoop(
            self.feed,
            self.venue,
            store,
            self.posture,
            self.venue_updates,
            self.protector,
            self.valuer,
            self.reconciler,
            self.flattener,
            self.brain,
            watch,
            events,
        )
        self.queries = Queries(
            store,
            self.posture,
            self.valuer,
            self.reconciler,
            Rebaser(store, self.posture, self.valuer, self.reconciler, log),
            self.brain,
            self.sender,
            self.projector,
            self.venue,
            policy.hash,
        )

    @property
    def now_ns(self) -> int:
        """Market time; after a restart not before the journal's last record."""
        return max(self.feed.clock.now_ns, self._memory.last_ns)

    def start(self) -> None:
        """Mark orders under way UNKNOWN, connect, reconcile, and trade."""
        self._log.info("journal recovered", report=self.report.message, records=self.store.journal.last_sequence)
        self.posture.start(self.report, self._memory)
        self.reconciler.mark_sent_unknown()
        self.store.notify()
        self.projector.start(self.report.records)
        self.venue.start(self.venue_updates.receive, self._venue_connected, self._venue_lost)
        self.feed.start()
        self._run(self.reconciler.run(), "reconciler")
        self._run(self.flattener.run(), "flattener")
        self._run(self.market.pulse(), "pulse")

    async def stop(self) -> None:
        """Reject new orders, cancel resting entries, close the streams and sync the journal."""
        self.intake.closing = True
        # While no Execution runs, nothing would cancel them in time.
        self.protector.cancel_entries("", Reason.SHUTTING_DOWN, "Execution stops")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.feed.stop()
        await self.venue.stop()
        self.store.notify()
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
        """Return the reasons for which it does not trade, a sentence each."""
        reasons = []
        if not self.venue.connected:
            reasons.append("no stream to the venue")
        if self.reconciler.problem:
            reasons.append(self.reconciler.problem)
        elif not self.reconciler.settled.is_set():
            reasons.append("orders and account are not reconciled with the venue yet")
        if not self.feed.connected:
            reasons.append("no market data")
        if self.store.journal.failed:
            reasons.append(self.store.journal.failed)
        if self.projector.problem and not self.projector.problem.away:
            # Tables of a database that is away only lag; a database of another schema must not be written at all.
            reasons.append(self.projector.problem.message)
        return reasons

    def lease_endangered(self, problem: str) -> None:
        """Cancel resting entries while the lease still covers a request: it could not be renewed."""
        count = self.protector.cancel_entries("", Reason.LEASE_LOST, problem)
        self._log.error("lease not renewed", reason=problem, entries_canceled=count)

    def fail(self, reason: str) -> None:
        """Cancel resting entries while that is possible, and end the process: a part failed for good."""
        self.intake.closing = True
        self.protector.cancel_entries("", Reason.SHUTTING_DOWN, reason)
        self._fail(reason)

    def _on_recorded(self, sequence: int, record: Record, change: Change) -> None:
        self.projector.enqueue(sequence, record, change)
        self.brain.send_change(sequence, change)
        self.flattener.wake()
        self._count(sequence, record, change)

    def _on_reconciliation_requested(self, reason: str) -> None:
        self.reconciler.request_pass(reason)

    def _on_truth_changed(self, truth: TruthSnapshot) -> None:
        self.brain.send_truth(truth)

    def _on_adopted(self) -> None:
        self.brain.send_account_anew()

    def _on_reconciled(self) -> None:
        self.brain.send_account()

    def _on_flatten_finished(self) -> None:
        self.brain.finish_flatten()

    def _on_posture_changed(self) -> None:
        self.market.enforce_posture()

    def _on_evidence_contradicted(self, reason: str) -> None:
        self.posture.tighten(Posture.CLOSE_ONLY, "execution", reason)
        self.market.enforce_posture()

    def _on_batch(self, batch: market_pb2.MarketBatch) -> Awaitable[None]:
        return self.market.on_batch(batch)

    def _venue_connected(self) -> None:
        self.market.resend_marker()
        self.reconciler.request_pass("the venue's stream is up")

    def _venue_lost(self, reason: str) -> None:
        self._log.warning("venue lost", reason=reason)
        self.venue_updates.connection_lost()
        self.reconciler.connection_lost()

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(f"{task.get_name()}: {error!r}")
