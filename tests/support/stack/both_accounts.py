"""Comparison of Execution's journal with the venue process's own records, after a run."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from titan.domain.account import Account
from titan.domain.enums import OrderRole, OrderState, OrderType, Posture
from titan.domain.numbers import ZERO
from titan.domain.venue import VenueOrderState
from titan.durable.latch import Latch
from titan.execution.journalled_account import open_journal
from titan.matching.state import VenueState
from titan.papervenue.store import VenueStore
from titan.papervenue.venue import first_state


@dataclass
class BothAccounts:
    """Both records of one run."""

    ours: Account
    venue: VenueState
    latches: dict[str, Posture]


def read_both(state: Path, copy: Path) -> BothAccounts:
    """Read both from copies, so that reading changes nothing."""
    shutil.copytree(state, copy)
    (journal_folder,) = {path.parent for path in (copy / "execution").rglob("*.journal")}
    journal, ours, _, _ = open_journal(journal_folder, lambda _ns: None, lambda *_: None)
    journal.close()
    store = VenueStore(copy / "papervenue", first_state(Decimal(200)))
    store.close()
    latches = {path.parent.name: Latch.load(path).posture for path in copy.glob("*/latch*")}
    return BothAccounts(ours, store.state, latches)


def disagreements(books: BothAccounts) -> list[str]:
    """Describe each lost or doubled order, and each position that differs or has no stop, in a sentence."""
    ours, venue = books.ours, books.venue
    problems = []
    for trade_id, count in Counter(fill.trade_id for fill in ours.fills).items():
        if count > 1:
            problems.append(f"trade {trade_id} is booked {count} times")
    booked = {fill.trade_id: (fill.client_order_id, fill.quantity, fill.price, fill.fee) for fill in ours.fills}
    traded = {trade.trade_id: (trade.client_order_id, trade.quantity, trade.price, trade.fee) for trade in venue.trades}
    problems += [f"trade {trade_id} of the venue is not booked" for trade_id in traded.keys() - booked.keys()]
    problems += [f"trade {trade_id} is booked, the venue has none" for trade_id in booked.keys() - traded.keys()]
    problems += [
        f"trade {one}: booked {booked[one]}, venue {traded[one]}"
        for one in booked
        if traded.get(one, booked[one]) != booked[one]
    ]
    entries = Counter(
        (order.intent_id, order.order_role) for order in ours.orders.values() if order.order_role is OrderRole.ENTRY
    )
    problems += [f"intent {intent} has {count} entries" for (intent, _), count in entries.items() if count > 1]
    for order_id, theirs in venue.orders.items():
        order = ours.orders.get(order_id)
        if order is None:
            problems.append(f"order {order_id} of the venue is unknown to us")
        elif order.filled_quantity != theirs.filled_quantity:
            problems.append(f"order {order_id}: filled {order.filled_quantity} here, {theirs.filled_quantity} there")
        elif theirs.state.final != (order.state not in WORKING):
            problems.append(f"order {order_id} is {order.state.name} here, {theirs.state.name} there")
    problems += [
        f"order {order.client_order_id} was sent and the venue never had it"
        for order in ours.orders.values()
        if order.client_order_id not in venue.orders
        and order.state not in (OrderState.LOST, OrderState.REJECTED, OrderState.CANCELED, OrderState.EXPIRED)
    ]
    for symbol in venue.positions.keys() | {symbol for symbol, holding in ours.holdings.items() if holding.quantity}:
        theirs_quantity = venue.positions[symbol].quantity if symbol in venue.positions else ZERO
        holding = ours.holdings.get(symbol)
        if (holding.quantity if holding else ZERO) != theirs_quantity:
            problems.append(f"position {symbol}: {holding} here, {theirs_quantity} there")
        covered = sum(
            (
                order.quantity - order.filled_quantity
                for order in venue.orders.values()
                if order.symbol == symbol
                and order.type is OrderType.STOP_MARKET
                and order.state in (VenueOrderState.UNTRIGGERED, VenueOrderState.PENDING, VenueOrderState.OPEN)
                and order.side.sign * theirs_quantity < 0
            ),
            ZERO,
        )
        if covered < abs(theirs_quantity):
            problems.append(f"position {symbol} {theirs_quantity} is covered by stops of {covered} only")
    if not ours.ledger.balanced:
        problems.append("the ledger does not balance")
    return problems


WORKING = (
    OrderState.NEW,
    OrderState.JOURNALLED,
    OrderState.SENT,
    OrderState.ACKED,
    OrderState.PARTIAL,
    OrderState.UNKNOWN,
)
