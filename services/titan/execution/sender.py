"""Requests to the venue: orders, cancels and amendments, each under the lease and signed with its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from titan.domain import orders as machine
from titan.domain.enums import OrderState
from titan.domain.orders import Order, OrderEvent, OrderEventKind
from titan.domain.protection import InFlight
from titan.domain.reasons import Reason
from titan.domain.venue import AmendOrder, CancelOrder, SendOrder
from titan.durable.lease import Lease
from titan.execution.journalled_account import JournalledAccount
from titan.execution.settings import ExecutionSettings
from titan.runtime.telemetry.metrics import Metrics
from titan.venues.base import Venue


class Sender:
    """Hands requests to the venue's stream, synchronously.

    Attributes
    ----------
    flight
        Cancels and amendments that the venue has not answered.
    cancel_reasons
        The reason for each requested cancel, by client order id: the venue does not know it.
    signed_ns
        Signing time of each order, UTC ns on the machine's clock: absence counts only after the receive window.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        store: JournalledAccount,
        venue: Venue,
        lease: Lease,
        metrics: Metrics,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.flight = InFlight()
        self.cancel_reasons: dict[str, tuple[Reason, str]] = {}
        self.signed_ns: dict[str, int] = {}
        self.wall_ns = wall_ns
        self._settings = settings
        self._store = store
        self._venue = venue
        self._lease = lease
        requests = metrics.counter("titan_venue_requests", "Requests posted to the venue.", ["request"])
        self._requests = {kind: requests.labels(kind) for kind in ("send", "cancel", "amend")}

    @property
    def can_send(self) -> bool:
        """Whether the venue is connected and the lease covers a request signed now."""
        return self._venue.connected and self.may_send()

    def may_send(self) -> bool:
        """Whether the lease covers a request from now to the end of its receive window."""
        return self._lease.may_send(self.wall_ns())

    def send(self, order: Order) -> bool:
        """Send a journalled order; False when nothing left this process.

        The lease is checked here, in the same moment in which the request is signed. A process that was stopped in
        between signs nothing, or the venue refuses the request.
        """
        now_ns = self.wall_ns()
        if not self._lease.may_send(now_ns):
            return False
        self.signed_ns[order.client_order_id] = now_ns
        self._requests["send"].inc()
        return self._venue.send_order(
            SendOrder(
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                side=order.side,
                type=order.type,
                time_in_force=order.time_in_force,
                quantity=order.quantity,
                market_time_ns=self._store.now_ns,
                signed_at_ns=now_ns,
                receive_window_ms=self._settings.receive_window_ms,
                limit_price=order.limit_price,
                trigger_price=order.trigger_price,
                reduce_only=order.reduce_only,
            )
        )

    def record_send(self, order: Order, sent: bool, reason: Reason, message: str) -> None:
        """Journal the result of :meth:`send`: SENT, or CANCELED because the order never left this process."""
        event = OrderEvent(
            kind=OrderEventKind.SEND if sent else OrderEventKind.CANCEL,
            market_time_ns=self._store.now_ns,
            reason=reason,
            message=message,
        )
        self._store.write(machine.apply(order, event))

    def place(self, orders: list[Order]) -> None:
        """Journal new orders (state NEW), sync once, send them in order."""
        if not orders or not self.can_send:
            return
        journalled = [
            machine.apply(order, OrderEvent(kind=OrderEventKind.JOURNAL, market_time_ns=self._store.now_ns))
            for order in orders
        ]
        for order in journalled:
            self._store.write(order)
        self._store.sync()
        for order in journalled:
            sent = self.send(order)
            result = (Reason.OK, "") if sent else (Reason.LEASE_LOST, "the lease or the venue went away")
            self.record_send(order, sent, *result)

    def cancel(self, order: Order, reason: Reason, message: str = "") -> bool:
        """Request a cancel of a working order, without waiting for a sync.

        False when it could not be requested, or was requested before. The reason is kept until the order is final, and
        the sweep requests the cancel again: after a broken stream, or once an order in doubt is known to work. An order
        that the venue may not know yet is canceled as well: requests arrive in order.
        """
        if order.client_order_id in self.flight.cancels or order.final:
            return False
        self.cancel_reasons.setdefault(order.client_order_id, (reason, message))
        if order.state not in (OrderState.SENT, OrderState.ACKED, OrderState.PARTIAL):
            return False
        now_ns = self.wall_ns()
        if not self._lease.may_send(now_ns):
            return False
        self._requests["cancel"].inc()
        sent = self._venue.cancel_order(
            CancelOrder(
                client_order_id=order.client_order_id,
                market_time_ns=self._store.now_ns,
                signed_at_ns=now_ns,
                receive_window_ms=self._settings.receive_window_ms,
            )
        )
        if sent:
            self.flight.cancels.add(order.client_order_id)
        return sent

    def amend(self, order: Order, quantity: Decimal) -> bool:
        """Request a total of ``quantity`` base units for a working order. False when it could not be requested."""
        now_ns = self.wall_ns()
        if not self._lease.may_send(now_ns):
            return False
        self._requests["amend"].inc()
        sent = self._venue.amend_order(
            AmendOrder(
                client_order_id=order.client_order_id,
                market_time_ns=self._store.now_ns,
                signed_at_ns=now_ns,
                receive_window_ms=self._settings.receive_window_ms,
                quantity=quantity,
            )
        )
        if sent:
            self.flight.amends[order.client_order_id] = quantity
        return sent

    def forget(self, order_id: str) -> None:
        """Remove a final order: nothing of it is in flight any more."""
        self.flight.forget(order_id)
        self.cancel_reasons.pop(order_id, None)
        self.signed_ns.pop(order_id, None)

    def connection_lost(self) -> None:
        """Forget requests in flight, which may or may not have arrived: they are made anew."""
        self.flight.cancels.clear()
        self.flight.amends.clear()
