"""The FLATTEN procedure: close everything, and query the venue twice. The posture has stopped the intake before."""

from __future__ import annotations

import asyncio

from titan.domain.enums import OrderRole, OrderState, Posture
from titan.domain.lots import Lot
from titan.domain.numbers import ZERO
from titan.domain.protection import Place, flatten_lot, open_lots
from titan.domain.reasons import Reason
from titan.domain.venue import VenueAccount
from titan.execution.events import ExecutionEvents
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.protector import Protector
from titan.execution.sender import Sender
from titan.runtime.telemetry.logs import Log
from titan.venues.base import Venue, VenueUnavailableError

# Venue, orders and account are checked again after this long, unless something wakes the procedure before.
_PAUSE_S = 0.1
# Consecutive empty answers of the venue that end the procedure.
_PROOFS = 2


class Flattener:
    """Runs while the posture in force is FLATTEN and anything is open; ends in HALTED.

    Level-triggered: each round does what the state needs, so a crash in the middle only repeats a round.
    """

    def __init__(
        self,
        store: JournalledAccount,
        venue: Venue,
        sender: Sender,
        protector: Protector,
        posture: PostureKeeper,
        events: ExecutionEvents,
        log: Log,
    ) -> None:
        self._store = store
        self._account = store.account
        self._venue = venue
        self._sender = sender
        self._protector = protector
        self._posture = posture
        self._events = events
        self._log = log
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Run a round now: the posture or an order changed."""
        self._changed.set()

    async def run(self) -> None:
        """Wait for FLATTEN and carry it out, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._posture.in_force is Posture.FLATTEN:
                await self._flatten()

    async def _flatten(self) -> None:
        self._log.warning("flatten begins", working=len(self._account.working))
        proofs = 0
        while self._posture.in_force is Posture.FLATTEN:
            self._changed.clear()
            quiet = self._sender.can_send and self._close_round()
            try:
                proofs = proofs + 1 if quiet and self._is_zero(await self._venue.get_account()) else 0
            except VenueUnavailableError as error:
                proofs = 0
                self._log.warning("flatten: no answer from the venue", reason=str(error))
            if proofs >= _PROOFS and self._cancel_all():
                self._posture.finish_flatten("all closed; the venue reported zero twice; no order is left")
                self._store.notify()
                self._events.flatten_finished()
                return
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _close_round(self) -> bool:
        """Close one round; return True when nothing but stops and targets is open or in doubt any more."""
        if self._protector.cancel_entries("", Reason.CANCELED_BY_POSTURE, "FLATTEN"):
            self._store.notify()
        if any(order.state is OrderState.UNKNOWN for order in self._account.working.values()):
            self._events.reconciliation_requested("flatten: orders are in doubt")
            return False
        lots = [lot for lot in open_lots(self._account) if not self._is_dust(lot)]
        steps = (flatten_lot(self._account, lot, self._store.now_ns, self._store.term) for lot in lots)
        self._sender.place([step.order for step in steps if isinstance(step, Place)])
        self._store.notify()
        others = (
            order
            for order in self._account.working.values()
            if order.order_role not in (OrderRole.STOP, OrderRole.TARGET)
        )
        return not lots and not any(others)

    def _cancel_all(self) -> bool:
        """Cancel the remaining orders (stops and targets); return True when none is left."""
        for order in list(self._account.working.values()):
            self._sender.cancel(order, Reason.POSITION_CLOSED, "FLATTEN")
        return not self._account.working

    def _is_dust(self, lot: Lot) -> bool:
        instrument = self._account.instruments.get(lot.symbol)
        return instrument is not None and abs(lot.quantity) < instrument.min_quantity

    def _is_zero(self, venue_account: VenueAccount) -> bool:
        for position in venue_account.positions:
            instrument = self._account.instruments.get(position.symbol)
            if abs(position.quantity) >= (instrument.min_quantity if instrument is not None else ZERO):
                return False
        return True
