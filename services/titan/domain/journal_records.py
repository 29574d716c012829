"""Records of Execution's journal: each is one fact, and the account is the fold over them.

:mod:`titan.domain.account` applies them, in the same way live and in recovery. An :class:`~titan.domain.orders.Order`
is a record too (it came to be or changed its state), and so is a :class:`~titan.domain.orders.Fill`.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.enums import OrderRole, OrderType, PositionEffect, Posture, Side, TimeInForce
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order
from titan.domain.reasons import Reason
from titan.domain.truth import Drift


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """An order of Brain's was accepted.

    ``position_effect`` is Execution's own reading, not Brain's. ``quantity`` in base units, prices in quote units
    (0: none), ``event_time_ns`` and ``ttl_ns`` on the market clock (0: no limit).
    """

    intent_id: str
    phase_id: str
    attempt: int
    position_effect: PositionEffect
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    policy_hash: str
    term: int
    event_time_ns: int
    ttl_ns: int = 0
    limit_price: Decimal = ZERO
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    setup: str = ""

    @property
    def order_role(self) -> OrderRole:
        """An opening order is an entry, a reducing one an exit."""
        return OrderRole.ENTRY if self.position_effect is PositionEffect.OPENING else OrderRole.EXIT


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An order was refused; a repeated request gets the same answer."""

    intent_id: str
    phase_id: str
    attempt: int
    reason: Reason
    message: str


class LatchChange(msgspec.Struct, frozen=True, kw_only=True):
    """The latch moved."""

    posture: Posture
    by: str
    reason: str
    nonce: str = ""


class BrainTerm(msgspec.Struct, frozen=True):
    """A Brain of a higher term has connected."""

    term: int


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Money came in (positive) or went out; ``amount`` in units of ``asset``.

    The peak follows in proportion, by a :class:`PeakMove`. Records of before that rule (``in_proportion`` False) moved
    it by the amount.
    """

    asset: str
    amount: Decimal
    reference: str
    in_proportion: bool = True


class DayStart(msgspec.Struct, frozen=True, kw_only=True):
    """A UTC day began, with this equity and this peak, in quote units."""

    equity: Decimal
    high_water_mark: Decimal


class HighWaterMark(msgspec.Struct, frozen=True):
    """The peak has risen to this equity, in quote units."""

    equity: Decimal


class PeakMove(msgspec.Struct, frozen=True, kw_only=True):
    """The peak was set to this equity, in quote units: by transfers, or by a person's rebase with its ``nonce``."""

    high_water_mark: Decimal
    by: str
    reason: str
    nonce: str = ""


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """A position (signed base units) or a balance, as the venue has it; the other pair is empty."""

    symbol: str = ""
    quantity: Decimal = ZERO
    average_entry_price: Decimal = ZERO
    asset: str = ""
    amount: Decimal = ZERO


Fact = (
    Intake
    | Order
    | Fill
    | Refusal
    | LatchChange
    | BrainTerm
    | Drift
    | Deposit
    | DayStart
    | HighWaterMark
    | PeakMove
    | Adoption
)


class Record(msgspec.Struct, frozen=True):
    """One fact, the market time at which it was written, and Execution's term then."""

    fact: Fact
    market_time_ns: int
    term: int = 0
