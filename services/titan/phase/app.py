"""The composition root of a phase: one process class for all of them; the settings name its strategy."""

from __future__ import annotations

from titan.phase.brain_client import BrainClient
from titan.phase.gauges import StrategyCounts
from titan.phase.settings import PhaseSettings, load_strategy
from titan.phase.state_file import StateFile
from titan.phase.status import status_page
from titan.phase.strategy_runner import StateStore, StrategyRunner
from titan.runtime.market_feed import MarketFeed
from titan.runtime.policy_file import load_policy
from titan.runtime.process import ServiceApp, run
from titan.v1 import market_pb2 as pb


class PhaseApp(ServiceApp[PhaseSettings]):
    """Market events in, intents out; decisions, orders and fills back in."""

    SETTINGS = PhaseSettings

    def __init__(self, settings: PhaseSettings) -> None:
        super().__init__(settings)
        self.policy = load_policy(settings.policy_file)
        self.strategy = load_strategy(settings)
        self.state_store = StateStore(self.strategy, StateFile(settings.state_dir), self.metrics, self.log)
        self.brain = BrainClient(
            settings, self.policy.hash, self.strategy, self.metrics, self.log, self.fail, self.state_store.store
        )
        self.runner = StrategyRunner(self.strategy, self.brain, self.fail)
        needs = self.strategy.needs
        self.feed = MarketFeed(
            settings,
            (pb.CHANNEL_QUOTES, pb.CHANNEL_TRADES),
            self.runner.begin,
            lambda batch: self.runner.run_batch(batch, self.feed.lockstep),
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

    async def start(self) -> None:
        """Restore the stored state, then connect to Brain and the market.

        Raises
        ------
        StartError
            One sentence when the state cannot be read.
        """
        self.state_store.restore()
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
        """Render the ``/status`` page."""
        return status_page(self.brain, self.feed, self.strategy, self.policy.hash, self._budget_left_s())

    def _budget_left_s(self) -> float:
        budget = self.brain.budget
        return max(0.0, (budget.expires_at_ns - self.feed.clock.now_ns) / 1e9) if budget is not None else 0.0


def main() -> None:
    """Run a phase process."""
    run(PhaseApp)


if __name__ == "__main__":
    main()
