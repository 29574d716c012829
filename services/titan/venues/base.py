"""The one protocol between Execution and a venue, the paper venue and real exchanges alike.

The order path is synchronous in both directions. ``send_order`` hands the request to a long-lived stream and returns.
The venue's messages come back as :data:`VenueUpdate` records through the ``on_update`` callback, in the venue's order,
on the event loop, without a task or a queue in between. Queries are coroutines.

The names of the platform's venue protocol map as follows:

* ``stream_fills`` is ``on_update``; ``get_positions`` is part of ``get_account``, which returns balances and positions
  of one moment together; ``test_connection`` is ``get_account`` plus ``connected``.
* ``close_position`` and ``close_all_positions`` are no methods of a venue: Execution closes with journalled reducing
  orders of its own, so that a close has an id and is never lost. ``stream_book`` does not exist here: prices come from
  the marketdata process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from titan.domain.venue import (
    AmendOrder,
    CancelOrder,
    SendOrder,
    VenueAccount,
    VenueHeartbeat,
    VenueMarker,
    VenueOrder,
    VenueReject,
    VenueTrade,
)
from titan.domain.venue_errors import VenueErrors

__all__ = [
    "AmendOrder",
    "CancelOrder",
    "SendOrder",
    "Venue",
    "VenueAccount",
    "VenueHeartbeat",
    "VenueMarker",
    "VenueOrder",
    "VenueReject",
    "VenueTrade",
    "VenueUnavailableError",
    "VenueUpdate",
]

VenueUpdate = VenueOrder | VenueTrade | VenueReject | VenueMarker | VenueHeartbeat


class VenueUnavailableError(Exception):
    """The venue gave no answer: the object of the query is unknown, not absent."""


class Venue(Protocol):
    """A venue as Execution uses it.

    A send is answered, in time, by one :class:`VenueReject` (the venue has nothing) or by :class:`VenueOrder` records
    up to a final state. Every fill is one :class:`VenueTrade`, reported before the :class:`VenueOrder` that contains
    it. A trade may be reported twice (after a reconnect): ``trade_id`` is unique.
    """

    @property
    def name(self) -> str:
        """The venue's name: ``paper`` here."""

    @property
    def connected(self) -> bool:
        """Whether the private stream is up."""

    @property
    def errors(self) -> VenueErrors:
        """Counts of calls and of those without an answer; refusals are answers."""

    def start(
        self,
        on_update: Callable[[VenueUpdate], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """Open the private stream, and open it again whenever it breaks, for ever.

        Parameters
        ----------
        on_update
            Called for each record, in the venue's order, from the event loop.
        on_connected
            Called when a new stream is up, before its first record; posting from within it is allowed. Missed changes
            are queried with ``get_order``, ``get_open_orders``, ``get_trades`` and ``get_account``.
        on_lost
            Called with the cause when a stream breaks.
        """

    async def stop(self) -> None:
        """Close the private stream and its connection."""

    def send_order(self, request: SendOrder) -> bool:
        """Post one order. False when the stream is down: nothing was sent then, and nothing is kept for later.

        True is no proof that it arrived; only the venue's answer, or a query by client order id, is.
        """

    def cancel_order(self, request: CancelOrder) -> bool:
        """Post a cancel; the return value as in ``send_order``."""

    def amend_order(self, request: AmendOrder) -> bool:
        """Post a change of quantity or prices; the return value as in ``send_order``."""

    def send_marker(self, marker: VenueMarker) -> bool:
        """Report that all requests of this slice of market time have been posted; real exchanges ignore it."""

    async def get_order(self, client_order_id: str) -> VenueOrder | None:
        """Return one order, or None where the venue has none of this id.

        Raises
        ------
        VenueUnavailableError
            When there was no answer; the order may exist.
        """

    async def get_open_orders(self) -> tuple[VenueOrder, ...]:
        """Return the orders that are not final, oldest first.

        Raises
        ------
        VenueUnavailableError
            When there was no answer.
        """

    async def get_trades(self, after_sequence: int, limit: int) -> tuple[VenueTrade, ...]:
        """Return trades with a greater sequence, oldest first, at most ``limit``.

        Raises
        ------
        VenueUnavailableError
            When there was no answer.
        """

    async def get_account(self) -> VenueAccount:
        """Return balances and positions of one moment.

        Raises
        ------
        VenueUnavailableError
            When there was no answer.
        """
