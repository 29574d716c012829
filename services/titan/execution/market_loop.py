"""Market data and the clock: each batch and each pulse bring what Execution does by itself up to date."""

from __future__ import annotations

import asyncio

from titan.domain.enums import Posture
from titan.domain.reasons import Reason
from titan.execution.brain_session import BrainSession
from titan.execution.events import ExecutionEvents
from titan.execution.flatten import Flattener
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.protector import Protector
from titan.execution.reconciler import Reconciler
from titan.execution.valuation import Valuer
from titan.execution.venue_steps import VenueSteps
from titan.execution.venue_updates import VenueUpdates
from titan.execution.venue_watch import VenueWatch
from titan.runtime.market_feed import MarketFeed
from titan.v1 import market_pb2
from titan.venues.paper import PaperVenue
from titan.wire.fields import market_number

_PULSE_S = 0.1
_PULSES_PER_SECOND = 10


class MarketLoop:
    """Reacts to market data, to the posture and to the machine's clock.

    In lockstep a step ends at the venue, then here, then at Brain; each has finished its part before the next begins.
    """

    def __init__(
        self,
        feed: MarketFeed,
        venue: PaperVenue,
        store: JournalledAccount,
        posture: PostureKeeper,
        venue_updates: VenueUpdates,
        protector: Protector,
        valuer: Valuer,
        reconciler: Reconciler,
        flattener: Flattener,
        brain: BrainSession,
        watch: VenueWatch,
        events: ExecutionEvents,
    ) -> None:
        self._feed = feed
        self._venue = venue
        self._store = store
        self._posture = posture
        self._venue_updates = venue_updates
        self._protector = protector
        self._valuer = valuer
        self._reconciler = reconciler
        self._flattener = flattener
        self._brain = brain
        self._watch = watch
        self._events = events
        self._venue_steps = VenueSteps(venue, venue_updates)

    async def on_batch(self, batch: market_pb2.MarketBatch) -> None:
        """Take the quotes of a batch; where it completes a step, bring the step to its end."""
        marks = self._valuer.marks
        for event in batch.events:
            if event.HasField("quote"):
                bid = market_number(event.quote.bid_price)
                ask = market_number(event.quote.ask_price)
                marks.update(event.symbol, bid, ask, event.market_time_ns, self._feed.run, event.sequence)
        if batch.snapshot or not batch.step_complete:
            if not self._feed.lockstep:
                self.react()
            return
        if self._feed.lockstep:
            self._venue_updates.begin_step(batch.step)
            # The venue's part of this step comes first, and leaves nothing in doubt.
            await self._venue_steps.reached(batch)
            await self._reconciler.settled.wait()
        self.react()
        self._brain.send_marker(batch.step, batch.market_time_ns)
        if self._feed.lockstep:
            await self._brain.markers.reached(batch.step)
            self._venue_updates.end_step(batch.step)
        self._venue_steps.finish(batch, self._feed.lockstep and self._feed.behind)
        if batch.end_of_market:
            self._venue_updates.end_market()

    def react(self) -> None:
        """Do everything that time, prices and posture require now."""
        self._enforce_posture()
        self._protector.sweep(self._posture.in_force is Posture.ARMED)
        self._protector.protect()
        self._protector.check_stops()
        equity = self._valuer.value()
        self._store.notify()
        self._brain.send_equity(equity)

    def enforce_posture(self) -> None:
        """Cancel entries and start FLATTEN as the posture in force requires."""
        self._enforce_posture()
        self._store.notify()

    def resend_marker(self) -> None:
        """Send the last marker on a new stream to the venue, which may not have had it."""
        self._venue_steps.resend()

    async def pulse(self) -> None:
        """Follow the machine's clock: silence, heartbeats, space, and in real time the market between two batches."""
        count = 0
        while True:
            await asyncio.sleep(_PULSE_S)
            count += 1
            if self._feed.lockstep:
                # Market time stands between two steps; only the machine's clock may change the posture.
                self.enforce_posture()
                if self._feed.ended:
                    # No step follows that would report a transfer.
                    self._brain.send_equity(self._valuer.value())
            else:
                self.react()
            if count % _PULSES_PER_SECOND == 0:
                self._watch.check()
                self._reconciler.charge_silence()
                self._store.journal.reserve()
            failure = self._feed.failure or self._venue.failure
            if failure is not None:
                self._events.failed(str(failure))

    def _enforce_posture(self) -> None:
        posture = self._posture.inputs
        if posture.in_force is not Posture.ARMED:
            self._protector.cancel_entries("", Reason.CANCELED_BY_POSTURE, posture.cause)
        if posture.in_force is Posture.FLATTEN:
            self._flattener.wake()
