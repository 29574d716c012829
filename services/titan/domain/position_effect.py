"""Opening or reducing: the effect of an order on risk, read from the account and not from the request.

*Reducing*: it opposes, and its size fits both the phase's share and the account's net position, less other exits in
flight. Resting stops and targets reserve nothing. Any excess makes the whole order opening.
"""

from __future__ import annotations

from decimal import Decimal

from titan.domain.account import Account
from titan.domain.enums import OrderRole, PositionEffect, Side
from titan.domain.numbers import ZERO
from titan.domain.positions import Holding

_EXITS = (OrderRole.EXIT, OrderRole.FLATTEN)


def reducible(account: Account, phase_id: str, symbol: str, side: Side) -> Decimal:
    """Return the base units that an order of ``side`` may reduce, by the phase's share and the net position."""
    share = account.shares.get((phase_id, symbol), Holding()).quantity
    net = account.holdings.get(symbol, Holding()).quantity
    of_phase = of_account = ZERO
    for order in account.working.values():
        if order.symbol == symbol and order.side is side and order.order_role in _EXITS:
            of_account += order.remaining_quantity
            if order.phase_id == phase_id:
                of_phase += order.remaining_quantity
    return max(ZERO, min(-side.sign * share - of_phase, -side.sign * net - of_account))


def classify(account: Account, phase_id: str, symbol: str, side: Side, quantity: Decimal) -> PositionEffect:
    """Return the position effect of an order of ``quantity`` base units."""
    return (
        PositionEffect.REDUCING
        if ZERO < quantity <= reducible(account, phase_id, symbol, side)
        else PositionEffect.OPENING
    )
