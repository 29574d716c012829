"""The stop obligation as a plan: the requests after which every lot has its stop and target, and nothing else has.

Pure and level-triggered: it reads the present account, so the same plan serves each fill, a refusal, and the first
moment after a crash. Quantities in base units, times on the market clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderState, OrderType, Side, TimeInForce
from titan.domain.ids import client_order_id
from titan.domain.lots import Lot
from titan.domain.numbers import ZERO
from titan.domain.orders import Order
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MS, NS_PER_S

# A stop or target that the venue refused this often is not tried again: the lot is closed instead.
MAX_ATTEMPTS = 3
# A flatten order that got nothing is repeated after this much market time.
FLATTEN_RETRY_NS = 250 * NS_PER_MS
# One that the venue refused, because it holds nothing to reduce: a pass of reconciliation has to say what is left.
REFUSED_FLATTEN_RETRY_NS = 30 * NS_PER_S
_PROTECTING = (OrderRole.STOP, OrderRole.TARGET)
# Orders that the plan makes from lots: the venue can only refuse them as not reducing where a lot is wrong.
PLANNED_ROLES = (*_PROTECTING, OrderRole.FLATTEN)
_TYPES = {OrderRole.STOP: OrderType.STOP_MARKET, OrderRole.TARGET: OrderType.TAKE_PROFIT_MARKET}


class Place(msgspec.Struct, frozen=True):
    """Send this new order (state NEW)."""

    order: Order


class Amend(msgspec.Struct, frozen=True):
    """Bring a working order to this total quantity."""

    order: Order
    quantity: Decimal


class Cancel(msgspec.Struct, frozen=True):
    """Cancel a working order whose position is gone."""

    order: Order
    reason: Reason


Step = Place | Amend | Cancel


class InFlight(msgspec.Struct):
    """Requests the venue has not answered: they must not be made twice. Quantities in base units."""

    amends: dict[str, Decimal] = msgspec.field(default_factory=dict)
    cancels: set[str] = msgspec.field(default_factory=set)
    # Orders whose amendment was refused: they are replaced, not amended again.
    stubborn: set[str] = msgspec.field(default_factory=set)

    def forget(self, order_id: str) -> None:
        """The order is final."""
        self.amends.pop(order_id, None)
        self.cancels.discard(order_id)
        self.stubborn.discard(order_id)


def reducing_order(
    account: Account,
    lot: Lot,
    order_role: OrderRole,
    order_type: OrderType,
    trigger_price: Decimal,
    now_ns: int,
    term: int,
) -> Order:
    """Return the next order of ``order_role`` that closes the rest of a lot."""
    attempt = account.next_attempt(lot.intent_id, order_role)
    intake = account.intakes.get(lot.intent_id)
    return Order(
        client_order_id=client_order_id(lot.intent_id, order_role, attempt),
        intent_id=lot.intent_id,
        phase_id=lot.phase_id,
        order_role=order_role,
        attempt=attempt,
        symbol=lot.symbol,
        side=Side.SELL if lot.quantity > ZERO else Side.BUY,
        type=order_type,
        time_in_force=TimeInForce.IOC if order_type is OrderType.MARKET else TimeInForce.GTC,
        quantity=abs(lot.quantity),
        reduce_only=True,
        policy_hash=intake.policy_hash if intake is not None else "",
        term=term,
        created_ns=now_ns,
        updated_ns=now_ns,
        trigger_price=trigger_price,
    )


def open_lots(account: Account) -> Iterator[Lot]:
    """Every lot that is not closed."""
    for lots in account.lots.values():
        yield from lots


def plan_protection(account: Account, flight: InFlight, now_ns: int, term: int) -> list[Step]:
    """Return everything that has to be sent now, stops first.

    Parameters
    ----------
    account
        The account.
    flight
        Requests to the venue without an answer yet.
    now_ns
        Market time.
    term
        Execution's term, for new orders.
    """
    steps: list[Step] = []
    working: dict[tuple[str, OrderRole], list[Order]] = {}
    for order in account.working.values():
        if order.order_role in _PROTECTING:
            working.setdefault((order.intent_id, order.order_role), []).append(order)
    lots = {lot.intent_id: lot for lot in open_lots(account) if lot.stop_price > ZERO}
    for order_role in _PROTECTING:
        for lot in lots.values():
            price = lot.stop_price if order_role is OrderRole.STOP else lot.target_price
            if price > ZERO:
                steps += _protect(
                    account, flight, lot, order_role, price, working.get((lot.intent_id, order_role), []), now_ns, term
                )
    steps += _cancel_orphans((order for orders in working.values() for order in orders), lots.keys(), flight)
    return steps


def flatten_lot(account: Account, lot: Lot, now_ns: int, term: int) -> Place | None:
    """Close a lot at market, unless that is under way or was just tried."""
    for order in account.working.values():
        if order.intent_id == lot.intent_id and order.order_role is OrderRole.FLATTEN:
            return None
    last = _last(account, lot.intent_id, OrderRole.FLATTEN)
    if last is not None:
        refused = last.state is OrderState.REJECTED and last.reason is Reason.NOT_REDUCING
        if now_ns - last.updated_ns < (REFUSED_FLATTEN_RETRY_NS if refused else FLATTEN_RETRY_NS):
            return None
    return Place(reducing_order(account, lot, OrderRole.FLATTEN, OrderType.MARKET, ZERO, now_ns, term))


def covered(account: Account, lot: Lot) -> bool:
    """Whether stops that work at the venue cover the whole lot."""
    stops = (
        order.remaining_quantity
        for order in account.working.values()
        if order.intent_id == lot.intent_id and order.order_role is OrderRole.STOP and order.at_venue
    )
    return sum(stops, ZERO) >= abs(lot.quantity)


def working_at_venue(orders: Iterable[Order], symbol: str, order_role: OrderRole) -> list[Order]:
    """List the stops or targets of a symbol that work at the venue."""
    return [order for order in orders if order.symbol == symbol and order.order_role is order_role and order.at_venue]


def farthest_trigger(orders: Iterable[Order], direction: int) -> Decimal:
    """Return the highest trigger price (``direction`` 1) or the lowest (-1) in quote units; 0 where there is none."""
    prices = [order.trigger_price for order in orders]
    return (max(prices) if direction > 0 else min(prices)) if prices else ZERO


def _last(account: Account, intent_id: str, order_role: OrderRole) -> Order | None:
    attempt = account.next_attempt(intent_id, order_role) - 1
    return account.orders.get(client_order_id(intent_id, order_role, attempt)) if attempt else None


def _protect(
    account: Account,
    flight: InFlight,
    lot: Lot,
    order_role: OrderRole,
    price: Decimal,
    working: list[Order],
    now_ns: int,
    term: int,
) -> list[Step]:
    current = [order for order in working if order.client_order_id not in flight.cancels]
    usable = [order for order in current if order.client_order_id not in flight.stubborn]
    if not usable:
        placed = _place_next(account, lot, order_role, price, now_ns, term)
        # The new one stands before the old one goes.
        return [*placed, *(Cancel(order, Reason.OK) for order in current if order.at_venue)]
    order = usable[-1]
    steps: list[Step] = [Cancel(extra, Reason.OK) for extra in current if extra is not order and extra.at_venue]
    wanted = order.filled_quantity + abs(lot.quantity)
    # Before the venue has it, there is nothing to amend; the deadline of the obligation runs meanwhile.
    if order.at_venue and order.quantity != wanted and flight.amends.get(order.client_order_id) != wanted:
        steps.append(Amend(order, wanted))
    return steps


def _place_next(
    account: Account, lot: Lot, order_role: OrderRole, price: Decimal, now_ns: int, term: int
) -> list[Step]:
    last = _last(account, lot.intent_id, order_role)
    refused = last is not None and last.state is OrderState.REJECTED
    given_up = refused and account.next_attempt(lot.intent_id, order_role) > MAX_ATTEMPTS
    passed = refused and last is not None and last.reason is Reason.WOULD_TRIGGER
    if not (passed or given_up):
        return [Place(reducing_order(account, lot, order_role, _TYPES[order_role], price, now_ns, term))]
    if order_role is OrderRole.STOP or passed:
        # The price is beyond the stop, or beyond the target, already: what either would have done is done now.
        flatten = flatten_lot(account, lot, now_ns, term)
        return [flatten] if flatten is not None else []
    # The lot has its stop; a target that the venue does not take is left out.
    return []


def _cancel_orphans(orders: Iterable[Order], intents: Iterable[str], flight: InFlight) -> list[Step]:
    wanted = set(intents)
    return [
        Cancel(order, Reason.POSITION_CLOSED)
        for order in orders
        if order.intent_id not in wanted
        and order.client_order_id not in flight.cancels
        and order.state in (OrderState.SENT, OrderState.ACKED, OrderState.PARTIAL)
    ]
