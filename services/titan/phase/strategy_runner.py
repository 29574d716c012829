"""Feed the strategy: market batches and time in, intents to Brain out; its state survives a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

from titan.phase.brain_client import BrainClient
from titan.phase.state_file import StateFile
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.strategies.base import Strategy
from titan.v1 import market_pb2 as pb
from titan.wire.market import bar_from_wire, event_from_wire, instrument_from_wire


class StateStore:
    """Stores the strategy's state after each change."""

    def __init__(self, strategy: Strategy, file: StateFile, metrics: Metrics, log: Log) -> None:
        self._strategy = strategy
        self._file = file
        self._log = log
        self._failures = metrics.counter("titan_phase_memory_failures", "Failures to store the state.")

    def restore(self) -> None:
        """Restore the stored state.

        Raises
        ------
        StartError
            One sentence when the state cannot be read.
        """
        self._strategy.load_state(self._file.load())
        # A folder that cannot be written is found at the start rather than with the first fill.
        self._file.store(self._strategy.dump_state())

    def store(self) -> None:
        """Store the state; a failure is logged and counted."""
        try:
            self._file.store(self._strategy.dump_state())
        except OSError as error:
            # The state in memory stays valid; only a restart would lose it.
            self._failures.inc()
            self._log.error("state could not be stored", reason=str(error))


class StrategyRunner:
    """Runs the strategy over each batch of the market and submits its intents to Brain."""

    def __init__(self, strategy: Strategy, brain: BrainClient, fail: Callable[[str], None]) -> None:
        self._strategy = strategy
        self._brain = brain
        self._fail = fail

    def begin(self, hello: pb.MarketHello) -> None:
        """Take the market's instruments and its history."""
        try:
            self._strategy.on_instruments([instrument_from_wire(wire) for wire in hello.instruments])
        except ValueError as error:
            self._fail(str(error))
            raise
        self._strategy.warm_up([bar_from_wire(wire) for wire in hello.history])

    async def run_batch(self, batch: pb.MarketBatch, lockstep: bool) -> None:
        """Run the strategy over one batch, then mark a completed step towards Brain."""
        if lockstep and not batch.snapshot:
            # Fills, budgets and posture of this step are known before the strategy runs over it.
            await self._brain.brain_marker.reached(batch.step)
        try:
            self._submit_drafts(batch, time.monotonic_ns())
        except Exception as error:
            self._fail(f"step {batch.step} could not be processed: {error}")
            raise
        if batch.step_complete and not batch.snapshot:
            self._brain.mark(batch.step, batch.market_time_ns)

    def _submit_drafts(self, batch: pb.MarketBatch, started_ns: int) -> None:
        strategy, queued_ns = self._strategy, batch.queued_ns
        for wire in batch.events:
            drafts = strategy.on_event(event_from_wire(wire))
            if drafts:
                self._brain.submit(drafts, queued_ns, started_ns)
        drafts = strategy.on_time(batch.market_time_ns) if not batch.snapshot else ()
        if drafts:
            self._brain.submit(drafts, queued_ns, started_ns)
