"""A process's subscription to marketdata, and the market clock that comes with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import MARKETDATA_SUBSCRIBE
from titan.runtime.rpc.link import Link, end_process_if_broken
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import common_pb2
from titan.v1 import market_pb2 as pb


class MarketClock:
    """Market time in UTC nanoseconds; never goes back.

    In lockstep it stands at the last batch. In real time it runs on with the machine's monotonic clock, so that a
    price goes stale although the feed is silent. A batch that comes late does not hold it back: ages that are measured
    on it are never too small, however long this process was stopped or busy.

    Parameters
    ----------
    monotonic_ns
        The machine's monotonic clock.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._last_ns = 0
        self._floor_ns = 0
        self._advanced_monotonic_ns = 0
        self._running = False
        self._rejoined = False

    @property
    def now_ns(self) -> int:
        """Market time now; 0 before the first batch."""
        if not self._running:
            return max(self._floor_ns, self._last_ns)
        return max(self._floor_ns, self._last_ns + self._monotonic_ns() - self._advanced_monotonic_ns)

    def rejoin(self) -> None:
        """Follow the next step's time, also a lower one: a market that was stopped has not moved meanwhile.

        The clock then stands until the market has caught up. Without this, every age would be too great by the time
        of the stop, for ever.
        """
        self._rejoined = True

    def advance(self, market_time_ns: int, running: bool, snapshot: bool = False) -> None:
        """Move to a batch's time; ``running`` where the clock runs on from there.

        The market may wait for others after it sent a ``snapshot``, so the clock is not set by that one.
        """
        now_ns = self.now_ns
        if running and self._rejoined and not snapshot:
            self._rejoined = False
            self._floor_ns, self._last_ns = now_ns, market_time_ns
        else:
            self._last_ns = max(now_ns if running else self._last_ns, market_time_ns)
        self._advanced_monotonic_ns = self._monotonic_ns()
        self._running = running


class MarketFeed:
    """One subscription that survives the loss of either side without showing an event twice.

    Steps and sequences count within one run of the market. A marketdata that lost its state begins another run: then
    the numbers of the former run are forgotten, or its events would be taken for known ones.

    ``on_batch`` is awaited batch by batch. A message is acknowledged when ``on_batch`` returned for the batch that
    completes its last step: in lockstep the market waits for that. A subscriber that ``ends_steps`` acknowledges every
    step, once nobody has anything left to do in it.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        channels: Sequence[pb.Channel],
        on_hello: Callable[[pb.MarketHello], None],
        on_batch: Callable[[pb.MarketBatch], Awaitable[None]],
        metrics: Metrics,
        log: Log,
        symbols: Sequence[str] = (),
        conflate: bool = False,
        ends_steps: bool = False,
    ) -> None:
        self.clock = MarketClock()
        self.hello: pb.MarketHello | None = None
        self.ended = False
        self.last_step = -1
        self._working_step = -1
        self._last_sequence = 0
        self._run = ""
        self._on_hello = on_hello
        self._on_batch = on_batch
        self._ends_steps = ends_steps
        self._log = log
        # Batches, each with whether it is acknowledged.
        self._queue: asyncio.Queue[tuple[pb.MarketBatch, bool]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._subscription = pb.SubscribeRequest(
            subscription=pb.Subscription(
                subscriber=settings.role,
                symbols=symbols,
                channels=channels,
                conflate=conflate,
                ends_steps=ends_steps,
            )
        )
        self._link: Link[pb.SubscribeRequest, pb.SubscribeResponse] = Link(
            RpcChannel(settings, "marketdata"),
            MARKETDATA_SUBSCRIBE,
            lambda: [self._subscription],
            self._receive,
            self._lost,
            log,
        )
        self._events = metrics.counter("titan_feed_events", "Market events received.")
        self._lag = metrics.gauge("titan_feed_queued_batches", "Batches received and not yet processed.")

    @property
    def behind(self) -> bool:
        """Whether further batches have arrived."""
        return not self._queue.empty()

    @property
    def connected(self) -> bool:
        """Whether the subscription is up and its hello has arrived."""
        return self._link.connected and self.hello is not None

    @property
    def lockstep(self) -> bool:
        """Whether the market waits for acknowledgements."""
        return self.hello is not None and self.hello.lockstep

    @property
    def run(self) -> str:
        """The run of the market whose steps and sequences count now; empty before the hello."""
        return self._run

    @property
    def label(self) -> str:
        """Label of the market, for everything that shows its prices; empty before the hello."""
        return self.hello.label if self.hello is not None else ""

    @property
    def failure(self) -> BaseException | None:
        """The defect that ended the work on batches, if one did."""
        if self._worker is not None and self._worker.done() and not self._worker.cancelled():
            return self._worker.exception()
        return self._link.failure

    def start(self) -> None:
        """Subscribe and keep the subscription."""
        self._worker = asyncio.get_running_loop().create_task(self._work(), name="market feed")
        self._worker.add_done_callback(end_process_if_broken)
        self._link.start()

    async def stop(self) -> None:
        """Unsubscribe."""
        await self._link.stop()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    def _receive(self, response: pb.SubscribeResponse) -> None:
        if response.HasField("hello"):
            if self.hello is not None and response.hello.run != self._run:
                self._log.warning("the market begins anew", after_step=self.last_step, before=self._run)
                self.last_step = self._working_step = -1
                self._last_sequence = 0
            self._run = response.hello.run
            self.clock.rejoin()
            self.hello = response.hello
            self._on_hello(response.hello)
        elif response.HasField("batches"):
            batches = response.batches.batches
            for number, batch in enumerate(batches, start=1):
                self._queue.put_nowait((batch, self._ends_steps or number == len(batches)))
        else:
            self._queue.put_nowait((response.batch, True))

    def _lost(self, reason: str) -> None:
        # The market sends queued batches again after the reconnection.
        while not self._queue.empty():
            self._queue.get_nowait()

    async def _work(self) -> None:
        while True:
            batch, acknowledged = await self._queue.get()
            self._lag.set(self._queue.qsize())
            if not self._is_new(batch):
                if acknowledged and batch.step_complete and not batch.snapshot:
                    self._acknowledge(batch)
                continue
            self._working_step = batch.step + 1 if batch.snapshot else batch.step
            if batch.market_time_ns:
                running = not self.lockstep and not batch.end_of_market
                self.clock.advance(batch.market_time_ns, running, snapshot=batch.snapshot)
            self._events.inc(len(batch.events))
            run = self._run
            await self._on_batch(batch)
            if run != self._run:
                # The numbers of this batch are those of a run that has ended meanwhile.
                continue
            if batch.events:
                self._last_sequence = max(self._last_sequence, batch.events[-1].sequence)
            if batch.end_of_market:
                self.ended = True
            if batch.step_complete and not batch.snapshot:
                self.last_step = batch.step
                if acknowledged:
                    self._acknowledge(batch)

    def _is_new(self, batch: pb.MarketBatch) -> bool:
        if batch.snapshot:
            # Our own state is as new, unless we have just started or missed something.
            return batch.step >= max(self._working_step, self.last_step + 1) or self._working_step < 0
        if batch.step <= self.last_step:
            return False
        if batch.events and batch.events[0].sequence <= self._last_sequence:
            fresh = [event for event in batch.events if event.sequence > self._last_sequence]
            del batch.events[:]
            batch.events.extend(fresh)
        return True

    def _acknowledge(self, batch: pb.MarketBatch) -> None:
        marker = common_pb2.StepMarker(step=batch.step, market_time_ns=batch.market_time_ns)
        self._link.post(pb.SubscribeRequest(ack=marker))
