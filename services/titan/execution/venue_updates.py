"""What the venue tells becomes facts; what the account then needs (stops, targets, closes) becomes requests."""

from __future__ import annotations

import time
from collections.abc import Callable

from titan.domain.kinds import OrderRole, OrderState
from titan.domain.numbers import ZERO
from titan.domain.orders import Order, OrderEvent, OrderEventKind, TransitionError, apply
from titan.domain.positions import Lot
from titan.domain.protection import Amend, Cancel, Place, Step, covered, flatten_lot, open_lots, plan_protection
from titan.domain.reasons import Reason
from titan.domain.venue import RequestKind, VenueHeartbeat, VenueMarker, VenueOrder, VenueReject, VenueTrade
from titan.domain.venue_news import after_reject, after_venue_order, fill_from_trade
from titan.execution.account_store import AccountStore
from titan.execution.sender import Sender
from titan.execution.settings import ExecutionSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.watermark import Watermark
from titan.venues.base import VenueUpdate


class VenueUpdates:
    """Follows the private stream, and keeps the stop obligation.

    Attributes
    ----------
    ask
        Called with a sentence when something did not fit: reconciliation has to look.
    markers
        How far the venue has told its part of market time.
    last_answer_monotonic_ns
        When the venue last said anything to us, by stream or answer.
    streamed
        Sequences of the trades that came by the stream since it was last connected.
    highest_sequence
        The highest trade that was taken in.
    settled_sequence
        The venue's last trade at the last completed reconciliation: whatever did not fit up to it was adopted.
    protecting
        False before the first reconciliation: nothing is placed on a picture that was not compared.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        store: AccountStore,
        sender: Sender,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.ask: Callable[[str], None] = lambda _why: None
        self.markers = Watermark()
        self.last_answer_monotonic_ns = time.monotonic_ns()
        self.streamed: set[int] = set()
        self.highest_sequence = max((fill.venue_sequence for fill in store.account.fills), default=0)
        self.settled_sequence = 0
        self.protecting = False
        self._settings = settings
        self._store = store
        self._account = store.account
        self._sender = sender
        self._log = log
        self._uncovered_ns: dict[str, int] = {}
        self._oddities = metrics.counter(
            "titan_venue_oddities", "Venue messages that did not fit our orders.", ["kind"]
        )
        self._obligations = metrics.counter("titan_stop_obligations_broken", "Lots flattened for want of a stop.")
        self._uncovered = metrics.gauge("titan_uncovered_lots", "Open lots without a working stop for all of them.")

    def on_update(self, update: VenueUpdate) -> None:
        """Take one message of the private stream."""
        self.last_answer_monotonic_ns = time.monotonic_ns()
        if isinstance(update, VenueMarker):
            self.markers.advance(update.step)
            return
        if isinstance(update, VenueHeartbeat):
            if update.last_trade_sequence > max(self._account.venue_cursor, self.settled_sequence):
                self._odd("missed_trade", f"venue is at trade {update.last_trade_sequence}", "")
            return
        if isinstance(update, VenueTrade):
            self.streamed.add(update.sequence)
            self.take_trade(update)
            return
        order = self._account.orders.get(update.client_order_id)
        if order is None:
            self._odd("unknown_order", "the venue tells of an order that we do not know", update.client_order_id)
        elif isinstance(update, VenueOrder):
            self.take_order(order, update)
        else:
            self._take_reject(order, update)
        self.protect()
        self._store.tell()

    def take_trade(self, trade: VenueTrade) -> bool:
        """Book a trade, by stream or by answer; False when it does not fit and reconciliation has to look."""
        self.highest_sequence = max(self.highest_sequence, trade.sequence)
        order = self._account.orders.get(trade.client_order_id)
        if order is None:
            self._odd("trade_of_unknown_order", f"trade {trade.trade_id}", trade.client_order_id)
            return False
        if (trade.symbol, trade.trade_id) in self._account.trade_ids:
            return True
        try:
            self._store.write(fill_from_trade(order, trade))
        except ValueError as error:
            self._odd("trade_does_not_fit", str(error), trade.client_order_id)
            return False
        return True

    def take_order(self, order: Order, told: VenueOrder) -> None:
        """Bring an order to what the venue tells of it, by stream or by answer."""
        asked = self._sender.cancel_reasons.get(order.client_order_id, (Reason.OK, ""))
        try:
            after = after_venue_order(order, told, asked)
        except TransitionError as error:
            self._odd("order_does_not_fit", str(error), order.client_order_id)
            return
        flight = self._sender.flight
        if flight.amends.get(order.client_order_id) == after.quantity:
            del flight.amends[order.client_order_id]
        if _changed(order, after):
            self._store.write(after)
        if after.final:
            self._sender.forget(order.client_order_id)

    def mark_lost(self, order: Order, message: str) -> None:
        """Close an order that the venue, asked after the receive window, has never had."""
        now_ns = self._store.now_ns
        if order.state is not OrderState.UNKNOWN:
            order = apply(order, OrderEvent(kind=OrderEventKind.DOUBT, market_time_ns=now_ns))
        lost = apply(
            order,
            OrderEvent(kind=OrderEventKind.LOSE, market_time_ns=now_ns, reason=Reason.ABSENT_AT_VENUE, message=message),
        )
        self._store.write(lost)
        self._sender.forget(order.client_order_id)

    def doubt(self, order: Order) -> None:
        """We cannot know what became of an order: until the venue is asked it is UNKNOWN."""
        self._store.write(apply(order, OrderEvent(kind=OrderEventKind.DOUBT, market_time_ns=self._store.now_ns)))

    def on_lost(self) -> None:
        """The stream broke: whatever was sent and not acknowledged is in doubt."""
        self.streamed.clear()
        self._sender.connection_lost()
        for order in list(self._account.working.values()):
            if order.state is OrderState.SENT:
                self.doubt(order)
        self._store.tell()

    def protect(self) -> None:
        """Send what the stop obligation needs now."""
        if not self.protecting or not self._sender.able:
            return
        self.carry_out(plan_protection(self._account, self._sender.flight, self._store.now_ns, self._store.term))

    def carry_out(self, steps: list[Step]) -> None:
        """Do the steps of a plan: new orders with one sync for all, then amendments and cancels."""
        self._sender.place([step.order for step in steps if isinstance(step, Place)])
        for step in steps:
            if isinstance(step, Amend):
                self._sender.amend(step.order, step.quantity)
            elif isinstance(step, Cancel):
                self._sender.cancel(step.order, step.reason)

    def watch_stops(self) -> None:
        """Flatten each lot whose stop does not work at the venue in time, on the market clock."""
        now_ns = self._store.now_ns
        uncovered: dict[str, int] = {}
        for lot in open_lots(self._account):
            if lot.stop_price > ZERO and not covered(self._account, lot):
                since_ns = self._uncovered_ns.get(lot.intent_id, now_ns)
                uncovered[lot.intent_id] = since_ns
                if self.protecting and now_ns - since_ns >= self._settings.stop_deadline_ms * 1_000_000:
                    self._break_obligation(lot, now_ns - since_ns)
        self._uncovered_ns = uncovered
        self._uncovered.set(len(uncovered))

    def sweep(self, may_rest: bool) -> None:
        """Cancel what has lived too long, all entries where none may rest, and again what was to be canceled before."""
        now_ns = self._store.now_ns
        for order in list(self._account.working.values()):
            if (wish := self._sender.cancel_reasons.get(order.client_order_id)) is not None:
                self._sender.cancel(order, *wish)
                continue
            if order.order_role not in (OrderRole.ENTRY, OrderRole.EXIT):
                continue
            intake = self._account.intakes.get(order.intent_id)
            ttl_ns = intake.ttl_ns if intake is not None else 0
            if order.order_role is OrderRole.ENTRY and not may_rest:
                self._sender.cancel(order, Reason.CANCELED_BY_POSTURE, "posture, lease or Brain does not allow entries")
            elif (ttl_ns and now_ns >= order.created_ns + ttl_ns) or (
                order.order_role is OrderRole.ENTRY and intake is None
            ):
                self._sender.cancel(order, Reason.EXPIRED, f"time to live of {ttl_ns // 1_000_000} ms ended")

    def cancel_entries(self, phase_id: str, reason: Reason, message: str) -> int:
        """Cancel resting entries of one phase, or of all where empty; return how many were asked for."""
        return sum(
            self._sender.cancel(order, reason, message)
            for order in list(self._account.working.values())
            if order.order_role is OrderRole.ENTRY and phase_id in ("", order.phase_id)
        )

    def _take_reject(self, order: Order, told: VenueReject) -> None:
        flight = self._sender.flight
        if told.request is RequestKind.CANCEL:
            flight.cancels.discard(order.client_order_id)
            self._ask_if_working(order)
        elif told.request is RequestKind.AMEND:
            flight.amends.pop(order.client_order_id, None)
            if not order.final:
                flight.stubborn.add(order.client_order_id)
                self._ask_if_working(order)
        elif order.final:
            self._odd("reject_of_final_order", told.message, order.client_order_id)
        else:
            try:
                after = after_reject(order, told)
            except TransitionError as error:
                self._odd("reject_does_not_fit", str(error), order.client_order_id)
                return
            self._store.write(after)
            if after.final:
                self._sender.forget(order.client_order_id)
            else:
                self.ask(f"order {order.client_order_id}: {told.message}")

    def _ask_if_working(self, order: Order) -> None:
        if not order.final:
            self.ask(f"order {order.client_order_id}: a request was refused")

    def _break_obligation(self, lot: Lot, uncovered_ns: int) -> None:
        step = flatten_lot(self._account, lot, self._store.now_ns, self._store.term)
        if step is None or not self._sender.able:
            return
        self._obligations.inc()
        message = f"stop not working {uncovered_ns // 1_000_000} ms after the fill"
        self._log.error("stop obligation broken: flattening", intent=lot.intent_id, symbol=lot.symbol, why=message)
        self._sender.place([step.order])

    def _odd(self, kind: str, what: str, order_id: str) -> None:
        self._oddities.labels(kind).inc()
        self._log.warning("venue tells what does not fit", kind=kind, what=what, order=order_id)
        self.ask(f"{kind}: {what}")


def _changed(before: Order, after: Order) -> bool:
    """Whether anything but the time changed: news that say nothing new are not journalled."""
    return (before.state, before.quantity, before.limit_price, before.trigger_price, before.venue_order_id) != (
        after.state,
        after.quantity,
        after.limit_price,
        after.trigger_price,
        after.venue_order_id,
    )
