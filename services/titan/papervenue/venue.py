"""The venue between its file and its market: an update is stored before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from titan.domain.instruments import Instrument
from titan.domain.market import MarketEvent
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MS, NS_PER_S
from titan.domain.venue import ACCOUNT_CURRENCY, OrderRequest, Transfer, VenueAccount, VenueReject
from titan.matching.checks import Refusal
from titan.matching.engine import MatchingEngine
from titan.matching.order_matcher import OrderUpdate
from titan.matching.state import VenueDelta, VenueState
from titan.papervenue.store import VenueStore
from titan.runtime.telemetry.logs import Log

CURRENCY = ACCOUNT_CURRENCY
# How far ahead of ours a client's wall clock may be.
_CLOCK_SKEW_NS = NS_PER_S
_RETRY_WRITE_S = 0.5
_LONGEST_ID = 36


def first_state(initial_balance: Decimal) -> VenueState:
    """The state of a new account."""
    return VenueState(deposits=initial_balance, balances={CURRENCY: initial_balance})


class RecordedVenue:
    """A matching engine whose every change is in the file before it is reported.

    A request is stored, then enqueued. A batch of events is matched, its effects are stored as one record, and only
    then reported. While the file cannot be written, effects are held back, the market waits, and requests are refused
    (VENUE_ERROR). So after the death of the process either both the effects and their event count as done, or neither.
    """

    def __init__(
        self,
        store: VenueStore,
        instruments: Mapping[str, Instrument],
        latency_ns: int,
        leverage: Decimal,
        wall_time_ns: Callable[[], int],
        log: Log,
    ) -> None:
        self.engine = MatchingEngine(instruments, latency_ns, store.state, CURRENCY, leverage)
        self._store = store
        self._wall_time_ns = wall_time_ns
        self._log = log
        self._holding = False

    @property
    def problem(self) -> str:
        """The cause for which the file cannot be written, or empty."""
        return self._store.problem

    def request(self, request: OrderRequest) -> VenueReject | None:
        """Accept a request, or refuse it at once: then it is never executed."""
        refused = self._late(request) or self._malformed(request)
        if refused is not None:
            return self.engine.reject(request, *refused)
        admitted = self.engine.admit(request)
        if isinstance(admitted, VenueReject):
            return admitted
        if self._holding:
            return self.engine.reject(request, Reason.VENUE_ERROR, f"VENUE_ERROR: {self.problem}")
        try:
            self._store.append(self.engine.admission(admitted))
        except OSError as error:
            self._log.error("request refused: it cannot be stored", reason=str(error))
            return self.engine.reject(request, Reason.VENUE_ERROR, f"VENUE_ERROR: {self.problem}")
        self.engine.enqueue(admitted)
        return None

    def transfer(self, transfer: Transfer) -> Refusal | None:
        """Make a transfer once, or return the reason against it; a repeated one is made already."""
        engine = self.engine
        if engine.transferred(transfer):
            return None
        if self._holding:
            return Reason.VENUE_ERROR, f"VENUE_ERROR: {self.problem}"
        delta = engine.admit_transfer(transfer)
        if not isinstance(delta, VenueDelta):
            return delta
        try:
            self._store.append(delta)
        except OSError as error:
            self._log.error("transfer refused: it cannot be stored", reason=str(error))
            return Reason.VENUE_ERROR, f"VENUE_ERROR: {self.problem}"
        engine.make_transfer(delta)
        self._log.info("transfer", id=transfer.transfer_id, amount=format_decimal(transfer.amount))
        return None

    async def on_events(self, events: Iterable[MarketEvent], market_time_ns: int) -> list[OrderUpdate]:
        """Match a batch of events, store its effects, and return the updates to send."""
        engine = self.engine
        updates: list[OrderUpdate] = []
        for event in events:
            updates += engine.on_event(event)
        updates += engine.advance(market_time_ns)
        delta = engine.collect()
        if delta is not None:
            await self._write(delta)
        return updates

    def tidy(self) -> None:
        """Maintain the file between steps, when no change is half done."""
        if self._holding:
            return
        state = self.engine.state
        try:
            if self.problem:
                # Without requests nothing else would find out that the file takes records again.
                self._store.append(VenueDelta(last_sequence=state.last_sequence, market_time_ns=state.market_time_ns))
                self._log.info("the state directory can be written again")
            elif self._store.compact_if_long(state):
                self._log.info("state file rewritten", size_bytes=self._store.size_bytes)
        except OSError as error:
            self._log.warning("state file not rewritten", reason=str(error))

    def account(self) -> VenueAccount:
        """Return the present balances and positions."""
        state = self.engine.state
        return VenueAccount(
            balances={asset: total for asset, total in state.balances.items() if total or asset == CURRENCY},
            positions=tuple(self.engine.positions()),
            deposits=state.deposits,
            market_time_ns=state.market_time_ns,
            wall_time_ns=self._wall_time_ns(),
            last_trade_sequence=state.last_trade_sequence,
        )

    async def _write(self, delta: VenueDelta) -> None:
        while True:
            try:
                self._store.append(delta)
            except OSError as error:
                if not self._holding:
                    self._log.error("the market waits: effects cannot be stored", reason=str(error))
                self._holding = True
                # No event reports that a disk has room again.
                await asyncio.sleep(_RETRY_WRITE_S)
            else:
                self._holding = False
                return

    def _late(self, request: OrderRequest) -> tuple[Reason, str] | None:
        age_ns = self._wall_time_ns() - request.signed_at_ns
        if -_CLOCK_SKEW_NS <= age_ns <= request.receive_window_ms * NS_PER_MS:
            return None
        return (
            Reason.RECEIVE_WINDOW,
            f"RECEIVE_WINDOW: age_ms={age_ns / NS_PER_MS:.1f}, window_ms={request.receive_window_ms}, ahead_ms=1000",
        )

    def _malformed(self, request: OrderRequest) -> tuple[Reason, str] | None:
        client_order_id = request.client_order_id
        if not (0 < len(client_order_id) <= _LONGEST_ID and client_order_id.isascii() and client_order_id.isalnum()):
            return (
                Reason.INVALID_INTENT,
                f"client_order_id: {client_order_id!r} is not allowed; allowed are 1 to {_LONGEST_ID} of [A-Za-z0-9]",
            )
        negative = [
            f"{field}: {value} is not allowed; allowed are amounts from 0 on"
            for field in ("quantity", "limit_price", "trigger_price")
            if (value := getattr(request, field, ZERO)) < 0
        ]
        return (Reason.INVALID_INTENT, negative[0]) if negative else None
