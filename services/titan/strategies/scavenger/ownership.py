"""The strategy's drafts in flight and its holding: one position at a time, closed when its time is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from titan.domain.enums import OrderRole, OrderState
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill, Order
from titan.domain.time import NS_PER_MS, utc_day
from titan.strategies.base import DecisionNote, Holding
from titan.strategies.scavenger.parameters import ScavengerParameters

_ENDED = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.LOST})


class Ownership:
    """Drafts in flight, the phase's share of the perpetual, and the day's count of entries.

    An entry in flight ends by Brain's refusal, by its order's end, by the position it became, or, without any report,
    ``entry_grace_ms`` after its time to live. All times on the market clock.
    """

    __slots__ = (
        "_day",
        "_entry_intents",
        "_entry_reference",
        "_entry_until_ns",
        "_exit_until_ns",
        "_rules",
        "holding",
        "trades_today",
    )

    def __init__(self, rules: ScavengerParameters) -> None:
        self._rules = rules
        self.holding: Holding | None = None
        self._entry_reference = 0
        self._entry_until_ns = 0
        self._exit_until_ns = 0
        self._day = 0
        self.trades_today = 0
        # Intents whose entry has begun to fill, of today: several fills are one trade.
        self._entry_intents: set[str] = set()

    @property
    def quantity(self) -> Decimal:
        """Signed base units held."""
        return self.holding.quantity if self.holding is not None else ZERO

    def entry_in_flight(self, now_ns: int) -> bool:
        """Whether an entry may still become a position."""
        return now_ns < self._entry_until_ns

    def entry_sent(self, reference: int, now_ns: int) -> None:
        """Record the entry just drafted."""
        self._entry_reference = reference
        self._entry_until_ns = now_ns + (self._rules.ttl_ms + self._rules.entry_grace_ms) * NS_PER_MS

    def exit_due(self, now_ns: int) -> bool:
        """Whether the holding's time is over and no attempt to close it is under way."""
        return (
            self.holding is not None
            and now_ns >= self.holding.opened_ns + self._rules.hold_ms * NS_PER_MS
            and now_ns >= self._exit_until_ns
        )

    def exit_sent(self, now_ns: int) -> None:
        """Record the exit just drafted; the next attempt waits ``exit_retry_ms``."""
        self._exit_until_ns = now_ns + self._rules.exit_retry_ms * NS_PER_MS

    def trades_spent(self, now_ns: int) -> bool:
        """Whether the day's maximum of trades is reached."""
        self._turn_day(now_ns)
        return self.trades_today >= self._rules.max_trades_per_day

    def on_decision(self, note: DecisionNote) -> None:
        """A refused entry is over at once; a refused exit waits for its next attempt."""
        if note.reference == self._entry_reference and not note.approved:
            self._entry_until_ns = 0

    def on_order(self, order: Order) -> None:
        """An entry that ended without a fill is over."""
        if order.order_role is OrderRole.ENTRY and order.state in _ENDED and order.filled_quantity == ZERO:
            self._entry_until_ns = 0

    def on_fill(self, fill: Fill) -> None:
        """Count an entry once, with its first fill."""
        if fill.order_role is not OrderRole.ENTRY:
            return
        self._turn_day(fill.event_time_ns)
        if fill.intent_id not in self._entry_intents:
            self._entry_intents.add(fill.intent_id)
            self.trades_today += 1

    def on_positions(self, holdings: Sequence[Holding]) -> None:
        """Replace the holding by the reported one; becoming flat ends the exit that is under way."""
        before = self.holding
        self.holding = next(
            (held for held in holdings if held.symbol == self._rules.perp_symbol and held.quantity != ZERO), None
        )
        if self.holding is not None:
            self._entry_until_ns = 0
        elif before is not None:
            self._exit_until_ns = 0

    def dump_state(self) -> dict[str, int]:
        """Return the day's count: the venue does not record which fills began a trade of this phase."""
        return {"day": self._day, "trades_today": self.trades_today}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Restore the day's count of an earlier process; it is dropped when the day has changed."""
        self._day = state.get("day", 0)
        self.trades_today = state.get("trades_today", 0)

    def _turn_day(self, now_ns: int) -> None:
        day = utc_day(now_ns)
        if day > self._day:
            self._day = day
            self.trades_today = 0
            self._entry_intents.clear()
