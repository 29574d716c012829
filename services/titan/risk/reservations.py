"""Decided orders that are not final: they count as if done. Source: domain.md section 2.

An entry reserves exposure, margin and its worst case; an exit reserves the part of the position that it closes.
Fills turn a reservation into a position piece by piece; the rest ends with the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from titan.domain.enums import OrderRole, OrderState, Side
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order

FINAL_STATES = frozenset(
    {OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.LOST}
)


class Reservation(msgspec.Struct, kw_only=True):
    """One decided order that is not final.

    ``quantity`` and ``filled`` in base units, prices in quote units; ``loss_fraction`` is stop distance plus cost as a
    fraction of price, None where it is unknown (an order decided before a restart). ``final_quantity`` is the filled
    quantity of the final order, None while it works: its fills may still be on their way.
    """

    intent_id: str
    phase_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    loss_fraction: Decimal | None = None
    stop_price: Decimal = ZERO
    setup: str = ""
    filled: Decimal = ZERO
    final_quantity: Decimal | None = None

    @property
    def remaining(self) -> Decimal:
        """Base units that may still be filled."""
        bound = self.quantity if self.final_quantity is None else self.final_quantity
        return max(ZERO, bound - self.filled)


class Reservations:
    """Entries and exits in flight, by intent id."""

    __slots__ = ("entries", "exits")

    def __init__(self) -> None:
        self.entries: dict[str, Reservation] = {}
        self.exits: dict[str, Reservation] = {}

    def release(self, intent_id: str) -> None:
        """Release an intent that Execution refused, or that was never sent."""
        self.entries.pop(intent_id, None)
        self.exits.pop(intent_id, None)

    def on_order(self, order: Order) -> None:
        """Apply an order's new state. Stops and targets reserve nothing."""
        held = self._of(order.order_role, order.intent_id)
        if held is not None and order.state in FINAL_STATES:
            held.final_quantity = order.filled_quantity
            self._drop_if_done(order.order_role, held)

    def on_fill(self, fill: Fill) -> None:
        """Apply a fill: its part is a position now."""
        held = self._of(fill.order_role, fill.intent_id)
        if held is not None:
            held.filled += fill.quantity
            self._drop_if_done(fill.order_role, held)

    def rebuild(self, working: Iterable[Order], unanswered: frozenset[str]) -> None:
        """Rebuild the reservations from Execution's working orders.

        Parameters
        ----------
        working
            Every order that is not final.
        unanswered
            Intents that were sent, or wait to be sent again, and that Execution has not reported: they stay.
        """
        known = {**self.entries, **self.exits}
        kept_entries = {key: value for key, value in self.entries.items() if key in unanswered}
        kept_exits = {key: value for key, value in self.exits.items() if key in unanswered}
        for order in working:
            if order.state in FINAL_STATES or order.order_role not in (OrderRole.ENTRY, OrderRole.EXIT):
                continue
            before = known.get(order.intent_id)
            held = Reservation(
                intent_id=order.intent_id,
                phase_id=order.phase_id,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                price=order.limit_price or (before.price if before else ZERO),
                loss_fraction=before.loss_fraction if before else None,
                stop_price=before.stop_price if before else ZERO,
                setup=before.setup if before else "",
                filled=order.filled_quantity,
            )
            (kept_entries if order.order_role is OrderRole.ENTRY else kept_exits)[order.intent_id] = held
        self.entries, self.exits = kept_entries, kept_exits

    def _of(self, order_role: OrderRole, intent_id: str) -> Reservation | None:
        if order_role is OrderRole.ENTRY:
            return self.entries.get(intent_id)
        return self.exits.get(intent_id) if order_role is OrderRole.EXIT else None

    def _drop_if_done(self, order_role: OrderRole, held: Reservation) -> None:
        if held.remaining == ZERO:
            (self.entries if order_role is OrderRole.ENTRY else self.exits).pop(held.intent_id, None)
