"""The digest by which Brain proves that its view of the account is Execution's. Pure; both sides call it.

It covers net positions, shares, lots with their stops and targets, and the orders that are not final. It leaves out an
order that is only journalled: it is reported once it was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from titan.domain.enums import OrderRole, OrderState
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.orders import Order
from titan.domain.positions import HeldPositions

_UNREPORTED = (OrderState.NEW, OrderState.JOURNALLED)


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that is not final, as far as both sides know it: base units, and a trigger in quote units (0: none)."""

    client_order_id: str
    order_role: OrderRole
    remaining: Decimal
    trigger_price: Decimal = ZERO


def reported_orders(orders: Iterable[Order]) -> list[OpenOrder]:
    """Return the orders that are not final and have been reported."""
    return [
        OpenOrder(order.client_order_id, order.order_role, order.remaining_quantity, order.trigger_price)
        for order in orders
        if not order.final and order.state not in _UNREPORTED
    ]


def mirror_lines(positions: HeldPositions, orders: Iterable[OpenOrder]) -> list[str]:
    """Write out everything that both sides must have alike, a sorted line each."""
    lines = [
        f"net {symbol} {format_decimal(holding.quantity)}"
        for symbol, holding in positions.holdings.items()
        if holding.quantity != ZERO
    ]
    lines += [
        f"share {phase_id} {symbol} {format_decimal(share.quantity)}"
        for (phase_id, symbol), share in positions.shares.items()
        if share.quantity != ZERO
    ]
    lines += [
        f"lot {lot.intent_id} {lot.phase_id} {lot.symbol} {format_decimal(lot.quantity)}"
        f" stop {format_decimal(lot.stop_price)} target {format_decimal(lot.target_price)}"
        for lots in positions.lots.values()
        for lot in lots
    ]
    lines += [
        f"order {order.client_order_id} {order.order_role.name} {format_decimal(order.remaining)}"
        f" trigger {format_decimal(order.trigger_price)}"
        for order in orders
    ]
    return sorted(lines)


def digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 of the lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
