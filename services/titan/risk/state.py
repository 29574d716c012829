"""The risk state that the guards read: quotes, positions, reservations and phases, with their sums.

Guards only read. A change is followed by one call of :meth:`RiskState.refresh`: the sums are computed when an order, a
fill or a price changes, and not while an intent waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from titan.domain.budgets import Budget
from titan.domain.enums import OrderRole, OrderState, Posture, RiskLevel
from titan.domain.equity import Equity
from titan.domain.instruments import Instrument
from titan.domain.marks import mid_price
from titan.domain.notional import notional_price
from titan.domain.numbers import BPS, ONE, ZERO
from titan.domain.orders import Fill, Order
from titan.domain.positions import Position
from titan.domain.truth import TruthSnapshot
from titan.risk.frequency import Frequency
from titan.risk.history import PhaseHistory
from titan.risk.latency import RollingLatency
from titan.risk.limits import Limits
from titan.risk.parameters import PhaseParameters
from titan.risk.quality import ExecutionQuality
from titan.risk.reservations import FINAL_STATES, Reservation, Reservations
from titan.risk.risk_level import daily_loss


class Held:
    """The holding in one symbol, whether or not the market has listed its instrument yet.

    Signed base units: the account's net and each phase's share. ``mid`` and ``stop_price`` in quote units; zero where
    not known.
    """

    __slots__ = ("mid", "net", "shares", "stop_price")

    def __init__(self) -> None:
        self.mid = self.net = self.stop_price = ZERO
        self.shares: dict[str, Decimal] = {}

    def replace(self, position: Position | None) -> None:
        """Replace the holding by Execution's position; None is flat."""
        if position is None:
            self.net = self.stop_price = ZERO
            self.shares = {}
            return
        self.net = position.quantity
        self.stop_price = position.stop_price
        self.shares = {share.phase_id: share.quantity for share in position.shares if share.quantity}
        if not self.mid:
            self.mid = position.mark_price or position.average_entry_price

    def move(self, phase_id: str, signed: Decimal) -> None:
        """Apply a phase's fill."""
        self.net += signed
        share = self.shares.get(phase_id, ZERO) + signed
        if share:
            self.shares[phase_id] = share
        else:
            self.shares.pop(phase_id, None)
        if not self.net:
            self.stop_price = ZERO


class SymbolState(Held):
    """One symbol: its quote, the account's net position, and its orders in flight.

    Quantities are signed base units, notionals quote units. ``cost_maker`` and ``cost_taker`` are fractions: fees of
    entry (maker, taker) and exit (taker: stops and targets trigger at market) plus the spread.
    """

    __slots__ = (
        "allowed",
        "ask",
        "bid",
        "cost_maker",
        "cost_taker",
        "entries",
        "exits",
        "fees_maker",
        "fees_taker",
        "instrument",
        "margin_leverage",
        "net_notional",
        "quote_ns",
        "reserved_notional",
        "spread",
    )

    def __init__(self, instrument: Instrument, limits: Limits) -> None:
        super().__init__()
        self.instrument = instrument
        self.allowed = instrument.symbol in limits.symbols
        self.margin_leverage = min(limits.max_margin_leverage, instrument.max_margin_leverage)
        self.fees_maker = (instrument.maker_fee_bps + instrument.taker_fee_bps) * BPS
        self.fees_taker = 2 * instrument.taker_fee_bps * BPS
        self.quote_ns = 0
        self.bid = self.ask = self.spread = ZERO
        self.cost_maker, self.cost_taker = self.fees_maker, self.fees_taker
        self.net_notional = self.reserved_notional = ZERO
        # Base units by phase: positive quantities of exits; signed entries.
        self.exits: dict[str, Decimal] = {}
        self.entries: dict[str, Decimal] = {}

    def quote(self, bid: Decimal, ask: Decimal, market_time_ns: int) -> None:
        """Apply the best bid and ask; the previous one ages where they are one-sided, crossed or older."""
        mid = mid_price(bid, ask)
        if mid is None or market_time_ns < self.quote_ns:
            return
        self.bid, self.ask, self.mid, self.quote_ns = bid, ask, mid, market_time_ns
        self.spread = (ask - bid) / mid
        self.cost_maker = self.fees_maker + self.spread
        self.cost_taker = self.fees_taker + self.spread


