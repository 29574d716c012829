"""Deadlines on the market clock: orders that have to be canceled, and lots whose stop does not work yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from titan.domain.account import Account
from titan.domain.enums import OrderRole
from titan.domain.lots import Lot
from titan.domain.numbers import ZERO
from titan.domain.orders import Order
from titan.domain.protection import covered, open_lots
from titan.domain.reasons import Reason
from titan.domain.time import NS_PER_MS

_WITH_LIFETIME = (OrderRole.ENTRY, OrderRole.EXIT)


class DueCancel(msgspec.Struct, frozen=True):
    """A working order that has to be canceled, and why."""

    order: Order
    reason: Reason
    message: str


class UncoveredLot(msgspec.Struct, frozen=True):
    """An open lot without a working stop for all of it, and the market time since when."""

    lot: Lot
    since_ns: int


def due_cancels(
    account: Account, requested: Mapping[str, tuple[Reason, str]], entries_may_rest: bool, now_ns: int
) -> list[DueCancel]:
    """Every working order that has to be canceled now.

    Parameters
    ----------
    requested
        Cancels that were requested before, by client order id. They are due again until the order is final: a cancel
        may be lost with its stream.
    entries_may_rest
        False when the posture allows no entries: all of them are due.
    now_ns
        Market time.
    """
    return list(_due_cancels(account, requested, entries_may_rest, now_ns))


def uncovered_lots(account: Account, since_ns: Mapping[str, int], now_ns: int) -> list[UncoveredLot]:
    """Open lots that need a stop and have none that works for all of them.

    Parameters
    ----------
    since_ns
        Market time since which a lot has been uncovered, by intent id, from the previous call.
    """
    return [
        UncoveredLot(lot, since_ns.get(lot.intent_id, now_ns))
        for lot in open_lots(account)
        if lot.stop_price > ZERO and not covered(account, lot)
    ]


def working_entries(account: Account, phase_id: str = "") -> list[Order]:
    """Working entries of one phase, or of all phases where ``phase_id`` is empty."""
    return [
        order
        for order in account.working.values()
        if order.order_role is OrderRole.ENTRY and phase_id in ("", order.phase_id)
    ]


def _due_cancels(
    account: Account, requested: Mapping[str, tuple[Reason, str]], entries_may_rest: bool, now_ns: int
) -> Iterator[DueCancel]:
    for order in account.working.values():
        if (earlier := requested.get(order.client_order_id)) is not None:
            yield DueCancel(order, *earlier)
            continue
        if order.order_role not in _WITH_LIFETIME:
            continue
        entry = order.order_role is OrderRole.ENTRY
        if entry and not entries_may_rest:
            yield DueCancel(order, Reason.CANCELED_BY_POSTURE, "posture, lease or Brain does not allow entries")
            continue
        intake = account.intakes.get(order.intent_id)
        ttl_ns = intake.ttl_ns if intake is not None else 0
        # An entry without an intake was adopted from the venue: nobody would end it.
        if (ttl_ns and now_ns >= order.created_ns + ttl_ns) or (entry and intake is None):
            yield DueCancel(order, Reason.EXPIRED, f"time to live of {ttl_ns // NS_PER_MS} ms ended")
