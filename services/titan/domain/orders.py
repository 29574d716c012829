"""Orders and fills, and the order state machine as one table."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum

import msgspec

from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.numbers import ZERO
from titan.domain.reasons import Reason
from titan.domain.symbols import base_of, quote_of

# Averages and profits are kept to this precision, which has a canonical spelling; everything else is exact.
PRECISION = Decimal("1e-12")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order as we have it.

    ``quantity`` in base units, prices in quote units (0: none), times on the market clock.
    """

    client_order_id: str
    intent_id: str
    phase_id: str
    order_role: OrderRole
    attempt: int
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    reduce_only: bool
    policy_hash: str
    term: int
    created_ns: int
    updated_ns: int
    limit_price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    state: OrderState = OrderState.NEW
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    reason: Reason = Reason.OK
    message: str = ""
    venue_order_id: str = ""

    @property
    def remaining_quantity(self) -> Decimal:
        """Base units not yet filled."""
        return self.quantity - self.filled_quantity

    @property
    def final(self) -> bool:
        """Whether nothing more is expected of it; a late fill may still come."""
        return self.state in FINAL_STATES

    @property
    def at_venue(self) -> bool:
        """Whether the venue has acknowledged it as working."""
        return self.state in (OrderState.ACKED, OrderState.PARTIAL)


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution.

    ``fee`` in ``fee_currency``, positive when paid; ``realized_pnl`` in quote units, gross of fees;
    ``venue_sequence`` the venue's cursor, 0 where it gives none. ``position_quantity`` is the base units by which it
    moves the position where that is not ``quantity``: a fee in base is not held. Execution sets it.
    """

    trade_id: str
    client_order_id: str
    intent_id: str
    phase_id: str
    order_role: OrderRole
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    event_time_ns: int
    policy_hash: str
    realized_pnl: Decimal = ZERO
    venue_sequence: int = 0
    position_quantity: Decimal | None = None

    @property
    def moved_quantity(self) -> Decimal:
        """Base units by which it moves the position, unsigned."""
        return self.quantity if self.position_quantity is None else self.position_quantity

    @property
    def position_change(self) -> Decimal:
        """The same with the sign of its side."""
        return self.moved_quantity * self.side.sign

    @property
    def fee_in_quote(self) -> Decimal | None:
        """The fee in quote units, one in base at the fill's own price; None in another currency, which has no price."""
        if self.fee_currency == base_of(self.symbol):
            return (self.fee * self.price).quantize(PRECISION)
        return self.fee if self.fee_currency == quote_of(self.symbol) else None


