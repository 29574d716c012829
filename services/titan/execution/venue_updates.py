"""Messages of the venue become facts in the account and the journal."""

from __future__ import annotations

import time
from collections import deque

from titan.domain.enums import OrderState
from titan.domain.numbers import ZERO
from titan.domain.orders import Order, OrderEvent, OrderEventKind, TransitionError, apply
from titan.domain.protection import PLANNED_ROLES
from titan.domain.reasons import Reason
from titan.domain.venue import (
    ACCOUNT_CURRENCY,
    RequestKind,
    VenueHeartbeat,
    VenueMarker,
    VenueOrder,
    VenueReject,
    VenueTrade,
)
from titan.domain.venue_errors import VenueErrors
from titan.domain.venue_news import after_reject, after_venue_order, fill_from_trade
from titan.execution.events import ExecutionEvents
from titan.execution.journalled_account import JournalledAccount
from titan.execution.protector import Protector
from titan.execution.sender import Sender
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.watermark import Watermark
from titan.venues.base import VenueUpdate


class VenueUpdates:
    """Follows the private stream, and takes the venue's answers to queries in the same way.

    In lockstep the venue may be ahead of this process's market data. What it reports after a step has ended belongs to
    the next one and waits until that has begun here; or chance would decide at which market time it is applied.

    Attributes
    ----------
    markers
        The last step of market time for which the venue has reported everything.
    quiet_step
        The step after which the venue reported that it has no order; -1 where it has, or is not connected.
    last_answer_monotonic_ns
        Time of the venue's last message, by stream or answer.
    streamed
        Sequences of the trades that came by the stream since it was last connected.
    highest_sequence
        The highest trade that was taken in.
    settled_sequence
        The venue's last trade at the last completed reconciliation: any misfit up to it was adopted.
    """

    def __init__(
        self,
        store: JournalledAccount,
        sender: Sender,
        protector: Protector,
        venue_errors: VenueErrors,
        events: ExecutionEvents,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.markers = Watermark()
        self.quiet_step = -1
        self.last_answer_monotonic_ns = time.monotonic_ns()
        self.streamed: set[int] = set()
        self.highest_sequence = max((fill.venue_sequence for fill in store.account.fills), default=0)
        self.settled_sequence = 0
        # The step that has begun, in lockstep; reports of a later one are held.
        self._step: int | None = None
        self._ended_step = -1
        self._held: deque[VenueUpdate] = deque()
        self._store = store
        self._account = store.account
        self._sender = sender
        self._protector = protector
        self._venue_errors = venue_errors
        self._events = events
        self._log = log
        self._misfits = metrics.counter("titan_venue_oddities", "Venue messages that did not fit our orders.", ["kind"])

    def receive(self, update: VenueUpdate) -> None:
        """Take one message of the private stream, or hold it until its step has begun."""
        self.last_answer_monotonic_ns = time.monotonic_ns()
        if isinstance(update, VenueTrade):
            self.streamed.add(update.sequence)
        # A heartbeat counts the trades before it, and is of no step: transfers are made while the market stands.
        if self._held or (self._ahead and not isinstance(update, VenueHeartbeat)):
            self._held.append(update)
        else:
            self._apply(update)

    def begin_step(self, step: int) -> None:
        """Apply what the venue has reported of this step, in lockstep."""
        self._step = step
        self._release()

    def end_step(self, step: int) -> None:
        """Note that this process has finished a step."""
        self._ended_step = step

    def end_market(self) -> None:
        """Apply whatever the venue reports from now on at once: no step follows."""
        self._step = None
        self._release()

    @property
    def _ahead(self) -> bool:
        return self._step is not None and max(self.markers.value, self._ended_step) >= self._step

    def _release(self) -> None:
        while self._held and not self._ahead:
            self._apply(self._held.popleft())

    def _apply(self, update: VenueUpdate) -> None:
        if isinstance(update, VenueMarker):
            self.quiet_step = update.step if update.quiet else -1
            self.markers.advance(update.step)
            return
        if isinstance(update, VenueHeartbeat):
            if update.last_trade_sequence > max(self._account.venue_cursor, self.settled_sequence):
                self._report_misfit("missed_trade", f"venue is at trade {update.last_trade_sequence}", "")
            known = self._account.ledger.net_deposits().get(ACCOUNT_CURRENCY, ZERO)
            if update.deposits not in (None, known):
                self._events.reconciliation_requested(f"deposits at the venue are {update.deposits}, here {known}")
            return
        if isinstance(update, VenueTrade):
            self.apply_trade(update)
            return
        order = self._account.orders.get(update.client_order_id)
        if order is None:
            message = "the venue reports an order that the journal does not have"
            self._report_misfit("unknown_order", message, update.client_order_id)
        elif isinstance(update, VenueOrder):
            self.apply_order(order, update)
        else:
            self._apply_reject(order, update)
        self._protector.protect()
        self._store.notify()

    def apply_trade(self, trade: VenueTrade) -> bool:
        """Book a trade; False when it does not fit and a reconciliation was requested."""
        self.highest_sequence = max(self.highest_sequence, trade.sequence)
        order = self._account.orders.get(trade.client_order_id)
        if order is None:
            self._report_misfit("trade_of_unknown_order", f"trade {trade.trade_id}", trade.client_order_id)
            return False
        if (trade.symbol, trade.trade_id) in self._account.trade_ids:
            return True
        try:
            self._store.write(fill_from_trade(order, trade))
        except ValueError as error:
            self._report_misfit("trade_does_not_fit", str(error), trade.client_order_id)
            return False
        if not self._account.positions.shares_agree(trade.symbol):
            # A stop that fired beside the exit of its phase: the shares no longer add up to what is held.
            self._report_misfit(
                "shares_disagree", f"{trade.symbol} after trade {trade.trade_id}", order.client_order_id
            )
        return True

    def apply_order(self, order: Order, reported: VenueOrder) -> None:
        """Bring an order to the state that the venue reports."""
        cancel_reason = self._sender.cancel_reasons.get(order.client_order_id, (Reason.OK, ""))
        try:
            after = after_venue_order(order, reported, cancel_reason)
        except TransitionError as error:
            self._report_misfit("order_does_not_fit", str(error), order.client_order_id)
            return
        flight = self._sender.flight
        if flight.amends.get(order.client_order_id) == after.quantity:
            del flight.amends[order.client_order_id]
        if _changed(order, after):
            self._store.write(after)
        if after.final:
            self._sender.forget(order.client_order_id)

    def mark_lost(self, order: Order, message: str) -> None:
        """Close an order that the venue, queried after the receive window, has never had."""
        now_ns = self._store.now_ns
        if order.state is not OrderState.UNKNOWN:
            order = apply(order, OrderEvent(kind=OrderEventKind.DOUBT, market_time_ns=now_ns))
        lost = apply(
            order,
            OrderEvent(kind=OrderEventKind.LOSE, market_time_ns=now_ns, reason=Reason.ABSENT_AT_VENUE, message=message),
        )
        self._store.write(lost)
        self._sender.forget(order.client_order_id)

    def mark_unknown(self, order: Order) -> None:
        """Mark an order UNKNOWN until the venue is queried: it may or may not have arrived."""
        self._venue_errors.add_unknown(time.monotonic_ns())
        self._store.write(apply(order, OrderEvent(kind=OrderEventKind.DOUBT, market_time_ns=self._store.now_ns)))

    def connection_lost(self) -> None:
        """Mark every order UNKNOWN that was sent and not acknowledged: the stream broke."""
        while self._held:
            self._apply(self._held.popleft())
        self.quiet_step = -1
        self.streamed.clear()
        self._sender.connection_lost()
        for order in list(self._account.working.values()):
            if order.state is OrderState.SENT:
                self.mark_unknown(order)
        self._store.notify()

    def _apply_reject(self, order: Order, reject: VenueReject) -> None:
        flight = self._sender.flight
        if reject.request is RequestKind.CANCEL:
            flight.cancels.discard(order.client_order_id)
            self._request_pass_if_working(order)
        elif reject.request is RequestKind.AMEND:
            flight.amends.pop(order.client_order_id, None)
            if not order.final:
                flight.stubborn.add(order.client_order_id)
                self._request_pass_if_working(order)
        elif order.final:
            self._report_misfit("reject_of_final_order", reject.message, order.client_order_id)
        else:
            try:
                after = after_reject(order, reject)
            except TransitionError as error:
                self._report_misfit("reject_does_not_fit", str(error), order.client_order_id)
                return
            self._store.write(after)
            if after.final:
                self._sender.forget(order.client_order_id)
                if after.reason is Reason.NOT_REDUCING and after.order_role in PLANNED_ROLES:
                    self._report_misfit("nothing_to_reduce", after.message, order.client_order_id)
            else:
                self._events.reconciliation_requested(f"order {order.client_order_id}: {reject.message}")

    def _request_pass_if_working(self, order: Order) -> None:
        if not order.final:
            self._events.reconciliation_requested(f"order {order.client_order_id}: a request was refused")

    def _report_misfit(self, kind: str, detail: str, order_id: str) -> None:
        self._misfits.labels(kind).inc()
        self._log.warning("venue message does not fit", kind=kind, detail=detail, order=order_id)
        self._events.reconciliation_requested(f"{kind}: {detail}")


def _changed(before: Order, after: Order) -> bool:
    """Whether anything but the time changed. A report without a change is not journalled."""
    return (before.state, before.quantity, before.limit_price, before.trigger_price, before.venue_order_id) != (
        after.state,
        after.quantity,
        after.limit_price,
        after.trigger_price,
        after.venue_order_id,
    )
