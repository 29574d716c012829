"""The composition root of a phase: one process class for all of them; the settings name its strategy."""

from __future__ import annotations

import time

from titan.domain.numbers import format_decimal
from titan.phase.brain_client import BrainClient
from titan.phase.gauges import StrategyCounts
from titan.phase.settings import PhaseSettings, load_strategy
from titan.phase.state_file import StateFile
from titan.runtime.market_feed import MarketFeed
from titan.runtime.policy_file import load_policy
from titan.runtime.process import ServiceApp, run
from titan.v1 import market_pb2 as pb
from titan.wire.market import bar_from_wire, event_from_wire, instrument_from_wire


class PhaseApp(ServiceApp[PhaseSettings]):
    """Market events in, intents out; decisions, orders and fills back in."""

    SETTINGS = PhaseSettings

    def __init__(self, settings: PhaseSettings) -> None:
        super().__init__(settings)
        self.policy = load_policy(settings.policy_file)
        self.strategy = load_strategy(settings)
        self.state_file = StateFile(settings.state_dir)
        self.brain = BrainClient(
            settings, self.policy.hash, self.strategy, self.metrics, self.log, self.fail, self._store_state
        )
        needs = self.strategy.needs
        self.feed = MarketFeed(
            settings,
            (pb.CHANNEL_QUOTES, pb.CHANNEL_TRADES),
            self._on_hello,
            self._on_batch,
            self.metrics,
            self.log,
            symbols=needs.symbols,
            conflate=needs.conflate_quotes,
        )
        self.metrics.registry.register(StrategyCounts(self.strategy))
        self._posture_gauge = self.metrics.gauge(
            "titan_phase_posture", "Posture in force: 1 FLATTEN to 4 ARMED; 0 unknown."
        )
        self._posture_gauge.set_function(lambda: self.brain.posture.in_force if self.brain.posture else 0)
        budget_gauge = self.metrics.gauge(
            "titan_phase_budget_left_seconds", "Market time until the budget expires; 0 without a live budget."
        )
        budget_gauge.set_function(self._budget_left_s)
        self._store_failures = self.metrics.counter("titan_phase_memory_failures", "Failures to store the state.")

    async def start(self) -> None:
        """Restore the stored state, then connect to Brain and the market.

        Raises
        ------
        StartError
            One sentence when the state cannot be read.
        """
        self.strategy.load_state(self.state_file.load())
        # A folder that cannot be written is found at the start rather than with the first fill.
        self.state_file.store(self.strategy.dump_state())
        self.brain.start()
        self.feed.start()

    async def stop(self) -> None:
        """Stop receiving, then send the posted intents."""
        await self.feed.stop()
        await self.brain.stop()

    def not_ready(self) -> list[str]:
        """List the reasons that it cannot trade; a posture or budget that forbids opening is none."""
        reasons = []
        if not self.feed.connected:
            reasons.append("the market feed is not connected")
        if not self.brain.connected:
            reasons.append("Brain is not connected")
        elif self.brain.posture is None:
            reasons.append("no posture from Brain yet")
        return reasons

    def status(self) -> dict[str, object]:
        """Levels, traps, position, budget, posture and the last decision."""
        brain, feed = self.brain, self.feed
        posture, budget, decision = brain.posture, brain.budget, brain.last_decision
        return {
            "phase": brain.phase_id,
            "strategy": self.strategy.name,
            "policy_hash": self.policy.hash,
            "market": {
                "label": feed.label or None,
                "connected": feed.connected,
                "lockstep": feed.lockstep,
                "step": feed.last_step,
                "market_time_ns": feed.clock.now_ns or None,
                "ended": feed.ended,
            },
            "brain": {"connected": brain.connected, "policy_hash": posture.policy_hash if posture else None},
            "posture": posture.in_force.name if posture else None,
            "opening": brain.permission.reason
            if feed.clock.now_ns >= brain.permission.opening_until_ns
            else "permitted",
            "budget": None
            if budget is None
            else {
                "budget_id": budget.budget_id,
                "state": budget.state.name,
                "max_notional": format_decimal(budget.max_notional),
                "allocation": format_decimal(budget.allocation),
                "expires_in_s": round(self._budget_left_s(), 3),
                "reason": budget.reason,
            },
            "undecided_intents": list(brain.undecided),
            "last_decision": None
            if decision is None
            else {
                "intent_id": decision.intent_id,
                "approved": decision.approved,
                "reason": decision.reason.name,
                "message": decision.message,
            },
            **self.strategy.status(),
        }

    def _budget_left_s(self) -> float:
        budget = self.brain.budget
        return max(0.0, (budget.expires_at_ns - self.feed.clock.now_ns) / 1e9) if budget is not None else 0.0

    def _store_state(self) -> None:
        try:
            self.state_file.store(self.strategy.dump_state())
        except OSError as error:
            # The state in memory stays valid; only a restart would lose it.
            self._store_failures.inc()
            self.log.error("state could not be stored", reason=str(error))  # noqa: TRY400

    def _on_hello(self, hello: pb.MarketHello) -> None:
        try:
            self.strategy.on_instruments([instrument_from_wire(wire) for wire in hello.instruments])
        except ValueError as error:
            self.fail(str(error))
            raise
        self.strategy.warm_up([bar_from_wire(wire) for wire in hello.history])

    async def _on_batch(self, batch: pb.MarketBatch) -> None:
        if self.feed.lockstep and not batch.snapshot:
            # Fills, budgets and posture of this step are known before the strategy runs over it.
            await self.brain.brain_marker.reached(batch.step)
        try:
            self._process(batch, time.monotonic_ns())
        except Exception as error:
            self.fail(f"step {batch.step} could not be processed: {error}")
            raise
        if batch.step_complete and not batch.snapshot:
            self.brain.mark(batch.step, batch.market_time_ns)

    def _process(self, batch: pb.MarketBatch, started_ns: int) -> None:
        strategy, queued_ns = self.strategy, batch.queued_ns
        for wire in batch.events:
            drafts = strategy.on_event(event_from_wire(wire))
            if drafts:
                self.brain.submit(drafts, queued_ns, started_ns)
        drafts = strategy.on_time(batch.market_time_ns) if not batch.snapshot else ()
        if drafts:
            self.brain.submit(drafts, queued_ns, started_ns)


def main() -> None:
    """Run a phase process."""
    run(PhaseApp)


if __name__ == "__main__":
    main()
