"""Prices of an entry: reference, stop and target, in exact ticks on the right sides."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.numbers import BPS, ONE, ZERO, ceil_to, floor_to
from titan.strategies.scavenger.parameters import ScavengerParameters


class EntryPrices(msgspec.Struct, frozen=True):
    """Multiples of the tick, in quote units; ``limit`` 0 for a market order."""

    limit: Decimal
    stop: Decimal
    target: Decimal


def entry_prices(side: Side, reference: Decimal, tick: Decimal, rules: ScavengerParameters) -> EntryPrices | None:
    """Stop and target around ``reference``, each rounded away from it; None where the tick leaves no room below."""
    stop_part = Decimal(str(rules.stop_bps)) * BPS
    target_part = Decimal(str(rules.target_bps)) * BPS
    markup = Decimal(str(rules.limit_markup_bps)) * BPS
    if side is Side.BUY:
        stop, target = floor_to(reference * (ONE - stop_part), tick), ceil_to(reference * (ONE + target_part), tick)
        limit = ceil_to(reference * (ONE + markup), tick)
    else:
        stop, target = ceil_to(reference * (ONE + stop_part), tick), floor_to(reference * (ONE - target_part), tick)
        limit = floor_to(reference * (ONE - markup), tick)
    if min(stop, target, limit) <= ZERO:
        return None
    return EntryPrices(limit if rules.order_type == "limit" else ZERO, stop, target)


def order_kind(rules: ScavengerParameters) -> tuple[OrderType, TimeInForce]:
    """Return the order type and lifetime: aggressive either way, and the rest of a partial fill is canceled."""
    return (OrderType.LIMIT if rules.order_type == "limit" else OrderType.MARKET), TimeInForce.IOC
