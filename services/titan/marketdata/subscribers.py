"""Subscribers: their filters, their progress, and batches made once for all equal filters."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from titan.domain.market import BookEvent, MarketEvent, QuoteEvent
from titan.marketdata.steps import Step
from titan.runtime.rpc.server import ServerStream
from titan.v1 import market_pb2 as pb
from titan.wire.market import event_to_wire

MarketStream = ServerStream[pb.SubscribeRequest, pb.SubscribeResponse]


class SubscriptionFilter(msgspec.Struct, frozen=True):
    """Selection of events by symbol and channel; no symbols means all. Equal filters share their batches."""

    symbols: frozenset[str]
    channels: frozenset[int]
    conflate: bool

    def select(self, events: Sequence[MarketEvent]) -> list[int]:
        """Return the indices of the selected events, in order; of conflated quotes only the last of each symbol."""
        last_quotes: dict[str, int] = {}
        selected: list[int] = []
        for index, event in enumerate(events):
            if self.symbols and event.symbol not in self.symbols:
                continue
            if isinstance(event, QuoteEvent):
                if pb.CHANNEL_QUOTES in self.channels:
                    last_quotes[event.symbol] = index
                    selected.append(index)
            elif (pb.CHANNEL_BOOK if isinstance(event, BookEvent) else pb.CHANNEL_TRADES) in self.channels:
                selected.append(index)
        if not self.conflate:
            return selected
        kept = set(last_quotes.values())
        return [index for index in selected if index in kept or not isinstance(events[index], QuoteEvent)]


class StepBatches:
    """The batches of one step: each event becomes a message once, each filter makes a batch once."""

    def __init__(self, step: Step, events: Sequence[MarketEvent], snapshot: bool = False) -> None:
        self._step = step
        self._events = events
        self._snapshot = snapshot
        self._wires: dict[int, pb.MarketEvent] = {}
        self._messages: dict[SubscriptionFilter, pb.SubscribeResponse] = {}

    @property
    def number(self) -> int:
        """The step's number."""
        return self._step.number

    def message(self, event_filter: SubscriptionFilter, queued_ns: int) -> pb.SubscribeResponse:
        """Return the message of this filter; it waited ``queued_ns`` monotonic nanoseconds here."""
        made = self._messages.get(event_filter)
        if made is None:
            made = self._messages[event_filter] = pb.SubscribeResponse(batch=self.batch(event_filter, queued_ns))
        return made

    def batch(self, event_filter: SubscriptionFilter, queued_ns: int) -> pb.MarketBatch:
        """Make the batch of this filter."""
        step = self._step
        return pb.MarketBatch(
            step=step.number,
            market_time_ns=step.end_ns,
            events=[self._wire(index) for index in event_filter.select(self._events)],
            step_complete=not self._snapshot,
            snapshot=self._snapshot,
            end_of_market=step.last and not self._snapshot,
            queued_ns=queued_ns,
        )

    def _wire(self, index: int) -> pb.MarketEvent:
        wire = self._wires.get(index)
        if wire is None:
            wire = self._wires[index] = event_to_wire(self._events[index])
        return wire


class GroupBatches:
    """The batches of several steps that are sent as one message, made once for each filter.

    The steps waited ``queued_ns`` monotonic nanoseconds here.
    """

    def __init__(self, steps: Sequence[StepBatches], queued_ns: int) -> None:
        self._steps = steps
        self._queued_ns = queued_ns
        self._messages: dict[SubscriptionFilter, pb.SubscribeResponse] = {}

    @property
    def number(self) -> int:
        """Number of the last step."""
        return self._steps[-1].number

    def after(self, number: int) -> GroupBatches | None:
        """Return the steps after step ``number``; None where there are none."""
        rest = [step for step in self._steps if step.number > number]
        if len(rest) == len(self._steps):
            return self
        return GroupBatches(rest, 0) if rest else None

    def message(self, event_filter: SubscriptionFilter) -> pb.SubscribeResponse:
        """Return the message of this filter."""
        made = self._messages.get(event_filter)
        if made is None:
            made = self._messages[event_filter] = self._make(event_filter)
        return made

    def _make(self, event_filter: SubscriptionFilter) -> pb.SubscribeResponse:
        if len(self._steps) == 1:
            return self._steps[0].message(event_filter, self._queued_ns)
        batches = [step.batch(event_filter, self._queued_ns) for step in self._steps]
        return pb.SubscribeResponse(batches=pb.MarketBatches(batches=batches))


class Subscriber:
    """One connected subscriber. ``acknowledged`` and ``posted`` are step numbers.

    One that ``ends_steps`` acknowledges every step, once nobody has anything left to do in it.
    """

    def __init__(self, name: str, stream: MarketStream, event_filter: SubscriptionFilter, ends_steps: bool) -> None:
        self.name = name
        self.stream = stream
        self.event_filter = event_filter
        self.ends_steps = ends_steps
        self.posted = 0
        self.acknowledged = 0
        # It fell behind and receives nothing until it has acknowledged every step; then a new snapshot.
        self.lagging = False

    @property
    def behind(self) -> int:
        """Steps posted and not acknowledged."""
        return self.posted - self.acknowledged

    def post_step(self, batches: StepBatches, queued_ns: int) -> None:
        """Send one step."""
        self.posted = batches.number
        self.stream.post(batches.message(self.event_filter, queued_ns))

    def post_steps(self, group: GroupBatches) -> None:
        """Send several steps in one message."""
        self.posted = group.number
        self.stream.post(group.message(self.event_filter))

    def post_state(self, state: StepBatches) -> None:
        """Send the state as of the end of a step."""
        self.posted = self.acknowledged = state.number
        self.lagging = False
        self.stream.post(state.message(self.event_filter, 0))
