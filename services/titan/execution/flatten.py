"""The FLATTEN procedure: intake is stopped by the posture; here everything is closed, and the venue is asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from titan.domain.kinds import OrderRole, OrderState, Posture
from titan.domain.numbers import ZERO
from titan.domain.positions import Lot
from titan.domain.protection import Place, flatten_lot, open_lots
from titan.domain.reasons import Reason
from titan.domain.venue import VenueAccount
from titan.execution.account_store import AccountStore
from titan.execution.posture import PostureKeeper
from titan.execution.reconciler import Reconciler
from titan.execution.sender import Sender
from titan.execution.venue_updates import VenueUpdates
from titan.runtime.telemetry.logs import Log
from titan.venues.base import Venue, VenueUnavailableError

# Venue, orders and account are looked at again after this long, when nothing wakes us before.
_PAUSE_S = 0.1
_PROOFS = 2


class Flattener:
    """Runs while the posture in force is FLATTEN and anything is open; ends in HALTED.

    Level-triggered: each round does what the state needs, so a crash in the middle only repeats a round.
    """

    def __init__(
        self,
        store: AccountStore,
        venue: Venue,
        sender: Sender,
        desk: VenueUpdates,
        posture: PostureKeeper,
        reconciler: Reconciler,
        log: Log,
    ) -> None:
        self.on_finished: Callable[[], None] = lambda: None
        self._store = store
        self._account = store.account
        self._venue = venue
        self._sender = sender
        self._desk = desk
        self._posture = posture
        self._reconciler = reconciler
        self._log = log
        self._wake = asyncio.Event()

    def kick(self) -> None:
        """Look now: the posture or an order changed."""
        self._wake.set()

    async def run(self) -> None:
        """Wait for FLATTEN, do it, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._posture.in_force is Posture.FLATTEN:
                await self._flatten()

    async def _flatten(self) -> None:
        self._log.warning("flatten begins", working=len(self._account.working))
        proofs = 0
        while self._posture.in_force is Posture.FLATTEN:
            self._wake.clear()
            quiet = self._sender.able and self._close_round()
            try:
                proofs = proofs + 1 if quiet and self._is_zero(await self._venue.get_account()) else 0
            except VenueUnavailableError as error:
                proofs = 0
                self._log.warning("flatten: the venue gives no answer", reason=str(error))
            if proofs >= _PROOFS and self._cancel_all():
                self._posture.flatten_finished("all closed; the venue said zero twice; no order is left")
                self._store.tell()
                self.on_finished()
                return
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _close_round(self) -> bool:
        """One round of closing; True when nothing of ours is open or in doubt any more, but for stops and targets."""
        if self._desk.cancel_entries("", Reason.CANCELED_BY_POSTURE, "FLATTEN"):
            self._store.tell()
        if any(order.state is OrderState.UNKNOWN for order in self._account.working.values()):
            self._reconciler.ask("flatten: orders are in doubt")
            return False
        lots = [lot for lot in open_lots(self._account) if not self._is_dust(lot)]
        steps = (flatten_lot(self._account, lot, self._store.now_ns, self._store.term) for lot in lots)
        self._sender.place([step.order for step in steps if isinstance(step, Place)])
        self._store.tell()
        others = (
            order
            for order in self._account.working.values()
            if order.order_role not in (OrderRole.STOP, OrderRole.TARGET)
        )
        return not lots and not any(others)

    def _cancel_all(self) -> bool:
        """Cancel what is left (stops and targets); True when nothing is."""
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