class OrderEventKind(IntEnum):
    """Kinds of events of an order."""

    JOURNAL = 1  # it is in the journal
    SEND = 2  # it was handed to the venue's stream
    ACK = 3  # the venue acknowledged it
    FILL_PART = 4  # a trade that leaves a rest
    FILL_REST = 5  # a trade that leaves none
    AMEND = 6  # the venue changed its quantity or a price, as requested
    CANCEL = 7  # the venue canceled it, or it never left us
    REJECT = 8  # the venue refused it, or we did before it left
    EXPIRE = 9  # the venue ended the rest of it
    DOUBT = 10  # its state is unknown until the venue is queried
    LOSE = 11  # queried after the receive window, the venue never had it


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an order.

    For fills ``quantity`` (base units) and ``price`` are the trade's; for AMEND they are the order's new total quantity
    and limit price, and 0 leaves what it was.
    """

    kind: OrderEventKind
    market_time_ns: int
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    venue_order_id: str = ""
    reason: Reason = Reason.OK
    message: str = ""


class TransitionError(ValueError):
    """An event that cannot happen to an order in its state; the message names both."""


_S = OrderState
_E = OrderEventKind

# state × event → state. A pair that is not here cannot happen.
ORDER_TABLE: dict[tuple[OrderState, OrderEventKind], OrderState] = {
    (_S.NEW, _E.JOURNAL): _S.JOURNALLED,
    (_S.NEW, _E.ACK): _S.ACKED,  # adopted: the venue has an order that our journal does not know
    (_S.NEW, _E.FILL_PART): _S.PARTIAL,  # adopted with a trade
    (_S.NEW, _E.FILL_REST): _S.FILLED,  # adopted, finished already
    (_S.JOURNALLED, _E.SEND): _S.SENT,
    (_S.JOURNALLED, _E.ACK): _S.ACKED,  # crashed after the send and before noting it: recovery finds it at the venue
    (_S.JOURNALLED, _E.FILL_PART): _S.PARTIAL,  # the same, with a trade
    (_S.JOURNALLED, _E.FILL_REST): _S.FILLED,  # the same, finished
    (_S.JOURNALLED, _E.CANCEL): _S.CANCELED,  # never left us: posture, lease or Brain went away
    (_S.JOURNALLED, _E.REJECT): _S.REJECTED,  # the venue's answer arrived before SENT was noted
    (_S.JOURNALLED, _E.EXPIRE): _S.EXPIRED,  # the same
    (_S.JOURNALLED, _E.DOUBT): _S.UNKNOWN,  # recovery: it is unknown whether it was sent
    (_S.SENT, _E.ACK): _S.ACKED,
    (_S.SENT, _E.FILL_PART): _S.PARTIAL,  # a trade overtook the acknowledgement
    (_S.SENT, _E.FILL_REST): _S.FILLED,  # the same
    (_S.SENT, _E.CANCEL): _S.CANCELED,  # an IOC without a match, reported without an acknowledgement
    (_S.SENT, _E.REJECT): _S.REJECTED,
    (_S.SENT, _E.EXPIRE): _S.EXPIRED,
    (_S.SENT, _E.DOUBT): _S.UNKNOWN,  # the stream broke before an answer
    (_S.ACKED, _E.ACK): _S.ACKED,  # repeated: on arrival, on a query, after a reconnection
    (_S.ACKED, _E.AMEND): _S.ACKED,
    (_S.ACKED, _E.FILL_PART): _S.PARTIAL,
    (_S.ACKED, _E.FILL_REST): _S.FILLED,
    (_S.ACKED, _E.CANCEL): _S.CANCELED,
    (_S.ACKED, _E.REJECT): _S.REJECTED,  # accepted, then refused on arrival in the market or at its trigger
    (_S.ACKED, _E.EXPIRE): _S.EXPIRED,
    (_S.ACKED, _E.DOUBT): _S.UNKNOWN,  # the venue acknowledged it, and no longer lists it
    (_S.PARTIAL, _E.ACK): _S.PARTIAL,  # the acknowledgement that a trade overtook
    (_S.PARTIAL, _E.AMEND): _S.PARTIAL,
    (_S.PARTIAL, _E.FILL_PART): _S.PARTIAL,
    (_S.PARTIAL, _E.FILL_REST): _S.FILLED,
    (_S.PARTIAL, _E.CANCEL): _S.CANCELED,  # the filled part stays filled
    (_S.PARTIAL, _E.EXPIRE): _S.EXPIRED,  # the same
    (_S.PARTIAL, _E.DOUBT): _S.UNKNOWN,
    (_S.FILLED, _E.ACK): _S.FILLED,  # the acknowledgement that the last trade overtook
    (_S.CANCELED, _E.ACK): _S.CANCELED,  # out of order: the cancel was reported first
    (_S.CANCELED, _E.CANCEL): _S.CANCELED,  # repeated
    (_S.CANCELED, _E.FILL_PART): _S.CANCELED,  # a trade before the cancel, reported after it: the money is real
    (_S.CANCELED, _E.FILL_REST): _S.FILLED,  # the same, and it was all of it
    (_S.REJECTED, _E.REJECT): _S.REJECTED,  # repeated
    (_S.EXPIRED, _E.ACK): _S.EXPIRED,  # out of order
    (_S.EXPIRED, _E.EXPIRE): _S.EXPIRED,  # repeated
    (_S.EXPIRED, _E.FILL_PART): _S.EXPIRED,  # as after a cancel
    (_S.EXPIRED, _E.FILL_REST): _S.FILLED,  # as after a cancel
    (_S.LOST, _E.ACK): _S.ACKED,  # given up too early: the venue's state counts
    (_S.LOST, _E.FILL_PART): _S.PARTIAL,  # the same
    (_S.LOST, _E.FILL_REST): _S.FILLED,  # the same
    (_S.LOST, _E.CANCEL): _S.CANCELED,  # the same
    (_S.LOST, _E.REJECT): _S.REJECTED,  # the same
    (_S.LOST, _E.EXPIRE): _S.EXPIRED,  # the same
    # Only a report or an answer of the venue ends UNKNOWN. LOST has no other way in.
    (_S.UNKNOWN, _E.ACK): _S.ACKED,
    (_S.UNKNOWN, _E.FILL_PART): _S.PARTIAL,
    (_S.UNKNOWN, _E.FILL_REST): _S.FILLED,
    (_S.UNKNOWN, _E.CANCEL): _S.CANCELED,
    (_S.UNKNOWN, _E.REJECT): _S.REJECTED,
    (_S.UNKNOWN, _E.EXPIRE): _S.EXPIRED,
    (_S.UNKNOWN, _E.LOSE): _S.LOST,
    (_S.UNKNOWN, _E.DOUBT): _S.UNKNOWN,  # queried without an answer
}

FINAL_STATES = frozenset({_S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED, _S.LOST})
_FILLS = (_E.FILL_PART, _E.FILL_REST)
_ENDS = (_E.CANCEL, _E.REJECT, _E.EXPIRE, _E.LOSE)


def next_state(state: OrderState, kind: OrderEventKind) -> OrderState:
    """The state after an event.

    Raises
    ------
    TransitionError
        When the event cannot happen in this state.
    """
    found = ORDER_TABLE.get((state, kind))
    if found is None:
        raise TransitionError(f"order state {state.name}: event {kind.name} cannot happen in it")
    return found


def apply(order: Order, event: OrderEvent) -> Order:
    """The order after an event.

    Raises
    ------
    TransitionError
        When the event cannot happen in the order's state, or a trade or amendment does not fit its quantity; names
        the order, its state and the event.
    """
    try:
        state = next_state(order.state, event.kind)
    except TransitionError as error:
        raise TransitionError(f"{order.client_order_id} ({order.order_role.name}): {error}") from None
    quantity, limit_price, trigger_price = order.quantity, order.limit_price, order.trigger_price
    filled, average = order.filled_quantity, order.average_price
    if event.kind in _FILLS:
        filled, average = _filled(order, event)
    elif event.kind is _E.AMEND:
        quantity, limit_price, trigger_price = (
            event.quantity or quantity,
            event.price or limit_price,
            event.trigger_price or trigger_price,
        )
        if quantity < filled:
            raise TransitionError(
                f"{order.client_order_id} in state {order.state.name}: AMEND to {quantity} is below {filled} filled"
            )
    # An order that was filled in part before it became UNKNOWN is acknowledged as PARTIAL.
    if state is _S.ACKED and filled > ZERO:
        state = _S.PARTIAL
    # A reduce-only order that the venue shrank to what its trades had filled already is finished.
    if state is _S.PARTIAL and filled == quantity:
        state = _S.FILLED
    ended = event.kind in _ENDS
    return msgspec.structs.replace(
        order,
        state=state,
        quantity=quantity,
        limit_price=limit_price,
        trigger_price=trigger_price,
        filled_quantity=filled,
        average_price=average,
        updated_ns=max(order.updated_ns, event.market_time_ns),
        venue_order_id=event.venue_order_id or order.venue_order_id,
        reason=event.reason if ended else order.reason,
        message=event.message if ended else order.message,
    )


def fill_kind(order: Order, quantity: Decimal) -> OrderEventKind:
    """Whether a trade of ``quantity`` base units leaves a rest."""
    return _E.FILL_PART if quantity < order.remaining_quantity else _E.FILL_REST


def _filled(order: Order, event: OrderEvent) -> tuple[Decimal, Decimal]:
    filled = order.filled_quantity + event.quantity
    fits = filled < order.quantity if event.kind is _E.FILL_PART else filled == order.quantity
    if event.quantity <= ZERO or not fits:
        raise TransitionError(
            f"{order.client_order_id} in state {order.state.name}: {event.kind.name} of {event.quantity} does not fit "
            f"{order.filled_quantity} filled of {order.quantity}"
        )
    paid = order.average_price * order.filled_quantity + event.price * event.quantity
    return filled, (paid / filled).quantize(PRECISION)
