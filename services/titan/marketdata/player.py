"""Plays a source to its subscribers: in lockstep with them, or at the machine's pace.

In lockstep steps are published ahead of the acknowledgements, several in one message: the subscribers themselves keep
the order of a step by their markers. A message is acknowledged once by every connected subscriber, and every required
one must be connected; so market time stands still while one of them restarts. A step is over when the subscriber that
ends steps has acknowledged it: nobody has anything left to do in it then. Without such a subscriber it is over with
its message. What is not over is kept, and a subscriber that comes back receives the state before it and then all of it.

In real time the market waits only at the start: a subscriber that falls too far behind receives nothing until it has
caught up, and then a new snapshot, so that its cost is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from titan.domain.time import NS_PER_S
from titan.marketdata.playback_position import PlaybackFile, PlaybackPosition
from titan.marketdata.steps import Step
from titan.marketdata.subscribers import GroupBatches, MarketStream, StepBatches, Subscriber, SubscriptionFilter
from titan.marketdata.view import MarketView
from titan.recordings.source import MarketSource, SourceError
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import market_pb2 as pb
from titan.wire.market import bar_to_wire, instrument_to_wire

# In real time: how far a subscriber may be behind, in steps.
MAX_BEHIND_STEPS = 250
# While the past is read again after a restart, the player yields to the event loop every so many steps.
_YIELD_EVERY_STEPS = 20


class Pace:
    """Times at which steps are due on the machine's monotonic clock.

    ``speed`` is market seconds by machine second; 0 means at once. In lockstep a pause is not made up for afterwards,
    in real time it is, so that market time stays that of the machine.
    """

    def __init__(self, speed: float, catch_up: bool) -> None:
        self._speed = speed
        self._catch_up = catch_up
        self._due_ns = 0

    async def wait(self, step_ns: int) -> int:
        """Return when a step of ``step_ns`` is over; the result is the monotonic time at which it was due."""
        now_ns = time.monotonic_ns()
        if not self._speed:
            return now_ns
        if not self._due_ns or not self._catch_up:
            self._due_ns = max(self._due_ns, now_ns)
        self._due_ns += int(step_ns / self._speed)
        if self._due_ns > now_ns:
            await asyncio.sleep((self._due_ns - now_ns) / NS_PER_S)
        return self._due_ns


@dataclass(frozen=True)
class PublishedStep:
    """A step that was read; ``prices`` are the source's after it."""

    step: Step
    prices: dict[str, str]


