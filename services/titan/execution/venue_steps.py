"""Which steps of market time Execution and the venue have finished together, and for which they need not wait."""

from __future__ import annotations

from titan.domain.venue import VenueMarker
from titan.execution.venue_updates import VenueUpdates
from titan.v1 import market_pb2
from titan.venues.paper import PaperVenue

# A quiet venue is told at least every so many steps that it may go on.
_APART_STEPS = 4


class VenueSteps:
    """The markers between Execution and the venue, in lockstep.

    A venue without an order that is working or on its way reports nothing, whatever its market does. Execution does not
    wait for it then, and sends it a marker only with a request, every few steps, and where the next step has not
    arrived. The venue follows: a request reaches it before the marker of its step, and takes effect after that step.
    """

    def __init__(self, venue: PaperVenue, updates: VenueUpdates) -> None:
        self._venue = venue
        self._updates = updates
        self._sent: VenueMarker | None = None
        # The last step in which a request was sent. The first one counts: an earlier process may have sent some.
        self._request_step: int | None = None
        self._requests = 0

    async def reached(self, batch: market_pb2.MarketBatch) -> None:
        """Return when the venue has reported everything of this step."""
        self._count(batch.step)
        if self._quiet:
            return
        if self._sent is None or self._sent.step < batch.step - 1:
            # The steps before are over, and the venue may wait for their end.
            self._send(VenueMarker(step=batch.step - 1, market_time_ns=batch.market_time_ns))
        await self._updates.markers.reached(batch.step)

    def finish(self, batch: market_pb2.MarketBatch, more: bool) -> None:
        """Report that all requests of this step have been sent; ``more``: the next step has arrived."""
        self._count(batch.step)
        if not more or not self._quiet or batch.step % _APART_STEPS == 0:
            self._send(VenueMarker(step=batch.step, market_time_ns=batch.market_time_ns))

    def resend(self) -> None:
        """Send the last marker on a new stream to the venue, which may not have had it."""
        if self._sent is not None:
            self._venue.send_marker(self._sent)

    @property
    def _quiet(self) -> bool:
        return self._request_step is not None and self._updates.quiet_step > self._request_step

    def _count(self, step: int) -> None:
        if self._request_step is None or self._venue.requests_written != self._requests:
            self._requests, self._request_step = self._venue.requests_written, step

    def _send(self, marker: VenueMarker) -> None:
        self._sent = marker
        self._venue.send_marker(marker)
