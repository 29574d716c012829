"""The order of events in Brain: market steps, intents, phases that connect, heartbeats."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from titan.brain.execution_client import ExecutionClient
from titan.brain.intent_handler import IntentHandler
from titan.brain.phase_sessions import PhaseSession, PhaseSessions, positions_message
from titan.risk.controller import RiskController
from titan.risk.state_updater import StateUpdater
from titan.v1 import brain_pb2 as b
from titan.v1 import market_pb2 as m
from titan.wire.brain import budget_to_wire, posture_to_wire
from titan.wire.fields import market_number
from titan.wire.market import instrument_from_wire


class BrainCore:
    """The listener of the market feed and of the phases.

    In lockstep a step waits for Execution's marker, then for each phase's. Intents are decided in rank order, so that
    two runs decide alike.
    """

    def __init__(
        self,
        updater: StateUpdater,
        controller: RiskController,
        intent_handler: IntentHandler,
        phases: PhaseSessions,
        execution: ExecutionClient,
        now_ns: Callable[[], int],
        on_defect: Callable[[str], None],
    ) -> None:
        self._updater = updater
        self._risk_state = updater.risk_state
        self._controller = controller
        self._intent_handler = intent_handler
        self._phases = phases
        self._execution = execution
        self._now_ns = now_ns
        self._on_defect = on_defect
        # Intents are decided as they come. Before the first evaluation, and between lockstep steps, they wait.
        self.deciding = False
        self._ended = False
        self.waiting: deque[tuple[b.Intent, PhaseSession, int]] = deque()

    async def run_heartbeats(self, period_s: float) -> None:
        """Send a heartbeat and evaluate, every ``period_s``, until canceled."""
        while True:
            self._execution.heartbeat(self._controller.state)
            if not self._execution.holding:
                self._controller.evaluate(self._now_ns())
            await asyncio.sleep(period_s)

    def on_intent(self, message: b.Intent, session: PhaseSession, received_ns: int) -> None:
        """Decide an intent, or keep it until the step decides."""
        # In lockstep the intents of two phases race on the network: their rank decides which comes first, not chance.
        if self.deciding and (len(self._phases.by_id) == 1 or not self._risk_state.lockstep):
            self._intent_handler.handle(message, session, received_ns)
        else:
            self.waiting.append((message, session, received_ns))

    def on_phase_connected(self, session: PhaseSession) -> None:
        """Send the phase its posture, its positions and a live budget."""
        phase, now_ns = self._risk_state.phases[session.phase_id], self._now_ns()
        phase.connected, phase.policy_hash = True, session.policy_hash
        session.post(b.SubmitResponse(posture=posture_to_wire(self._controller.state)))
        session.post(positions_message(self._updater.mirror.shares_of_phase(session.phase_id)))
        if phase.budget is not None and not phase.budget.expired(now_ns):
            session.post(b.SubmitResponse(budget=budget_to_wire(phase.budget)))
        else:
            self._controller.grant_budgets(now_ns)

    def on_phase_lost(self, session: PhaseSession) -> None:
        """Grant the phase no further budget."""
        self._risk_state.phases[session.phase_id].connected = False

    def on_market(self, hello: m.MarketHello) -> None:
        """Take over the traded instruments."""
        self._risk_state.list_instruments(instrument_from_wire(wire) for wire in hello.instruments)
        self._risk_state.lockstep = hello.lockstep
        # The end of the market has come once: nothing waits for a marker after it.
        self._execution.lockstep = hello.lockstep and not self._ended

    async def on_batch(self, batch: m.MarketBatch) -> None:
        """Process a batch of the market; a defect in it ends the process."""
        try:
            await self._process(batch)
        except Exception as error:
            self._on_defect(f"step {batch.step} could not be processed: {error}")
            raise

    async def _process(self, batch: m.MarketBatch) -> None:
        self._apply_quotes(batch)
        if batch.snapshot or not batch.step_complete:
            return
        lockstep, execution = self._risk_state.lockstep, self._execution
        if lockstep:
            execution.holding = True
            await execution.marker.reached(batch.step)
        self._controller.evaluate(self._now_ns())
        self._phases.mark(batch.step, batch.market_time_ns)
        self.deciding = True
        if not lockstep or len(self._phases.by_id) == 1:
            self._decide_waiting()
        if lockstep:
            for session in self._phases.by_id.values():
                await session.marker.reached(batch.step)
            self._decide_waiting()
            self.deciding = False
        execution.mark(batch.step, batch.market_time_ns)
        if batch.end_of_market:
            # No marker follows that would release the held reports.
            self._ended = True
            execution.lockstep = execution.holding = False
            execution.release()

    def _apply_quotes(self, batch: m.MarketBatch) -> None:
        symbols = self._risk_state.symbols
        for event in batch.events:
            if event.HasField("quote") and (symbol_state := symbols.get(event.symbol)) is not None:
                quote = event.quote
                bid = market_number(quote.bid_price)
                ask = market_number(quote.ask_price)
                symbol_state.quote(bid, ask, event.market_time_ns)

    def _decide_waiting(self) -> None:
        for session in self._phases.by_id.values():
            for message, sender, received_ns in self.waiting:
                if sender is session:
                    self._intent_handler.handle(message, session, received_ns)
        self.waiting.clear()
