"""The composition root of Brain: market, phases and Execution around the pure risk core."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from titan.brain.acts import PostureActs
from titan.brain.book_updater import BookUpdater
from titan.brain.execution_client import ExecutionClient
from titan.brain.gauges import BrainGauges
from titan.brain.intent_handler import IntentHandler
from titan.brain.phase_sessions import PhaseSession, PhaseSessions, positions_message
from titan.brain.queries import Queries
from titan.brain.risk_controller import RiskController
from titan.brain.settings import BrainSettings, load_parameters, load_policy, next_term
from titan.brain.state_restore import StateRestore
from titan.brain.status import brain_status, decisions_page
from titan.domain.budgets import Budget, PostureState
from titan.domain.kinds import Posture
from titan.domain.policy import mode_problem
from titan.domain.reasons import Reason
from titan.durable.latch import Latch, LatchUnavailable
from titan.risk.engine import RiskEngine
from titan.risk.limits import Limits
from titan.risk.state import RiskState
from titan.runtime.http import Page
from titan.runtime.market_feed import MarketFeed
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
from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.wire.brain import budget_to_wire, posture_to_wire
from titan.wire.market import instrument_from_wire


class BrainApp(ServiceApp[BrainSettings]):
    """Intents in, decisions and orders out; posture, budgets and risk level between."""

    SETTINGS = BrainSettings

    def __init__(self, settings: BrainSettings) -> None:
        super().__init__(settings)
        self.policy = load_policy(settings)
        parameters = load_parameters(settings)
        problem = mode_problem(self.policy.rules, settings.mode)
        self.limits = Limits(self.policy.rules, self.policy.hash, parameters, settings.mode, problem)
        self.term = next_term(settings.state_dir)
        self.risk_state = RiskState(self.limits, (), settings.phases)
        self.picture = BookUpdater(self.risk_state)
        self.latch = Latch.load(Path(settings.state_dir) / "latch")
        try:
            self._database = make_engine(settings.database_url or default_url(settings.state_dir, "brain"), "brain")
        except BadDatabaseUrlError as error:
            raise StartError(str(error)) from error
        spool = Spool(Path(settings.state_dir).resolve() / "unsaved.db")
        self.store = DecisionStore(self._database, spool, self._on_store_problem)
        self.governor = RiskController(
            self.risk_state, self.latch, settings.ceiling, self.term, self, self.store.remember, self.log
        )
        self.execution = ExecutionClient(
            settings,
            self.term,
            self.policy.hash,
            lambda: self.governor.state,
            lambda: self._stepping,
            self._on_execution,
            self._on_execution_lost,
            self.fail,
            self.log,
        )
        self.decider = IntentHandler(
            RiskEngine(self.limits, self.term),
            self.risk_state,
            self.now_ns,
            self.execution.place,
            self.store.save,
            self.metrics,
            self.log,
        )
        self.earlier_life = StateRestore(self._database, self.store, self.decider, self.governor, self.log)
        self.phases = PhaseSessions(
            settings.phases, self._on_intent, self._on_phase, self._on_phase_gone, self.fail, self.metrics, self.log
        )
        self.feed = MarketFeed(
            settings, (m.CHANNEL_QUOTES,), self._on_market, self._on_batch, self.metrics, self.log, conflate=True
        )
        acts = PostureActs(
            self.governor, self.execution, self.risk_state, self.now_ns, settings.acknowledge_timeout_ms / 1e3, self.log
        )
        queries = Queries(
            self.picture,
            self.governor,
            self.execution,
            self.phases,
            self.decider,
            self.store,
            self.now_ns,
            lambda: self.feed.label,
        )
        self.server = RpcServer(settings, self.metrics, self.log)
        self.server.stream(BRAIN_SUBMIT, self.phases.serve)
        self.server.unary(BRAIN_SET_POSTURE, acts.serve)
        self.server.unary(BRAIN_SET_CEILING, acts.serve_ceiling)
        self.server.unary(BRAIN_GET_BRAIN, queries.get_brain)
        self.server.unary(BRAIN_LIST_DECISIONS, queries.list_decisions)
        self.server.unary(BRAIN_EXPLAIN_DECISION, queries.explain)
        self.metrics.registry.register(BrainGauges(self))
        self._refusals = self.metrics.counter("titan_brain_refusals", "Orders that Execution refused.", ["reason"])
        # In lockstep: a step has begun, so what Execution says waits for its marker.
        self._stepping = False
        # Intents are decided as they come; before the first evaluation, and between steps, they wait.
        self._deciding = False
        self._waiting: deque[tuple[b.Intent, PhaseSession, int]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    def now_ns(self) -> int:
        """Market time; 0 before it has begun."""
        return self.feed.clock.now_ns

    async def start(self) -> None:
        """Take up the state of an earlier life, listen, then connect.

        Raises
        ------
        StartError
            When the port is taken, in one sentence.
        """
        await self.earlier_life.take_up()
        self.governor.set_ceiling(self.settings.ceiling, "the ceiling at Brain's start")
        self.governor.announce()
        await self.server.start()
        self.execution.start()
        self.feed.start()
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._beat(), name="heartbeat"))
        self._tasks.append(loop.create_task(self.earlier_life.take_up_later(), name="taking up"))

    async def stop(self) -> None:
        """Hear nothing more, let what was decided go out, write the rest."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.feed.stop()
        await self.server.stop()
        await self.execution.stop()
        await self.store.stop()

    def not_ready(self) -> list[str]:
        """Why it cannot decide; a low posture is no reason, and neither is a phase that is away."""
        reasons = []
        unknown = self.earlier_life.problem
        if unknown is not None and not unknown.away:
            # One that is away only keeps it from opening; one of another schema must not be written by anybody.
            reasons.append(unknown.said)
        if not self.feed.connected:
            reasons.append("the market feed is not connected")
        if not self.execution.connected:
            reasons.append("Execution is not connected")
        return reasons

    def status(self) -> dict[str, object]:
        """Posture, equity, phases, decisions."""
        return brain_status(self)

    def pages(self) -> dict[str, Callable[[], Page]]:
        """The pages of every process, and the latest decisions guard by guard."""
        return {**super().pages(), "/decisions": lambda: decisions_page(self.decider.newest())}

    # The governor tells these.

    def on_posture(self, state: PostureState) -> None:
        """Tell everyone; below ARMED nothing that rests may go on to open."""
        self.phases.post_all(b.SubmitResponse(posture=posture_to_wire(state)))
        self.execution.heartbeat()
        if state.in_force < Posture.ARMED:
            self.execution.cancel_entries("", f"posture {state.in_force.name}: {state.reason}")

    def on_budget(self, budget: Budget) -> None:
        """Tell the phase."""
        self.phases.seats[budget.phase_id].post(b.SubmitResponse(budget=budget_to_wire(budget)))

    def on_budget_expired(self, phase_id: str, reason: str) -> None:
        """Cancel what rests of the phase."""
        self.log.warning("budget expired", phase_id=phase_id, reason=reason)
        self.execution.cancel_entries(phase_id, reason)

    def on_emergency(self, reason: str) -> None:
        """Have Execution flatten; the latch is there already."""
        self.execution.post_act(Posture.FLATTEN, "brain (risk level)", reason)

    # Phases.

    def _on_intent(self, message: b.Intent, seat: PhaseSession, received_ns: int) -> None:
        # In lockstep two phases' intents race on the network; rank, not chance, says which comes first.
        if self._deciding and (len(self.phases.seats) == 1 or not self.feed.lockstep):
            self.decider.decide(message, seat, received_ns)
        else:
            self._waiting.append((message, seat, received_ns))

    def _decide_waiting(self) -> None:
        for phase in self.phases.seats.values():
            mine = [item for item in self._waiting if item[1] is phase]
            for message, seat, received_ns in mine:
                self.decider.decide(message, seat, received_ns)
        self._waiting.clear()

    def _on_phase(self, seat: PhaseSession) -> None:
        phase = self.risk_state.phases[seat.phase_id]
        phase.connected, phase.policy_hash = True, seat.policy_hash
        seat.post(b.SubmitResponse(posture=posture_to_wire(self.governor.state)))
        seat.post(positions_message(self.picture.shares.of(seat.phase_id)))
        if phase.budget is not None and not phase.budget.expired(self.now_ns()):
            seat.post(b.SubmitResponse(budget=budget_to_wire(phase.budget)))
        else:
            self.governor.lease_now(self.now_ns())

    def _on_phase_gone(self, seat: PhaseSession) -> None:
        self.risk_state.phases[seat.phase_id].connected = False

    # Execution.

    def _on_execution(self, message: e.PlaceResponse) -> None:
        kind = message.WhichOneof("message")
        picture = self.picture
        if kind == "order":
            self.execution.answered(message.order.intent_id)
            order = picture.on_order(message.order)
            self._to_phase(order.phase_id, b.SubmitResponse(order=message.order))
        elif kind == "fill":
            self.execution.answered(message.fill.intent_id)
            fill = picture.on_fill(message.fill)
            if fill is not None:
                self._to_phase(fill.phase_id, b.SubmitResponse(fill=message.fill))
                self._to_phase(fill.phase_id, positions_message(picture.shares.of(fill.phase_id)))
        elif kind == "refusal":
            self._on_refusal(message.refusal)
        elif kind == "equity":
            picture.on_equity(message.equity)
        elif kind == "truth":
            picture.on_truth(message.truth)
        elif kind == "account":
            self._on_account(message.account)
        elif kind == "act":
            self._on_act(message.act)
        else:
            known = "account, order, fill, refusal, truth, marker, act, equity"
            raise ValueError(f"Execution sent {kind!r}; known are {known}")
        if not self._stepping:
            self.governor.evaluate(self.now_ns())

    def _on_account(self, account: e.AccountState) -> None:
        if not self.feed.lockstep:
            self._drop_expired()
        self.picture.on_account(account, frozenset(self.execution.pending))
        self.risk_state.execution_connected = True
        self.decider.journalled = frozenset(account.recent_intent_ids)
        if account.policy_hash != self.policy.hash:
            self.log.error("policy hashes differ", brain=self.policy.hash, execution=account.policy_hash)
        if self.latch.posture is Posture.FLATTEN:
            # Whatever it has done of it, it does the rest; nothing to do is done at once.
            self.execution.post_act(Posture.FLATTEN, self.latch.by, self.latch.reason)
        elif account.HasField("posture"):
            self._follow_latch(account.posture.latch, account.posture.reason)
        self.governor.evaluate(self.now_ns())
        for seat in self.phases.seats.values():
            seat.post(positions_message(self.picture.shares.of(seat.phase_id)))

    def _on_execution_lost(self) -> None:
        self.risk_state.execution_connected = False

    def _on_refusal(self, refusal: e.PlaceRefusal) -> None:
        self.execution.answered(refusal.intent_id)
        self.risk_state.reservations.release(refusal.intent_id)
        self._refusals.labels(Reason(refusal.reason).name).inc()
        self.log.warning("execution refused", intent_id=refusal.intent_id, message=refusal.message)

    def _on_act(self, act: e.PostureActResult) -> None:
        flattening = self.latch.posture is Posture.FLATTEN
        if flattening and act.act_id == self.execution.flatten_act and act.latch == Posture.HALTED.value:
            try:
                self.latch.finish_flatten("execution", "the account is flat")
            except LatchUnavailable as error:
                self.log.error("latch stays at FLATTEN", reason=error.reason)  # noqa: TRY400
            self.governor.announce()
        elif not flattening:
            self._follow_latch(act.latch, act.message)

    def _follow_latch(self, number: int, reason: str) -> None:
        """Execution's latch lowers ours; it never raises it."""
        if number and Posture(number) < self.latch.posture:
            self.governor.tighten(Posture(number), "execution", reason)
            self.governor.announce()
            if self.latch.posture is Posture.FLATTEN:
                # Asked for by us too: so it is we who hear when it is done.
                self.execution.post_act(Posture.FLATTEN, self.latch.by, self.latch.reason)

    # The market.

    def _on_market(self, hello: m.MarketHello) -> None:
        self.risk_state.list_instruments(instrument_from_wire(wire) for wire in hello.instruments)
        self.risk_state.lockstep = hello.lockstep

    async def _on_batch(self, batch: m.MarketBatch) -> None:
        try:
            await self._work_on(batch)
        except Exception as error:
            self.fail(f"step {batch.step} could not be worked on: {error}")
            raise

    async def _work_on(self, batch: m.MarketBatch) -> None:
        self.picture.on_quotes(batch)
        if batch.snapshot or not batch.step_complete:
            return
        lockstep = self.feed.lockstep
        if lockstep:
            self._stepping = True
            await self.execution.marker.reached(batch.step)
        self.governor.evaluate(self.now_ns())
        self.phases.mark(batch.step, batch.market_time_ns)
        self._deciding = True
        if not lockstep or len(self.phases.seats) == 1:
            self._decide_waiting()
        if lockstep:
            for seat in self.phases.seats.values():
                await seat.marker.reached(batch.step)
            self._decide_waiting()
            self._deciding = False
        self.execution.mark(batch.step, batch.market_time_ns)
        if batch.end_of_market:
            # No marker will come for what is held from now on.
            self._stepping = False
            self.execution.let_through()

    async def _beat(self) -> None:
        period_s = self.settings.heartbeat_period_ms / 1e3
        while True:
            self.execution.heartbeat()
            if not self._stepping:
                self.governor.evaluate(self.now_ns())
            await asyncio.sleep(period_s)

    # Storage.

    def _on_store_problem(self, problem: str | None) -> None:
        if problem is None:
            self.log.info("database written again")
        else:
            self.log.error("decisions are not saved; trading goes on", reason=problem)

    def _to_phase(self, phase_id: str, message: b.SubmitResponse) -> None:
        seat = self.phases.seats.get(phase_id)
        if seat is not None:
            seat.post(message)

    def _drop_expired(self) -> None:
        """Entries that could not be sent within their time to live are no longer wanted."""
        now_ns = self.now_ns()
        for order in list(self.execution.pending.values()):
            if (
                order.position_effect == b.POSITION_EFFECT_OPENING
                and order.ttl_ns
                and now_ns > order.event_time_ns + order.ttl_ns
            ):
                self.execution.answered(order.intent_id)
                self.risk_state.reservations.release(order.intent_id)
                self.log.warning("entry not sent: its time to live ended", intent_id=order.intent_id)


def main() -> None:
    """Run the Brain process."""
    run(BrainApp)


if __name__ == "__main__":
    main()
