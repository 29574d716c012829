"""Checks of an order on its arrival at the venue: small functions that return None or (reason, message)."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.instruments import Instrument
from titan.domain.numbers import ZERO, is_multiple
from titan.domain.reasons import Reason
from titan.domain.venue import AmendOrder
from titan.matching.book import Book
from titan.matching.state import WorkingOrder

Refusal = tuple[Reason, str]

TRIGGERS = (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)


def contradiction(order: WorkingOrder) -> Refusal | None:
    """Prices and time in force that do not belong to the type."""
    if order.type is not OrderType.LIMIT and order.limit_price:
        return Reason.INVALID_INTENT, f"limit_price {order.limit_price}: a {order.type.name} order has none"
    if order.type not in TRIGGERS and order.trigger_price:
        return Reason.INVALID_INTENT, f"trigger_price {order.trigger_price}: a {order.type.name} order has none"
    if order.type is not OrderType.LIMIT and order.time_in_force is TimeInForce.POST_ONLY:
        return Reason.INVALID_INTENT, f"time_in_force POST_ONLY: only for LIMIT, not for {order.type.name}"
    return None


def no_liquidity(order: WorkingOrder, book: Book) -> Refusal | None:
    """A market order that would get nothing."""
    wanted = order.remaining_quantity
    if order.type is not OrderType.MARKET or wanted <= ZERO or book.walk(order.side, wanted, None):
        return None
    return Reason.NO_LIQUIDITY, f"NO_LIQUIDITY: quantity={order.quantity}, bid={book.best_bid}, ask={book.best_ask}"


def outside_filters(order: WorkingOrder, instrument: Instrument, book: Book) -> Refusal | None:
    """Tick, step and minima. A reducing order may be below the smallest notional, else it could not close."""
    trigger = order.trigger_price
    if order.type in TRIGGERS and (trigger <= ZERO or not is_multiple(trigger, instrument.tick_size)):
        return (
            Reason.PRICE_TICK,
            f"PRICE_TICK: trigger price {trigger} is no positive multiple of {instrument.tick_size} {instrument.quote}",
        )
    limit_price = order.limit_price if order.type is OrderType.LIMIT else None
    meets = book.best_ask if order.side is Side.BUY else book.best_bid
    refused = instrument.refusal(order.quantity, limit_price, trigger or meets or ZERO)
    if refused is None:
        return None
    reason, message = refused
    if reason is Reason.BELOW_MINIMUM and order.reduce_only and order.quantity >= instrument.min_quantity:
        return None
    return reason, f"{reason.name}: {message}"


def touched(order: WorkingOrder, price: Decimal) -> bool:
    """Whether ``price`` triggers a stop (against its side) or a take-profit (with it)."""
    beyond = (price - order.trigger_price) * order.side.sign
    return beyond >= 0 if order.type is OrderType.STOP_MARKET else beyond <= 0


def triggers_at_once(order: WorkingOrder, reference_price: Decimal | None) -> Refusal | None:
    """A stop or take-profit whose trigger price has been reached already."""
    if order.type not in TRIGGERS or reference_price is None or not touched(order, reference_price):
        return None
    return Reason.WOULD_TRIGGER, f"WOULD_TRIGGER: trigger_price={order.trigger_price}, price={reference_price}"


def takes_at_once(order: WorkingOrder, book: Book) -> Refusal | None:
    """A post-only order that would meet the other side."""
    if order.time_in_force is not TimeInForce.POST_ONLY or not book.would_take(order.side, order.limit_price):
        return None
    return (
        Reason.WOULD_TAKE,
        f"WOULD_TAKE: limit_price={order.limit_price}, bid={book.best_bid}, ask={book.best_ask}",
    )


def amend_problem(order: WorkingOrder, amend: AmendOrder) -> Refusal | None:
    """An amend that changes nothing, or a quantity below the filled one."""
    if not (amend.quantity or amend.limit_price or amend.trigger_price):
        return Reason.INVALID_INTENT, "amend: quantity, limit_price and trigger_price are all 0: nothing to change"
    if amend.quantity and amend.quantity <= order.filled_quantity:
        return (
            Reason.QUANTITY_STEP,
            f"QUANTITY_STEP: quantity={amend.quantity}, allowed: more than the filled {order.filled_quantity}",
        )
    return None
