"""Effect of a venue's reports on our orders: pure, for updates of the stream and answers to queries alike."""

from __future__ import annotations

from titan.domain.enums import OrderState
from titan.domain.numbers import ZERO
from titan.domain.orders import FINAL_STATES, Fill, Order, OrderEvent, OrderEventKind, apply
from titan.domain.reasons import Reason
from titan.domain.venue import VenueOrder, VenueOrderState, VenueReject, VenueTrade

_ENDS = {
    VenueOrderState.CANCELED: OrderEventKind.CANCEL,
    VenueOrderState.REJECTED: OrderEventKind.REJECT,
    VenueOrderState.EXPIRED: OrderEventKind.EXPIRE,
}
_NOT_ACKNOWLEDGED = frozenset(
    {OrderState.NEW, OrderState.JOURNALLED, OrderState.SENT, OrderState.UNKNOWN, OrderState.LOST}
)


def after_venue_order(order: Order, theirs: VenueOrder, requested: tuple[Reason, str] = (Reason.OK, "")) -> Order:
    """Return the order after the venue reported its own state of it.

    Fills come from trades only: a report with a greater filled quantity changes nothing about that.

    Parameters
    ----------
    order
        As we have it.
    theirs
        As the venue has it.
    requested
        The reason of our own cancel, if any: kept where the venue names none.

    Raises
    ------
    TransitionError
        When the report cannot happen to the order.
    """
    end = _ENDS.get(theirs.state)
    if end is not OrderEventKind.REJECT and order.state in _NOT_ACKNOWLEDGED:
        order = apply(order, _event(OrderEventKind.ACK, theirs))
    if order.at_venue and _differs(order, theirs):
        order = apply(
            order,
            OrderEvent(
                kind=OrderEventKind.AMEND,
                market_time_ns=theirs.market_time_ns,
                quantity=theirs.quantity if theirs.quantity >= order.filled_quantity else ZERO,
                price=theirs.limit_price,
                trigger_price=theirs.trigger_price,
            ),
        )
    if end is None or order.state in FINAL_STATES:
        # FILLED is made by trades; a repeated end changes nothing.
        return order
    reason, message = (theirs.reason, theirs.message) if theirs.reason is not Reason.OK else requested
    event = OrderEvent(
        kind=end,
        market_time_ns=theirs.market_time_ns,
        venue_order_id=theirs.venue_order_id,
        reason=reason,
        message=message or theirs.message,
    )
    return apply(order, event)


def after_reject(order: Order, theirs: VenueReject) -> Order:
    """Return the order after its send was refused.

    A duplicate means that the venue has one of this id: its state is unknown until the venue is queried.

    Raises
    ------
    TransitionError
        When it cannot happen to the order.
    """
    duplicate = theirs.reason is Reason.DUPLICATE_ORDER
    return apply(
        order,
        OrderEvent(
            kind=OrderEventKind.DOUBT if duplicate else OrderEventKind.REJECT,
            market_time_ns=theirs.market_time_ns,
            reason=theirs.reason,
            message=theirs.message,
        ),
    )


def fill_from_trade(order: Order, trade: VenueTrade) -> Fill:
    """Return a trade of the venue as a fill of our order."""
    return Fill(
        trade_id=trade.trade_id,
        client_order_id=order.client_order_id,
        intent_id=order.intent_id,
        phase_id=order.phase_id,
        order_role=order.order_role,
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price,
        fee=trade.fee,
        fee_currency=trade.fee_currency,
        maker=trade.maker,
        event_time_ns=trade.market_time_ns,
        policy_hash=order.policy_hash,
        venue_sequence=trade.sequence,
    )


def _event(kind: OrderEventKind, theirs: VenueOrder) -> OrderEvent:
    return OrderEvent(kind=kind, market_time_ns=theirs.market_time_ns, venue_order_id=theirs.venue_order_id)


def _differs(order: Order, theirs: VenueOrder) -> bool:
    """Whether the venue changed quantity or prices: as requested, or a reduce-only order shrank to the holding."""
    return (
        # A quantity below the filled one is an older report.
        (theirs.quantity != order.quantity and theirs.quantity > ZERO and theirs.quantity >= order.filled_quantity)
        or (theirs.limit_price > ZERO and theirs.limit_price != order.limit_price)
        or (theirs.trigger_price > ZERO and theirs.trigger_price != order.trigger_price)
    )
