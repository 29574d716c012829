"""Interface of a strategy: a pure reaction to market events and to the results of its own drafts.

A strategy holds no clock: time comes with the events, on the market clock. It does no I/O and draws no random numbers,
so the same events give the same drafts, in a backtest, a replay, on paper and live. It proposes; sizes are Brain's.

Words: a *draft* is an intent without the fields of the process (ids, hash, hops); a *holding* is this phase's own
share of a position; a *permission* limits the time in which drafts that open may be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from titan.domain.enums import Action, OrderType, Side, TimeInForce
from titan.domain.instruments import Instrument
from titan.domain.intents import Intent
from titan.domain.market import Bar, MarketEvent
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order
from titan.domain.reasons import Reason


class MarketNeeds(msgspec.Struct, frozen=True):
    """Subscription of a strategy. Trades are never conflated; quotes may be, to the last of a batch."""

    symbols: tuple[str, ...]
    conflate_quotes: bool


class IntentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An intent as the strategy proposes it; the phase process adds ids, policy hash and hops.

    ``reference`` counts this strategy's drafts from 1: by it the strategy matches a decision to its draft. Units
    are those of :class:`titan.domain.intents.Intent`.
    """

    reference: int
    setup: str
    symbol: str
    side: Side
    action: Action
    order_type: OrderType
    time_in_force: TimeInForce
    reference_price: Decimal
    event_time_ns: int
    ttl_ns: int
    limit_price: Decimal = ZERO
    quantity: Decimal = ZERO
    max_notional: Decimal = ZERO
    stop_price: Decimal = ZERO
    target_price: Decimal = ZERO
    setup_score: float = 0.0
    volatility: float = 0.0
    timeframe_ns: int = 0
    evidence: dict[str, str] = {}

    def to_intent(self, intent_id: str, phase_id: str, policy_hash: str, hops: tuple[tuple[str, int], ...]) -> Intent:
        """Complete the draft with the process's fields; ``hops`` in monotonic nanoseconds."""
        return Intent(
            intent_id=intent_id,
            phase_id=phase_id,
            setup=self.setup,
            symbol=self.symbol,
            side=self.side,
            action=self.action,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
            reference_price=self.reference_price,
            event_time_ns=self.event_time_ns,
            ttl_ns=self.ttl_ns,
            policy_hash=policy_hash,
            limit_price=self.limit_price,
            quantity=self.quantity,
            max_notional=self.max_notional,
            stop_price=self.stop_price,
            target_price=self.target_price,
            setup_score=self.setup_score,
            volatility=self.volatility,
            timeframe_ns=self.timeframe_ns,
            hops=hops,
            evidence=self.evidence,
        )


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A phase's own share of a position: signed base units, price in quote units, opening on the market clock."""

    symbol: str
    quantity: Decimal
    average_entry_price: Decimal
    opened_ns: int
    intent_id: str


class Permission(msgspec.Struct, frozen=True):
    """Opening drafts may be made while market time is before ``opening_until_ns``; else ``reason`` is the cause.

    Drafts that close may be made while ``closing`` holds: in FLATTEN the closing is Execution's own work.
    """

    opening_until_ns: int
    closing: bool
    reason: str


NOTHING_PERMITTED = Permission(opening_until_ns=0, closing=False, reason="no permission from Brain yet")


class DecisionNote(msgspec.Struct, frozen=True, kw_only=True):
    """Brain's decision on one draft. ``quantity`` in base units where approved."""

    reference: int
    approved: bool
    reason: Reason
    message: str
    quantity: Decimal


class Strategy(Protocol):
    """One strategy instance with all of its state. Handlers never raise for what the market does."""

    @property
    def name(self) -> str:
        """Name in the resource and in the phase's hello."""
        ...

    @property
    def needs(self) -> MarketNeeds:
        """The subscription that it needs."""
        ...

    @property
    def counters(self) -> Mapping[tuple[str, str], int]:
        """Running counts by (what, reason), for metrics: trips, confirmations, aborts."""
        ...

    def on_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Receive the instruments with their ticks and steps."""
        ...

    def warm_up(self, bars: Sequence[Bar]) -> None:
        """Receive closed bars, oldest first, as history. Bars that are not newer than the known ones are ignored."""
        ...

    def permit(self, permission: Permission) -> None:
        """Set the permission for drafts from now on."""
        ...

    def on_event(self, event: MarketEvent) -> Sequence[IntentDraft]:
        """React to one market event; events come in order."""
        ...

    def on_time(self, now_ns: int) -> Sequence[IntentDraft]:
        """React to the market clock having reached ``now_ns`` although no event may have come."""
        ...

    def on_decision(self, note: DecisionNote) -> None:
        """Receive Brain's decision on a draft."""
        ...

    def on_order(self, order: Order) -> None:
        """Receive the state of one of the phase's own orders."""
        ...

    def on_fill(self, fill: Fill) -> None:
        """Receive one of the phase's own fills."""
        ...

    def on_positions(self, holdings: Sequence[Holding]) -> None:
        """Receive all holdings; a symbol that is absent is flat. They, not the sum of fills, are authoritative."""
        ...

    def status(self) -> dict[str, object]:
        """Return the state for people: levels, trap, holding. JSON types only."""
        ...

    def dump_state(self) -> dict[str, int]:
        """Return the state that must survive the process and is stored nowhere else."""
        ...

    def load_state(self, state: Mapping[str, int]) -> None:
        """Restore the result of :meth:`dump_state`."""
        ...
