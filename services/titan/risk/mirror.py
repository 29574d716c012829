"""Brain's mirror of Execution's account: positions, lots, working stops and reservations, kept by the same fold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from titan.domain.enums import OrderRole
from titan.domain.lots import Lot
from titan.domain.mirror_digest import OpenOrder, mirror_lines, reported_orders
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order
from titan.domain.positions import HeldPositions, Holding, PhaseShare, Position, RoundTrip, Share, TripProgress
from titan.risk.reservations import Reservations, Terms

# Entries that ended this recently may still be filled late: their lots need the terms.
_KEPT_TERMS = 256


class AccountMirror:
    """The account as Execution last told it, and every event since.

    Attributes
    ----------
    positions
        Positions, shares, lots and open round trips, by the code that Execution keeps them with.
    reservations
        Entries and exits in flight: what was decided, and what Execution reports of it.
    protecting
        Stops and targets that are not final, by client order id.
    sequence
        Sequence of the last event that is contained.
    """

    def __init__(self) -> None:
        self.positions = HeldPositions()
        self.reservations = Reservations()
        self.protecting: dict[str, Order] = {}
        self.sequence = 0
        self._ended: OrderedDict[str, Terms] = OrderedDict()

    def replace(
        self,
        sequence: int,
        positions: Iterable[Position],
        trips: Iterable[tuple[Share, TripProgress]],
        working: Sequence[Order],
        terms: Mapping[str, Terms],
        unanswered: frozenset[str],
    ) -> None:
        """Replace everything by Execution's account; ``unanswered`` intents are unknown to it, and stay reserved."""
        self.sequence = sequence
        self.positions.restore(positions, trips)
        self.protecting = {}
        self.reservations.rebuild(working, unanswered, terms)
        for order in working:
            self._protect(order)

    def on_order(self, order: Order, sequence: int = 0) -> None:
        """Follow an order's new state, unless it is older than what is contained; sequence 0 is that of no record."""
        if 0 < sequence < self.sequence:
            return
        self.sequence = max(self.sequence, sequence)
        self._protect(order)
        self._keep_terms(order.intent_id)
        self.reservations.on_order(order)

    def contains_fill(self, sequence: int) -> bool:
        """Whether the fill of this record is contained. The order that it changed is reported after it."""
        return 0 < sequence <= self.sequence

    def on_fill(self, fill: Fill, sequence: int = 0) -> RoundTrip | None:
        """Book a fill; return the round trip that it finished."""
        self.sequence = max(self.sequence, sequence)
        entry = self.reservations.entries.get(fill.intent_id)
        terms = entry.terms if entry is not None else self._ended.get(fill.intent_id)
        self._keep_terms(fill.intent_id)
        self.reservations.on_fill(fill)
        _, trip = self.positions.book_fill(fill, fill.fee_in_quote or ZERO, terms)
        return trip

    def lots_of(self, symbol: str) -> list[Lot]:
        """List the open lots of a symbol."""
        return [lot for (_, held), lots in self.positions.lots.items() if held == symbol for lot in lots]

    def shares_of_phase(self, phase_id: str) -> list[Position]:
        """List a phase's shares, as positions that hold nothing else."""
        return [
            self._position(phase_id, symbol, share)
            for (owner, symbol), share in self.positions.shares.items()
            if owner == phase_id and share.quantity != ZERO
        ]

    def lines(self) -> list[str]:
        """Write out the view for the digest: reservations stand for the orders that Execution has reported."""
        reserved = (
            OpenOrder(held.client_order_id, held.order_role, held.remaining_quantity)
            for in_flight in (self.reservations.entries, self.reservations.exits)
            for held in in_flight.values()
            if held.client_order_id
        )
        return mirror_lines(self.positions, [*reserved, *reported_orders(self.protecting.values())])

    def _position(self, phase_id: str, symbol: str, share: Holding) -> Position:
        lots = self.positions.lots.get((phase_id, symbol), ())
        part = PhaseShare(
            phase_id=phase_id,
            quantity=share.quantity,
            average_entry_price=share.average_entry_price,
            intent_id=lots[0].intent_id if lots else "",
            opened_ns=share.opened_ns,
        )
        return Position(
            symbol=symbol,
            quantity=share.quantity,
            average_entry_price=share.average_entry_price,
            opened_ns=share.opened_ns,
            shares=(part,),
        )

    def _protect(self, order: Order) -> None:
        if order.order_role not in (OrderRole.STOP, OrderRole.TARGET):
            return
        if order.final:
            self.protecting.pop(order.client_order_id, None)
        else:
            self.protecting[order.client_order_id] = order

    def _keep_terms(self, intent_id: str) -> None:
        if (entry := self.reservations.entries.get(intent_id)) is None:
            return
        self._ended[intent_id] = entry.terms
        if len(self._ended) > _KEPT_TERMS:
            self._ended.popitem(last=False)