class PhaseState:
    """One phase: its budget, its history, and its exposure and margin (quote units)."""

    __slots__ = (
        "budget",
        "connected",
        "history",
        "margin_used",
        "openings_ns",
        "parameters",
        "paused_until_ns",
        "phase_id",
        "policy_hash",
        "used_notional",
    )

    def __init__(self, phase_id: str, parameters: PhaseParameters) -> None:
        self.phase_id = phase_id
        self.parameters = parameters
        self.budget: Budget | None = None
        self.history = PhaseHistory()
        self.openings_ns: deque[int] = deque()
        self.paused_until_ns = 0
        self.used_notional = self.margin_used = ZERO
        self.connected = False
        self.policy_hash = ""


class RiskState:
    """Everything that the guards read. Mutable, without I/O and without a clock of its own."""

    __slots__ = (
        "_unlisted",
        "day_loss",
        "equity",
        "execution_connected",
        "execution_hash",
        "exposed",
        "frequency",
        "gross_notional",
        "latency",
        "limits",
        "lockstep",
        "phases",
        "posture",
        "posture_source",
        "quality",
        "reconciled",
        "reservations",
        "risk_level",
        "risk_reason",
        "symbols",
        "truth",
        "worst_case",
    )

    def __init__(self, limits: Limits, instruments: Iterable[Instrument], phases: Iterable[str]) -> None:
        self.limits = limits
        self.symbols = {instrument.symbol: SymbolState(instrument, limits) for instrument in instruments}
        # After a restart Execution may report positions before the market lists their instruments.
        self._unlisted: dict[str, Held] = {}
        self.phases = {phase: PhaseState(phase, limits.parameters.phases[phase]) for phase in phases}
        self.reservations = Reservations()
        self.frequency = Frequency()
        self.latency = RollingLatency(limits.parameters.latency_window_ns)
        self.quality = ExecutionQuality()
        self.equity = Equity(known=False, reason="not reported by Execution yet")
        self.truth = TruthSnapshot(known=False)
        self.reconciled = False
        self.execution_connected = False
        self.execution_hash = ""
        self.lockstep = False
        self.posture = Posture.CLOSE_ONLY
        self.posture_source = "a new stack starts CLOSE_ONLY"
        self.risk_level = RiskLevel.NORMAL
        self.risk_reason = ""
        self.gross_notional = self.worst_case = self.day_loss = ZERO
        # Symbols with a net position or an entry in flight, by :meth:`refresh`.
        self.exposed: list[SymbolState] = []

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Add the traded instruments; a known symbol keeps its state."""
        for instrument in instruments:
            if instrument.symbol not in self.symbols:
                symbol = self.symbols[instrument.symbol] = SymbolState(instrument, self.limits)
                if (held := self._unlisted.pop(instrument.symbol, None)) is not None:
                    symbol.mid, symbol.net, symbol.shares, symbol.stop_price = (
                        held.mid,
                        held.net,
                        held.shares,
                        held.stop_price,
                    )

    def set_positions(self, positions: Iterable[Position]) -> None:
        """Replace all positions by Execution's; one in an unlisted symbol counts once the symbol is listed."""
        self._unlisted = {}
        for symbol in self.symbols.values():
            symbol.replace(None)
        for position in positions:
            self._held(position.symbol).replace(position)

    def on_order(self, order: Order) -> None:
        """Apply an order's new state."""
        entry = order.order_role is OrderRole.ENTRY and order.intent_id in self.reservations.entries
        if entry and order.state is OrderState.REJECTED:
            self.quality.refused()
        self.reservations.on_order(order)
        if order.order_role is OrderRole.STOP and order.trigger_price and order.state not in FINAL_STATES:
            self._held(order.symbol).stop_price = order.trigger_price

    def on_fill(self, fill: Fill) -> None:
        """Move the net position and the phase's share by a fill; an unlisted symbol counts once it is listed."""
        held = self._held(fill.symbol)
        if fill.order_role is OrderRole.ENTRY and (entry := self.reservations.entries.get(fill.intent_id)) is not None:
            held.stop_price = entry.stop_price
        self.reservations.on_fill(fill)
        held.move(fill.phase_id, fill.position_change)

    def refresh(self) -> None:
        """Recompute every sum from quotes, positions, reservations and equity."""
        gross = worst = ZERO
        used = dict.fromkeys(self.phases, ZERO)
        margin = dict.fromkeys(self.phases, ZERO)
        for symbol in self.symbols.values():
            if symbol.reserved_notional or symbol.entries or symbol.exits:
                symbol.reserved_notional = ZERO
                symbol.entries = {}
                symbol.exits = {}
            symbol.net_notional = symbol.net * symbol.mid
            if not symbol.net:
                continue
            gross += abs(symbol.net_notional)
            worst += _position_worst_case(symbol)
            for phase_id, share in symbol.shares.items():
                if phase_id in used:
                    notional = abs(share * symbol.mid)
                    used[phase_id] += notional
                    margin[phase_id] += notional / self._margin_leverage(phase_id, symbol)
        for entry in self.reservations.entries.values():
            listed = self.symbols.get(entry.symbol)
            if listed is None:
                continue
            notional = entry.remaining * (notional_price(entry.side, entry.price, listed.bid) or listed.mid)
            listed.reserved_notional += notional
            signed = entry.remaining * entry.side.sign
            listed.entries[entry.phase_id] = listed.entries.get(entry.phase_id, ZERO) + signed
            gross += notional
            worst += self._entry_worst_case(entry, notional)
            if entry.phase_id in used:
                used[entry.phase_id] += notional
                margin[entry.phase_id] += notional / self._margin_leverage(entry.phase_id, listed)
        for leaving in self.reservations.exits.values():
            listed = self.symbols.get(leaving.symbol)
            if listed is not None:
                listed.exits[leaving.phase_id] = listed.exits.get(leaving.phase_id, ZERO) + leaving.remaining
        for phase_id, phase in self.phases.items():
            phase.used_notional, phase.margin_used = used[phase_id], margin[phase_id]
        self.gross_notional, self.worst_case = gross, worst
        self.exposed = [symbol for symbol in self.symbols.values() if symbol.net or symbol.entries]
        # A new trade counts a loss that only one print shows, too.
        self.day_loss = daily_loss(self.equity, min(self.equity.equity, self.equity.confirmed_equity))

    def entries_open(self, symbol: str) -> int:
        """Count the entry orders on ``symbol`` that are decided and not final."""
        return sum(1 for entry in self.reservations.entries.values() if entry.symbol == symbol)

    def _held(self, symbol: str) -> Held:
        """Return the symbol's state, or its stand-in until the market lists it."""
        listed = self.symbols.get(symbol)
        return listed if listed is not None else self._unlisted.setdefault(symbol, Held())

    def _margin_leverage(self, phase_id: str, symbol: SymbolState) -> Decimal:
        return min(symbol.margin_leverage, self.phases[phase_id].parameters.margin_leverage)

    def _entry_worst_case(self, entry: Reservation, notional: Decimal) -> Decimal:
        if entry.loss_fraction is not None:
            return notional * entry.loss_fraction
        # Decided before a restart, when it was within the limit of a trade.
        return min(notional, self.limits.max_loss_per_trade * self.equity.equity) if self.equity.known else notional


def _position_worst_case(symbol: SymbolState) -> Decimal:
    """Compute the loss from mark to stop with the exit's fee; without a known stop all of it may be lost."""
    notional = abs(symbol.net_notional)
    if not (symbol.stop_price and symbol.mid):
        return notional
    direction = ONE if symbol.net > ZERO else -ONE
    distance = max(ZERO, direction * (symbol.mid - symbol.stop_price)) / symbol.mid
    return notional * (distance + symbol.fees_taker / 2)
