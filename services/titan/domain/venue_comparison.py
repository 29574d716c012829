"""Comparison of our account with the venue's: drifts, evidence and adoptions. Pure.

Both sides must be of one moment: the caller has applied every trade up to the one that the venue's account
names as its last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from titan.domain.account import Account
from titan.domain.enums import DriftClass, OrderRole, OrderState, PositionEffect
from titan.domain.ids import client_order_id
from titan.domain.instruments import Instrument
from titan.domain.journal_records import Adoption
from titan.domain.ledger import LedgerAccount
from titan.domain.numbers import ZERO, format_decimal
from titan.domain.orders import Order
from titan.domain.position_effect import reducible_in
from titan.domain.positions import Holding
from titan.domain.truth import Drift, classify_position
from titan.domain.venue import VenueAccount, VenueOrder

# Averages are kept to 1e-12 on both sides; a difference of balances above this is no rounding. In units of the asset.
BALANCE_TOLERANCE = Decimal("0.000001")
# How many attempts of each order role there may be, when one that the journal does not know has to be recognized.
_KNOWN_ATTEMPTS = range(1, 6)


class Comparison(msgspec.Struct, frozen=True):
    """Result of a pass: drifts, and the digests of both sides."""

    drifts: tuple[Drift, ...]
    ours_sha256: str
    venues_sha256: str


def compare(
    account: Account, venue_account: VenueAccount, open_orders: Iterable[VenueOrder], extra: Iterable[Drift] = ()
) -> Comparison:
    """Hold our account against the venue's, of the same moment.

    Parameters
    ----------
    account
        Ours.
    account
        Balances and positions of the venue.
    open_orders
        Orders that work there.
    extra
        Drifts that were found on the way here.
    """
    ours, theirs = _ours(account), _theirs(venue_account, open_orders)
    drifts = [*extra]
    for symbol in sorted({*ours.positions, *theirs.positions}):
        instrument = account.instruments.get(symbol)
        minimum = instrument.min_quantity if instrument is not None else ZERO
        found = classify_position(symbol, ours.positions.get(symbol, ZERO), theirs.positions.get(symbol, ZERO), minimum)
        if found is not None:
            drifts.append(found)
    drifts += (
        _shares_drift(account, symbol)
        for symbol in account.positions.open_symbols()
        if not account.positions.shares_agree(symbol)
    )
    for asset in sorted({*ours.balances, *theirs.balances}):
        mine, its = ours.balances.get(asset, ZERO), theirs.balances.get(asset, ZERO)
        if abs(mine - its) > BALANCE_TOLERANCE:
            drifts.append(
                Drift(
                    drift_class=DriftClass.BALANCE, symbol=asset, ours=format_decimal(mine), venues=format_decimal(its)
                )
            )
    drifts += (
        Drift(drift_class=DriftClass.ORPHAN_ORDER, symbol=order.symbol, ours="", venues=order.client_order_id)
        for order in open_orders
        if order.client_order_id not in account.orders
    )
    return Comparison(tuple(drifts), ours.digest(), theirs.digest())


def adoptions(drifts: Sequence[Drift], venue_account: VenueAccount, account: Account) -> list[Adoption]:
    """Return the records that make our account equal the venue's: positions first, then balances.

    An adoption of our own net position brings the shares in line with it.
    """
    positions = {position.symbol: position for position in venue_account.positions}
    adopted: list[Adoption] = []
    for drift in drifts:
        if drift.drift_class in (DriftClass.GHOST, DriftClass.UNTRACKED, DriftClass.SIZE_MISMATCH):
            position = positions.get(drift.symbol)
            adopted.append(
                Adoption(
                    symbol=drift.symbol,
                    quantity=position.quantity if position is not None else ZERO,
                    average_entry_price=position.average_entry_price if position is not None else ZERO,
                )
            )
    known = {adoption.symbol for adoption in adopted}
    for drift in drifts:
        if drift.drift_class is DriftClass.SHARES and drift.symbol not in known:
            held = account.holdings.get(drift.symbol, Holding())
            adopted.append(
                Adoption(symbol=drift.symbol, quantity=held.quantity, average_entry_price=held.average_entry_price)
            )
    adopted += (
        Adoption(asset=drift.symbol, amount=venue_account.balances.get(drift.symbol, ZERO))
        for drift in drifts
        if drift.drift_class is DriftClass.BALANCE
    )
    return adopted


def recognize(account: Account, theirs: VenueOrder, term: int) -> Order:
    """An order that the venue has and our journal does not, as an order of ours (state NEW).

    Its id names the intent when it is one of ours that never reached the journal; else it belongs to no phase.
    """
    for intent_id, intake in account.intakes.items():
        for order_role in OrderRole:
            for attempt in _KNOWN_ATTEMPTS:
                if client_order_id(intent_id, order_role, attempt) == theirs.client_order_id:
                    return _adopted(theirs, intent_id, intake.phase_id, order_role, attempt, intake.policy_hash, term)
    order_role = OrderRole.EXIT if theirs.reduce_only else OrderRole.ENTRY
    return _adopted(theirs, f"adopted:{theirs.client_order_id}", "", order_role, 1, "", term)


def next_exit(account: Account, lost: Order, now_ns: int) -> Order | None:
    """The exit (state NEW) that replaces a lost one, or None where the position is no longer there to reduce."""
    fits = reducible_in(account, lost.phase_id, lost.symbol, lost.side)
    if fits.effect(lost.quantity) is not PositionEffect.REDUCING:
        return None
    attempt = account.next_attempt(lost.intent_id, OrderRole.EXIT)
    return msgspec.structs.replace(
        lost,
        client_order_id=client_order_id(lost.intent_id, OrderRole.EXIT, attempt),
        attempt=attempt,
        state=OrderState.NEW,
        created_ns=now_ns,
        updated_ns=now_ns,
        filled_quantity=ZERO,
        average_price=ZERO,
        venue_order_id="",
        message="",
    )


def _shares_drift(account: Account, symbol: str) -> Drift:
    shares = account.positions.shares_of(symbol).items()
    net = account.holdings.get(symbol, Holding()).quantity
    return Drift(
        drift_class=DriftClass.SHARES,
        symbol=symbol,
        ours=", ".join(f"{phase_id or 'nobody'} {format_decimal(quantity)}" for phase_id, quantity in shares),
        venues=f"net {format_decimal(net)}",
    )


def _adopted(
    theirs: VenueOrder, intent_id: str, phase_id: str, order_role: OrderRole, attempt: int, policy_hash: str, term: int
) -> Order:
    return Order(
        client_order_id=theirs.client_order_id,
        intent_id=intent_id,
        phase_id=phase_id,
        order_role=order_role,
        attempt=attempt,
        symbol=theirs.symbol,
        side=theirs.side,
        type=theirs.type,
        time_in_force=theirs.time_in_force,
        quantity=theirs.quantity,
        reduce_only=theirs.reduce_only,
        policy_hash=policy_hash,
        term=term,
        created_ns=theirs.market_time_ns,
        updated_ns=theirs.market_time_ns,
        limit_price=theirs.limit_price,
        trigger_price=theirs.trigger_price,
        state=OrderState.NEW,
    )


def foreign_account(venue_last: int, booked_last: int, listed_last: int) -> str:
    """Return the sentence for a venue account that cannot be ours; empty when it can.

    A venue's trades only grow, and it lists each of them. So what does not fit now will never fit by waiting.

    Parameters
    ----------
    venue_last
        The last trade that the venue's account names.
    booked_last
        The last trade that was booked here before the venue was asked.
    listed_last
        The last trade that the venue has listed after it was asked.
    """
    if venue_last < booked_last:
        problem = f"the venue's last trade is {venue_last}, ours is {booked_last}: another account, or it was reset"
    elif venue_last > listed_last:
        problem = f"the venue's last trade is {venue_last}, and the last that it lists is {listed_last}"
    else:
        return ""
    return f"{problem}; restore the venue's account, or begin with a new state (`titan up --state DIR`)"


class _Picture(msgspec.Struct, frozen=True):
    """One side of a comparison."""

    positions: dict[str, Decimal]
    balances: dict[str, Decimal]
    orders: dict[str, Decimal]

    def digest(self) -> str:
        """SHA-256 over a sorted JSON of decimals in canonical form."""
        document = {
            name: {key: format_decimal(value) for key, value in getattr(self, name).items() if value != ZERO}
            for name in self.__struct_fields__
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _is_position(symbol: str, instruments: Mapping[str, Instrument]) -> bool:
    """Spot is compared by its balances."""
    instrument = instruments.get(symbol)
    return instrument is None or instrument.kind == "perp"


def _ours(account: Account) -> _Picture:
    return _Picture(
        positions={
            symbol: holding.quantity
            for symbol, holding in account.holdings.items()
            if holding != Holding() and _is_position(symbol, account.instruments)
        },
        balances={
            currency: amount
            for (ledger_account, currency), amount in account.ledger.balances.items()
            if ledger_account is LedgerAccount.ASSETS
        },
        orders={
            order.client_order_id: order.remaining_quantity for order in account.working.values() if order.at_venue
        },
    )


def _theirs(venue_account: VenueAccount, open_orders: Iterable[VenueOrder]) -> _Picture:
    return _Picture(
        positions={position.symbol: position.quantity for position in venue_account.positions},
        balances=dict(venue_account.balances),
        orders={order.client_order_id: order.remaining_quantity for order in open_orders},
    )
