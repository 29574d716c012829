"""Lots: the rest of each entry, with the stop and target decided with it. Exits take from the oldest first."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.numbers import ZERO


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """Rest of one entry: signed base units; ``stop_price`` 0 where none was decided (adopted positions)."""

    intent_id: str
    phase_id: str
    symbol: str
    quantity: Decimal
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    opened_ns: int = 0
    updated_ns: int = 0


def enter_lot(lots: tuple[Lot, ...], new: Lot) -> tuple[Lot, ...]:
    """Add an entry's quantity to its lot, or make the lot."""
    for index, lot in enumerate(lots):
        if lot.intent_id == new.intent_id:
            grown = msgspec.structs.replace(lot, quantity=lot.quantity + new.quantity, updated_ns=new.updated_ns)
            return (*lots[:index], grown, *lots[index + 1 :])
    return (*lots, new)


def leave_lots(
    lots: tuple[Lot, ...], signed_quantity: Decimal, first_intent_id: str, time_ns: int
) -> tuple[tuple[Lot, ...], Decimal]:
    """Take an exit's quantity from the lots of one share.

    Parameters
    ----------
    lots
        Of one share, oldest first.
    signed_quantity
        Base units of the exit, opposite in sign to the lots it takes from.
    first_intent_id
        A stop or target takes from its own entry's lot before it takes from the oldest.
    time_ns
        Market time.

    Returns
    -------
    tuple
        The lots that are left, and the quantity that found no lot to take from.
    """
    order = sorted(range(len(lots)), key=lambda index: (lots[index].intent_id != first_intent_id, index))
    left = {index: lots[index] for index in range(len(lots))}
    rest = signed_quantity
    for index in order:
        lot = left[index]
        if rest == ZERO:
            break
        if (lot.quantity > ZERO) == (rest > ZERO):
            continue
        taken = -lot.quantity if abs(rest) >= abs(lot.quantity) else rest
        rest -= taken
        left[index] = msgspec.structs.replace(lot, quantity=lot.quantity + taken, updated_ns=time_ns)
    return tuple(lot for _, lot in sorted(left.items()) if lot.quantity != ZERO), rest
