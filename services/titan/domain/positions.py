"""Positions: the account's net position in a symbol, each phase's share of it, and finished round trips."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.domain.kinds import Side
from titan.domain.numbers import ZERO


class PhaseShare(msgspec.Struct, frozen=True, kw_only=True):
    """A phase's part of a net position: signed base units."""

    phase_id: str
    quantity: Decimal
    average_entry_price: Decimal
    intent_id: str


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A net position: ``quantity`` in signed base units; prices and profit in quote units (0: none)."""

    symbol: str
    quantity: Decimal
    average_entry_price: Decimal
    realized_pnl: Decimal = ZERO
    mark_price: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    stop_price: Decimal = ZERO
    stop_quantity: Decimal = ZERO
    target_price: Decimal = ZERO
    opened_ns: int = 0
    updated_ns: int = 0
    shares: tuple[PhaseShare, ...] = ()


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """One finished trade of a phase, from flat to flat of its share.

    ``realized_pnl`` gross of ``fees``, quote units.
    """

    intent_id: str
    phase_id: str
    setup: str
    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    realized_pnl: Decimal
    fees: Decimal
    opened_ns: int
    closed_ns: int
