"""Opening or reducing: the effect of an order on risk, read from positions and exits and not from the request.

*Reducing*: it opposes, and its size fits both the phase's share and the account's net position, less other exits in
flight. Resting stops and targets reserve nothing. Any excess makes the whole order opening. Brain and Execution call
the same function with the same inputs: positions, and exits that are decided and not final.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

import msgspec

from titan.domain.account import Account
from titan.domain.enums import OrderRole, PositionEffect, Side
from titan.domain.numbers import ZERO
from titan.domain.positions import HeldPositions, Holding

EXIT_ROLES = (OrderRole.EXIT, OrderRole.FLATTEN)


class ExitInFlight(Protocol):
    """An exit that is not final: an order of Execution's, or a reservation of Brain's."""

    @property
    def phase_id(self) -> str:
        """The phase whose share it takes from."""

    @property
    def symbol(self) -> str:
        """Its symbol."""

    @property
    def side(self) -> Side:
        """Its side."""

    @property
    def remaining_quantity(self) -> Decimal:
        """Base units that it may still take."""


class Reducible(msgspec.Struct, frozen=True):
    """What an order of one side may take back, base units: of the phase's share, and of the account's net position.

    Exits in flight are taken off; a value of 0 or less leaves nothing.
    """

    share: Decimal
    net: Decimal

    @property
    def quantity(self) -> Decimal:
        """The largest quantity that reduces."""
        return max(ZERO, min(self.share, self.net))

    def effect(self, quantity: Decimal) -> PositionEffect:
        """Return the position effect of an order of ``quantity`` base units."""
        return PositionEffect.REDUCING if ZERO < quantity <= self.quantity else PositionEffect.OPENING


def reducible(
    positions: HeldPositions, exits: Iterable[ExitInFlight], phase_id: str, symbol: str, side: Side
) -> Reducible:
    """Return what an order of ``side`` may reduce, by the phase's share and the net position."""
    share = positions.shares.get((phase_id, symbol), Holding()).quantity
    net = positions.holdings.get(symbol, Holding()).quantity
    of_phase = of_account = ZERO
    for each in exits:
        if each.symbol == symbol and each.side is side:
            of_account += each.remaining_quantity
            if each.phase_id == phase_id:
                of_phase += each.remaining_quantity
    return Reducible(-side.sign * share - of_phase, -side.sign * net - of_account)


def reducible_in(account: Account, phase_id: str, symbol: str, side: Side) -> Reducible:
    """Return what an order may reduce by Execution's own account."""
    exits = (order for order in account.working.values() if order.order_role in EXIT_ROLES)
    return reducible(account.positions, exits, phase_id, symbol, side)
