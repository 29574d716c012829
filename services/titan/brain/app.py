"""The composition root of Brain: construct the parts, connect them, start and stop them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from titan.brain.acts import PostureActs
from titan.brain.event_order import BrainCore
from titan.brain.execution_client import ExecutionClient
from titan.brain.execution_updates import ExecutionUpdates
from titan.brain.gauges import BrainGauges
from titan.brain.intent_handler import IntentHandler
from titan.brain.phase_sessions import PhaseService, PhaseSessions
from titan.brain.queries import Queries
from titan.brain.risk_notifier import RiskNotifier
from titan.brain.settings import BrainSettings, load_parameters, next_term, store_term
from titan.brain.snapshot import SnapshotTaker
from titan.brain.state_restore import StateRestore
from titan.brain.status import decisions_page, status_page
from titan.brain.stored_latch import StoredLatch
from titan.domain.policy import mode_problem
from titan.durable.latch import Latch
from titan.risk.controller import RiskController
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import RiskEngine
from titan.risk.limits import Limits
from titan.risk.state import RiskState
from titan.risk.state_updater import StateUpdater
from titan.runtime.http import Page
from titan.runtime.market_feed import MarketFeed
from titan.runtime.policy_file import load_policy
from titan.runtime.process import ServiceApp, StartError, run
from titan.runtime.rpc.contract import (
    BRAIN_EXPLAIN_DECISION,
    BRAIN_GET_BRAIN,
    BRAIN_LIST_DECISIONS,
    BRAIN_SET_CEILING,
    BRAIN_SET_POSTURE,
    BRAIN_SUBMIT,
)
from titan.runtime.rpc.server import RpcServer
from titan.storage.decisions import DecisionStore
from titan.storage.schema import BadDatabaseUrlError, default_url, make_engine
from titan.storage.spool import Spool
from titan.v1 import market_pb2 as m


class BrainApp(ServiceApp[BrainSettings]):
    """Intents in, decisions and orders out; posture, budgets and risk level between."""

    SETTINGS = BrainSettings

    def __init__(self, settings: BrainSettings) -> None:
        super().__init__(settings)
        policy = load_policy(settings.policy_file)
        problem = mode_problem(policy.rules, settings.mode)
        limits = Limits(policy.rules, policy.hash, load_parameters(settings), settings.mode, problem)
        term = next_term(settings.state_dir)
        self.risk_state = RiskState(limits, (), settings.phases)
        self.latch = Latch.load(Path(settings.state_dir) / "latch")
        self.store = self._make_store()

        self.phases = PhaseSessions(settings.phases)
        self.execution = ExecutionClient(settings, term, self._take_term, policy.hash, self.fail, self.log)
        self.notifier = RiskNotifier(self.phases, self.execution, self.store, self.log)
        latch = StoredLatch(self.latch, self.log)
        self.controller = RiskController(self.risk_state, latch, settings.ceiling, term, self.notifier)
        updater = StateUpdater(self.risk_state)
        self._engine = RiskEngine(limits, term)
        decisions = IntentDecisions(self._engine, self.risk_state, self.notifier.on_frequency_state)
        self.intent_handler = IntentHandler(
            decisions, self.now_ns, self.execution.place, self.store.save, self.metrics, self.log
        )
        self.restore = StateRestore(
            self._database,
            self.store,
            self.intent_handler,
            self.controller,
            self.risk_state,
            self.notifier,
            self.log,
        )
        self._execution_updates = ExecutionUpdates(
            self.execution,
            updater,
            self.controller,
            decisions,
            self.intent_handler.finish,
            self.phases,
            latch,
            self.now_ns,
            self.metrics,
            self.log,
        )
        self.core = BrainCore(
            updater, self.controller, self.intent_handler, self.phases, self.execution, self.now_ns, self.fail
        )
        self.feed = MarketFeed(
            settings,
            (m.CHANNEL_QUOTES,),
            self.core.on_market,
            self.core.on_batch,
            self.metrics,
            self.log,
            conflate=True,
        )
        self._snapshots = SnapshotTaker(
            self.risk_state,
            self.controller,
            self.execution,
            self.phases,
            self.intent_handler,
            self.store,
            self.feed,
        )
        self.metrics.registry.register(BrainGauges(self._snapshots.take))
        self.server = self._make_server(latch)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def term(self) -> int:
        """Brain's term."""
        return self.execution.term

    def now_ns(self) -> int:
        """Market time; 0 before it has begun."""
        return self.feed.clock.now_ns

    async def start(self) -> None:
        """Restore the stored state, serve, then connect.

        Raises
        ------
        StartError
            When the port is taken, in one sentence.
        """
        if self.risk_state.limits.not_enforced:
            self.log.warning("rules that nothing enforces", rules=list(self.risk_state.limits.not_enforced))
        await self.restore.restore()
        self.controller.set_ceiling(self.settings.ceiling, "the ceiling at Brain's start")
        self.controller.update_posture()
        await self.server.start()
        self.execution.start(self._execution_updates)
        self.feed.start()
        loop = asyncio.get_running_loop()
        heartbeats = self.core.run_heartbeats(self.settings.heartbeat_period_ms / 1e3)
        self._tasks.append(loop.create_task(heartbeats, name="heartbeat"))
        self._tasks.append(loop.create_task(self.restore.retry(), name="state restore"))

    async def stop(self) -> None:
        """Stop receiving, send pending decisions, then flush the store."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.intent_handler.finish()
        await self.feed.stop()
        await self.server.stop()
        await self.execution.stop()
        await self.store.stop()

    def not_ready(self) -> list[str]:
        """List the reasons that Brain cannot decide; neither a low posture nor a disconnected phase is one."""
        reasons = []
        problem = self.restore.problem
        if problem is not None and not problem.away:
            # A database that is away only keeps Brain from opening. One of another schema must not be written at all.
            reasons.append(problem.message)
        if not self.feed.connected:
            reasons.append("the market feed is not connected")
        if not self.execution.connected:
            reasons.append(self.execution.stale or "Execution is not connected")
        return reasons

    def status(self) -> dict[str, object]:
        """Posture, equity, phases, decisions."""
        return status_page(self._snapshots.take())

    def pages(self) -> dict[str, Callable[[], Page]]:
        """The pages of every process, and the latest decisions guard by guard."""
        return {**super().pages(), "/decisions": lambda: decisions_page(self.intent_handler.recent.newest())}

    def _take_term(self, term: int) -> None:
        """Decide by a higher term from now on."""
        store_term(self.settings.state_dir, term)
        self._engine.term = self.controller.term = term
        self.controller.update_posture()

    def _make_store(self) -> DecisionStore:
        settings = self.settings
        try:
            self._database = make_engine(settings.database_url or default_url(settings.state_dir, "brain"), "brain")
        except BadDatabaseUrlError as error:
            raise StartError(str(error)) from error
        spool = Spool(Path(settings.state_dir).resolve() / "unsaved.db")
        return DecisionStore(self._database, spool, self._on_store_problem)

    def _make_server(self, latch: StoredLatch) -> RpcServer:
        service = PhaseService(self.phases, self.core, self.fail, self.metrics, self.log)
        acts = PostureActs(
            self.controller,
            latch,
            self.execution,
            self.risk_state,
            self.now_ns,
            self.settings.acknowledge_timeout_ms / 1e3,
            self.log,
        )
        queries = Queries(self._snapshots.take, self.intent_handler.recent, self.store)
        server = RpcServer(self.settings, self.metrics, self.log)
        server.stream(BRAIN_SUBMIT, service.serve)
        server.unary(BRAIN_SET_POSTURE, acts.serve)
        server.unary(BRAIN_SET_CEILING, acts.serve_ceiling)
        server.unary(BRAIN_GET_BRAIN, queries.get_brain)
        server.unary(BRAIN_LIST_DECISIONS, queries.list_decisions)
        server.unary(BRAIN_EXPLAIN_DECISION, queries.explain)
        return server

    def _on_store_problem(self, problem: str | None) -> None:
        if problem is None:
            self.log.info("database written again")
        else:
            self.log.error("decisions are not saved; trading goes on", reason=problem)


def main() -> None:
    """Run the Brain process."""
    run(BrainApp)


if __name__ == "__main__":
    main()
