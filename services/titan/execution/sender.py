"""What leaves for the venue: orders, cancels and amendments, each under the lease and signed with its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from titan.domain import orders as machine
from titan.domain.kinds import OrderState
from titan.domain.orders import Order, OrderEvent, OrderEventKind
from titan.domain.protection import InFlight
from titan.domain.reasons import Reason
from titan.domain.venue import AmendOrder, CancelOrder, SendOrder
from titan.execution.account_store import AccountStore
from titan.execution.settings import ExecutionSettings
from titan.runtime.telemetry.metrics import Metrics
from titan.venues.base import Venue


class SendingLease(Protocol):
    """What a sender asks of the lease."""

    def may_send(self, now_ns: int) -> bool:
        """Whether a request signed with ``now_ns`` (UTC ns, machine's clock) may leave."""


class Sender:
    """Hands requests to the venue's stream, synchronously.

    Attributes
    ----------
    flight
        Cancels and amendments that the venue has not answered.
    cancel_reasons
        Why we want an order canceled, by client order id: the venue does not know.
    signed_ns
        When each order was signed, UTC ns on the machine's clock: absence counts only after the receive window.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        store: AccountStore,
        venue: Venue,
        lease: SendingLease,
        metrics: Metrics,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.flight = InFlight()
        self.cancel_reasons: dict[str, tuple[Reason, str]] = {}
        self.signed_ns: dict[str, int] = {}
        self.wall_ns = wall_ns
        self.sends = 0
        self._settings = settings
        self._store = store
        self._venue = venue
        self._lease = lease
        requests = metrics.counter("titan_venue_requests", "Requests posted to the venue.", ["request"])
        self._requests = {kind: requests.labels(kind) for kind in ("send", "cancel", "amend")}

    @property
    def able(self) -> bool:
        """Whether a request signed now would reach a venue that is ours to trade at."""
        return self._venue.connected and self.may_send()

    def may_send(self) -> bool:
        """Whether the lease covers a request from now to the end of its receive window."""
        return self._lease.may_send(self.wall_ns())

    def post(self, order: Order) -> bool:
        """Send a journalled order; False when nothing left us.

        The lease is looked at here, in the same moment in which the request is signed: a process that was stopped in
        between signs nothing, or the venue refuses what it signed.
        """
        now_ns = self.wall_ns()
        if not self._lease.may_send(now_ns):
            return False
        self.signed_ns[order.client_order_id] = now_ns
        self.sends += 1
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

    def note(self, order: Order, sent: bool, reason: Reason = Reason.VENUE_ERROR, message: str = "") -> Order:
        """Journal what :meth:`post` did: SENT, or CANCELED because it never left us."""
        event = OrderEvent(
            kind=OrderEventKind.SEND if sent else OrderEventKind.CANCEL,
            market_time_ns=self._store.now_ns,
            reason=reason,
            message=message,
        )
        after = machine.apply(order, event)
        self._store.write(after)
        return after

    def place(self, orders: list[Order]) -> None:
        """Journal new orders (state NEW), sync once, send them in order."""
        if not orders or not self.able:
            return
        journalled = [
            machine.apply(order, OrderEvent(kind=OrderEventKind.JOURNAL, market_time_ns=self._store.now_ns))
            for order in orders
        ]
        for order in journalled:
            self._store.write(order)
        self._store.sync()
        for order in journalled:
            sent = self.post(order)
            self.note(
                order, sent, *((Reason.OK, "") if sent else (Reason.LEASE_LOST, "the lease or the venue went away"))
            )

    def cancel(self, order: Order, reason: Reason, message: str = "") -> bool:
        """Ask to cancel a working order, without waiting for a sync. False when it could not be asked, or was before.

        The wish is kept until the order is final, and asked again by the sweeper: after a broken stream, or once it is
        known what became of an order in doubt. One that the venue may not know yet is canceled as well: requests
        arrive in order.
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
        posted = self._venue.cancel_order(
            CancelOrder(
                client_order_id=order.client_order_id,
                market_time_ns=self._store.now_ns,
                signed_at_ns=now_ns,
                receive_window_ms=self._settings.receive_window_ms,
            )
        )
        if posted:
            self.flight.cancels.add(order.client_order_id)
        return posted

    def amend(self, order: Order, quantity: Decimal) -> bool:
        """Ask to bring a working order to a total of ``quantity`` base units. False when it could not be asked."""
        now_ns = self.wall_ns()
        if not self._lease.may_send(now_ns):
            return False
        self._requests["amend"].inc()
        posted = self._venue.amend_order(
            AmendOrder(
                client_order_id=order.client_order_id,
                market_time_ns=self._store.now_ns,
                signed_at_ns=now_ns,
                receive_window_ms=self._settings.receive_window_ms,
                quantity=quantity,
            )
        )
        if posted:
            self.flight.amends[order.client_order_id] = quantity
        return posted

    def forget(self, order_id: str) -> None:
        """The order is final: nothing of it is in flight any more."""
        self.flight.forget(order_id)
        self.cancel_reasons.pop(order_id, None)
        self.signed_ns.pop(order_id, None)

    def connection_lost(self) -> None:
        """What was in flight may or may not have arrived: it is asked, and planned anew."""
        self.flight.cancels.clear()
        self.flight.amends.clear()