class MarketPlayer:
    """The market of one run.

    Parameters
    ----------
    source, steps
        The source and its steps; ``steps`` begin after the position.
    view
        The state after the steps that are over.
    position, identity
        The file that records the position, and the market's identity in it.
    lockstep
        Whether steps wait for acknowledgements.
    steps_ahead
        In lockstep: how many steps may be published and not acknowledged. Half of them make one message.
    required
        Names of the subscribers without which the market does not start, and in lockstep does not go on.
    run
        Name of the numbering of steps and sequences. Subscribers forget the numbers of another run.
    """

    def __init__(
        self,
        source: MarketSource,
        steps: Iterator[Step],
        view: MarketView,
        position: PlaybackFile,
        identity: str,
        step_ns: int,
        lockstep: bool,
        steps_ahead: int,
        pace: Pace,
        required: Sequence[str],
        run: str,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.source = source
        self.view = view
        self.lockstep = lockstep
        self.ended = False
        self.started = False
        self._steps = steps
        self._position = position
        self._identity = identity
        self._step_ns = step_ns
        self._pace = pace
        self._group_steps = max(1, steps_ahead // 2)
        self._groups_ahead = min(steps_ahead, 2)
        # Messages that not all have acknowledged, and published steps that are not over; oldest first.
        self._groups: deque[GroupBatches] = deque()
        self._open_steps: deque[PublishedStep] = deque()
        self._acknowledged_by_all = 0
        self._last_over: PublishedStep | None = None
        self._failure: SourceError | None = None
        self._required = tuple(required)
        self._run = run
        self._log = log
        self._subscribers: dict[str, Subscriber] = {}
        self._wake = asyncio.Event()
        # No snapshot is sent while the past is still being read again.
        self._past_read = asyncio.Event()
        self._events_total = metrics.counter("titan_market_events", "Market events published.")
        self._steps_total = metrics.counter("titan_market_steps", "Steps of market time that are over.")
        self._resyncs = metrics.counter(
            "titan_market_resyncs", "Subscribers that fell behind and received a new snapshot.", ["subscriber"]
        )
        self._checks = metrics.gauge(
            "titan_market_book_checks", "Rebuilt books compared with the venue's own best prices."
        )
        self._mismatches = metrics.gauge("titan_market_book_mismatches", "Checks whose best prices differed.")
        self._gaps = metrics.gauge("titan_market_book_gaps", "Holes in the chain of book differences.")
        self._repeated_trades = metrics.gauge(
            "titan_market_repeated_trades", "Trades dropped because their id had been shown before."
        )
        self._connected = metrics.gauge("titan_market_subscribers", "Subscribers connected.")
        self._lag = metrics.gauge("titan_market_lag_seconds", "How late the last step was published.")

    @property
    def waiting_for(self) -> list[str]:
        """Names of the subscribers that the market waits for now."""
        if self.ended or (self.started and not self.lockstep):
            return []
        missing = [name for name in self._required if name not in self._subscribers]
        if self._groups:
            number = self._groups[0].number
            missing += [one.name for one in self._subscribers.values() if one.acknowledged < number]
        return missing

    @property
    def subscribers(self) -> dict[str, int]:
        """Number of steps that each connected subscriber is behind, by name."""
        return {one.name: one.behind for one in self._subscribers.values()}

    async def run(self, resume_after: int) -> None:
        """Play to the end. Steps up to ``resume_after`` were played before a restart and are only read again.

        Raises
        ------
        SourceError
            When the source cannot be read further; all before was played.
        PositionError
            When the position cannot be written.
        """
        last: Step | None = None
        while self.view.step < resume_after and (step := next(self._steps, None)) is not None:
            self.view.apply(step)
            last = step
            if step.number % _YIELD_EVERY_STEPS == 0:
                await asyncio.sleep(0)
        self.ended = last is not None and last.last
        self._past_read.set()
        if self.ended:
            return
        await self._wait_for_all()
        self.started = True
        self._log.info("market starts", label=self.source.label, lockstep=self.lockstep, after_step=self.view.step)
        if self.lockstep:
            await self._play_in_lockstep()
        else:
            for step in self._steps:
                await self._play(step)
        self.ended = True
        self._log.info("market ended", step=self.view.step, events=self.view.sequence)

    async def _play_in_lockstep(self) -> None:
        while (group := await self._read_group()) is not None:
            self._groups.append(group)
            subscribers = list(self._subscribers.values())
            # All messages are made before the first is sent, or the first subscriber would be ahead of the others.
            for subscriber in subscribers:
                group.message(subscriber.event_filter)
            for subscriber in subscribers:
                subscriber.post_steps(group)
            await self._wait_for_groups(self._groups_ahead - 1)
        await self._wait_for_groups(0)
        if self._failure is not None:
            raise self._failure

    async def _read_group(self) -> GroupBatches | None:
        """Read the next steps when they are due; None at the end of the source, or where it breaks off."""
        steps: list[StepBatches] = []
        queued_ns = 0
        try:
            while self._failure is None and len(steps) < self._group_steps:
                step = next(self._steps, None)
                if step is None:
                    break
                queued_ns = max(0, time.monotonic_ns() - await self._pace.wait(self._step_ns))
                self._open_steps.append(PublishedStep(step, self._prices()))
                steps.append(StepBatches(step, step.events))
        except SourceError as error:
            # The steps before are played to their end first.
            self._failure = error
        self._lag.set(queued_ns / NS_PER_S)
        return GroupBatches(steps, queued_ns) if steps else None

    async def _wait_for_groups(self, limit: int) -> None:
        """Return when at most ``limit`` messages are not acknowledged; the position follows meanwhile."""
        while True:
            while self._groups and not self.waiting_for:
                self._acknowledged_by_all = self._groups.popleft().number
            self._end_steps()
            if self._last_over is not None:
                self._store(self._last_over)
                self._last_over = None
            if len(self._groups) <= limit:
                return
            self._wake.clear()
            await self._wake.wait()

    def _end_steps(self) -> None:
        """Apply the published steps that are over."""
        enders = [one.acknowledged for one in self._subscribers.values() if one.ends_steps]
        number = min(enders, default=self._acknowledged_by_all)
        while self._open_steps and self._open_steps[0].step.number <= number:
            self._last_over = self._open_steps.popleft()
            self._finish(self._last_over.step)

    async def _play(self, step: Step) -> None:
        due_ns = await self._pace.wait(self._step_ns)
        batches = StepBatches(step, step.events)
        for subscriber in list(self._subscribers.values()):
            self._publish(subscriber, batches, due_ns)
        self._lag.set((time.monotonic_ns() - due_ns) / NS_PER_S)
        self._finish(step)
        self._store(PublishedStep(step, self._prices()))

    def _finish(self, step: Step) -> None:
        self.view.apply(step)
        self._events_total.inc(len(step.events))
        self._steps_total.inc()

    def _prices(self) -> dict[str, str]:
        return {base: str(price) for base, price in self.source.last_prices().items()}

    def _store(self, over: PublishedStep) -> None:
        counts, step = self.source.counts, over.step
        self._checks.set(counts.checks.checked)
        self._mismatches.set(counts.checks.mismatches)
        self._gaps.set(counts.gaps)
        self._repeated_trades.set(counts.repeated_trades)
        position = PlaybackPosition(
            self._identity, step.number, step.end_ns, self.view.sequence, step.last, over.prices, self._run
        )
        self._position.write(position)

    def _publish(self, subscriber: Subscriber, batches: StepBatches, due_ns: int) -> None:
        if subscriber.behind >= MAX_BEHIND_STEPS and not subscriber.lagging:
            subscriber.lagging = True
            self._resyncs.labels(subscriber.name).inc()
            self._log.warning("subscriber falls behind: it receives a snapshot later", subscriber=subscriber.name)
        if subscriber.lagging:
            if subscriber.behind > 0:
                return
            self._log.info("subscriber has caught up", subscriber=subscriber.name, after_step=self.view.step)
            subscriber.post_state(self._state())
        # A sleep may end a moment early; then the step did not wait.
        subscriber.post_step(batches, max(0, time.monotonic_ns() - due_ns))

    async def _wait_for_all(self) -> None:
        while self.waiting_for:
            self._wake.clear()
            await self._wake.wait()

    def _state(self) -> StepBatches:
        view = self.view
        return StepBatches(Step(view.step, view.market_time_ns, ()), view.snapshot(), snapshot=True)

    def _hello(self, event_filter: SubscriptionFilter) -> pb.MarketHello:
        symbols = event_filter.symbols
        instruments = [one for one in self.source.instruments if not symbols or one.symbol in symbols]
        bars = [bar for bar in self.view.bars.closed() if not symbols or bar.symbol in symbols]
        return pb.MarketHello(
            source=self.source.name,
            label=self.source.label,
            lockstep=self.lockstep,
            step_ns=self._step_ns,
            market_time_ns=self.view.market_time_ns,
            run=self._run,
            steps_ahead=self._group_steps * self._groups_ahead if self.lockstep else 0,
            instruments=[instrument_to_wire(one) for one in instruments],
            history=[bar_to_wire(bar) for bar in bars],
        )

    async def flush(self, timeout_s: float) -> None:
        """Wait until posted messages are sent, at most ``timeout_s``."""
        flushes = [asyncio.ensure_future(one.stream.flush()) for one in self._subscribers.values()]
        if flushes:
            _, pending = await asyncio.wait(flushes, timeout=timeout_s)
            for late in pending:
                late.cancel()

    async def serve(
        self, name: str, event_filter: SubscriptionFilter, stream: MarketStream, ends_steps: bool = False
    ) -> None:
        """Serve one subscriber until its stream ends.

        A newer subscription of the same name ends the older one: the successor of a frozen process must not wait for
        it.
        """
        await self._past_read.wait()
        self._end_steps()
        older = self._subscribers.get(name)
        subscriber = Subscriber(name, stream, event_filter, ends_steps)
        self._subscribers[name] = subscriber
        if older is not None:
            self._log.warning("a newer subscription of the same name ends the older one", subscriber=name)
            older.stream.close()
        self._connected.set(len(self._subscribers))
        self._log.info("subscribed", subscriber=name, after_step=self.view.step)
        stream.post(pb.SubscribeResponse(hello=self._hello(event_filter)))
        subscriber.post_state(self._state())
        for group in self._groups:
            if (rest := group.after(self.view.step)) is not None:
                subscriber.post_steps(rest)
        if self.ended:
            end = Step(self.view.step, self.view.market_time_ns, (), last=True)
            subscriber.post_step(StepBatches(end, ()), 0)
        self._wake.set()
        try:
            async for request in stream:
                if request.HasField("ack"):
                    subscriber.acknowledged = max(subscriber.acknowledged, request.ack.step)
                    if subscriber.ends_steps or not self.waiting_for:
                        self._wake.set()
        finally:
            if self._subscribers.get(name) is subscriber:
                del self._subscribers[name]
                self._connected.set(len(self._subscribers))
                self._log.info("subscriber left", subscriber=name, step=self.view.step)
            self._wake.set()
