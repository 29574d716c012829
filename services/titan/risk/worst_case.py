"""The loss if everything ends at its stop: a sum over lots, each at its own stops. Source: domain.md section 2."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from titan.domain.enums import OrderRole
from titan.domain.lots import Lot
from titan.domain.numbers import ONE, ZERO
from titan.domain.orders import Order

# Working stops by the intent of their lot: remaining base units and trigger price.
Stops = dict[str, list[tuple[Decimal, Decimal]]]


def stops_at_venue(orders: Iterable[Order]) -> Stops:
    """Return the stops that work at the venue."""
    stops: Stops = {}
    for order in orders:
        if order.order_role is OrderRole.STOP and order.at_venue:
            stops.setdefault(order.intent_id, []).append((order.remaining_quantity, order.trigger_price))
    return stops


def position_worst_case(net: Decimal, mid: Decimal, lots: Iterable[Lot], stops: Stops, exit_fee: Decimal) -> Decimal:
    """Compute the worst loss of a symbol's position, in quote units.

    Parameters
    ----------
    net
        The account's net position, signed base units; what no lot explains of it is lost whole.
    mid
        Price now, quote units.
    lots
        Of the symbol.
    stops
        See :func:`stops_at_venue`. What no stop covers is lost whole.
    exit_fee
        Fraction of the notional.
    """
    worst = held = ZERO
    for lot in lots:
        direction = ONE if lot.quantity > ZERO else -ONE
        left = abs(lot.quantity)
        held += left
        for quantity, trigger in stops.get(lot.intent_id, ()):
            covered = min(left, quantity)
            worst += covered * max(ZERO, direction * (mid - trigger))
            left -= covered
        worst += left * mid
    unexplained = max(ZERO, abs(net) - held)
    return worst + unexplained * mid + (held + unexplained) * mid * exit_fee
