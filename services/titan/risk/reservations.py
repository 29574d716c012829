"""Decided orders that are not final: they count as if done. Source: domain.md section 2.

An entry reserves exposure, margin and its worst case; an exit reserves the part of the position that it closes.
Fills turn a reservation into a position piece by piece; the rest ends with the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from titan.domain.enums import OrderRole, OrderState, Side
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided with an entry: prices in quote units (0: none)."""

    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    setup: str = ""


NO_TERMS = Terms()


class Reservation(msgspec.Struct, kw_only=True):
    """One decided order that is not final.

    ``quantity`` and ``filled`` in base units, prices in quote units; ``loss_fraction`` is stop distance plus cost as a
    fraction of price, None where Brain did not decide it in this life. ``client_order_id`` is empty until Execution has
    reported the order.
    """

    intent_id: str
    phase_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    loss_fraction: Decimal | None = None
    terms: Terms = NO_TERMS
    filled: Decimal = ZERO
    client_order_id: str = ""
    order_role: OrderRole = OrderRole.ENTRY

    @property
    def remaining_quantity(self) -> Decimal:
        """Base units that may still be filled."""
        return max(ZERO, self.quantity - self.filled)


class Reservations:
    """Entries and exits in flight, by intent id.

    Execution's word decides which of the two an order is. It reports an order after all of its fills, so a final order
    reserves nothing.
    """

    __slots__ = ("entries", "exits")

    def __init__(self) -> None:
        self.entries: dict[str, Reservation] = {}
        self.exits: dict[str, Reservation] = {}

    def release(self, intent_id: str) -> None:
        """Release an intent that Execution refused, or that was never sent."""
        for held in (self.entries, self.exits):
            if intent_id in held and not held[intent_id].client_order_id:
                del held[intent_id]

    def on_order(self, order: Order, terms: Terms = NO_TERMS) -> None:
        """Follow an order's new state. Stops and targets reserve nothing.

        ``terms`` are used where Brain does not have the entry's own.
        """
        home = self._home(order.order_role)
        if home is None:
            return
        held = self._claimed(order.order_role, order.intent_id)
        if held is not None and held.client_order_id not in ("", order.client_order_id):
            if order.final:
                # An earlier attempt of an order that was sent again.
                return
            held = None
        if order.final:
            home.pop(order.intent_id, None)
            return
        if held is None:
            held = Reservation(
                intent_id=order.intent_id,
                phase_id=order.phase_id,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                price=order.limit_price,
                terms=terms,
            )
        held.quantity, held.filled = order.quantity, order.filled_quantity
        held.price = order.limit_price or held.price
        held.order_role = order.order_role
        # One that is only journalled counts as unreported: so it does in the digest.
        held.client_order_id = order.client_order_id if order.state is not OrderState.JOURNALLED else ""
        home[order.intent_id] = held

    def on_fill(self, fill: Fill) -> None:
        """Apply a fill: its part is a position now."""
        home = self._home(fill.order_role)
        held = self._claimed(fill.order_role, fill.intent_id)
        if home is None or held is None:
            return
        held.filled += fill.quantity
        if held.remaining_quantity:
            home[fill.intent_id] = held
        else:
            home.pop(fill.intent_id, None)

    def rebuild(self, working: Iterable[Order], unanswered: frozenset[str], terms: Mapping[str, Terms]) -> None:
        """Rebuild the reservations from Execution's account.

        Parameters
        ----------
        working
            Every order that is not final.
        unanswered
            Intents that were sent, or wait to be sent again, and that Execution does not have: they stay.
        terms
            Of the working entries, by intent id.
        """
        known = {**self.exits, **self.entries}
        self.entries = {key: value for key, value in self.entries.items() if key in unanswered}
        self.exits = {key: value for key, value in self.exits.items() if key in unanswered}
        for order in working:
            home = self._home(order.order_role)
            if home is None:
                continue
            before = known.get(order.intent_id)
            self.on_order(order, terms.get(order.intent_id, before.terms if before is not None else NO_TERMS))
            made = home.get(order.intent_id)
            if made is not None and before is not None:
                made.loss_fraction, made.price = before.loss_fraction, made.price or before.price

    def _home(self, order_role: OrderRole) -> dict[str, Reservation] | None:
        if order_role is OrderRole.ENTRY:
            return self.entries
        return self.exits if order_role in (OrderRole.EXIT, OrderRole.FLATTEN) else None

    def _claimed(self, order_role: OrderRole, intent_id: str) -> Reservation | None:
        """Return the reservation of an order; one that Brain decided otherwise leaves its old place."""
        home = self._home(order_role)
        if home is None:
            return None
        if (held := home.get(intent_id)) is not None:
            return held
        other = self.exits if home is self.entries else self.entries
        decided = other.get(intent_id)
        if order_role is OrderRole.FLATTEN or decided is None or decided.client_order_id:
            return None
        return other.pop(intent_id)
