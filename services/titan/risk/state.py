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
from titan.domain.numbers import BPS, ZERO
from titan.domain.orders import Fill, Order
from titan.domain.positions import HeldPositions, Holding, RoundTrip
from titan.domain.truth import TruthSnapshot
from titan.risk.frequency import Frequency
from titan.risk.history import PhaseHistory
from titan.risk.latency import RollingLatency
from titan.risk.limits import Limits
from titan.risk.mirror import AccountMirror
from titan.risk.parameters import PhaseParameters
from titan.risk.performance import DailyCapital
from titan.risk.quality import ExecutionQuality
from titan.risk.reservations import Reservation, Reservations
from titan.risk.risk_level import daily_loss
from titan.risk.worst_case import position_worst_case, stops_at_venue

_FLAT = Holding()


class SymbolState:
    """One symbol: its quote, the account's net position with each phase's share, and its orders in flight.

    Quantities are signed base units, notionals quote units. ``mid`` is in quote units, 0 where not known.
    ``cost_maker`` and ``cost_taker`` are fractions: fees of entry (maker, taker) and exit (taker: stops and targets
    trigger at market) plus the spread.
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
        "mid",
        "net",
        "net_notional",
        "quote_ns",
        "reserved_notional",
        "shares",
        "spread",
    )

    def __init__(self, instrument: Instrument, limits: Limits) -> None:
        self.instrument = instrument
        self.mid = self.net = ZERO
        self.shares: dict[str, Decimal] = {}
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

    def follow(self, positions: HeldPositions) -> None:
        """Read the net position and its shares; without a quote yet, the entry price stands for one."""
        symbol = self.instrument.symbol
        holding = positions.holdings.get(symbol, _FLAT)
        self.net = holding.quantity
        self.shares = positions.shares_of(symbol)
        if not self.mid:
            self.mid = holding.average_entry_price


class PhaseState:
    """One phase: its budget, its history, and its exposure, margin and worst case (quote units)."""

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
        "worst_case",
    )

    def __init__(self, phase_id: str, parameters: PhaseParameters) -> None:
        self.phase_id = phase_id
        self.parameters = parameters
        self.budget: Budget | None = None
        self.history = PhaseHistory()
        self.openings_ns: deque[int] = deque()
        self.paused_until_ns = 0
        self.used_notional = self.margin_used = self.worst_case = ZERO
        self.connected = False
        self.policy_hash = ""


class RiskState:
    """Everything that the guards read. Mutable, without I/O and without a clock of its own."""

    __slots__ = (
        "capital",
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
        "mirror",
        "mirror_problem",
        "phases",
        "posture",
        "posture_source",
        "quality",
        "reconciled",
        "risk_level",
        "risk_reason",
        "symbols",
        "truth",
        "worst_case",
    )

    def __init__(self, limits: Limits, instruments: Iterable[Instrument], phases: Iterable[str]) -> None:
        self.limits = limits
        self.symbols = {instrument.symbol: SymbolState(instrument, limits) for instrument in instruments}
        self.phases = {phase: PhaseState(phase, limits.parameters.phases[phase]) for phase in phases}
        self.frequency = Frequency()
        self.capital = DailyCapital()
        self.latency = RollingLatency(limits.parameters.latency_window_ns)
        self.quality = ExecutionQuality()
        self.mirror = AccountMirror()
        # The difference between the mirror and Execution's digest; empty where there is none.
        self.mirror_problem = ""
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

    @property
    def reservations(self) -> Reservations:
        """Decided orders that are not final."""
        return self.mirror.reservations

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Add the traded instruments; a known symbol keeps its state.

        After a restart Execution may report positions before the market lists their instruments.
        """
        for instrument in instruments:
            if instrument.symbol not in self.symbols:
                symbol = self.symbols[instrument.symbol] = SymbolState(instrument, self.limits)
                symbol.follow(self.mirror.positions)

    def follow_account(self) -> None:
        """Read every position anew: the mirror was replaced."""
        for symbol in self.symbols.values():
            symbol.follow(self.mirror.positions)

    def on_order(self, order: Order, sequence: int = 0) -> None:
        """Apply an order's new state."""
        entry = order.order_role is OrderRole.ENTRY and order.intent_id in self.reservations.entries
        if entry and order.state is OrderState.REJECTED:
            self.quality.refused()
        self.mirror.on_order(order, sequence)

    def on_fill(self, fill: Fill, sequence: int = 0) -> RoundTrip | None:
        """Book a fill; return the round trip that it finished."""
        trip = self.mirror.on_fill(fill, sequence)
        if (symbol := self.symbols.get(fill.symbol)) is not None:
            symbol.follow(self.mirror.positions)
        return trip

    def refresh(self) -> None:
        """Recompute every sum from quotes, positions, reservations and equity."""
        gross = worst = ZERO
        used = dict.fromkeys(self.phases, ZERO)
        margin = dict.fromkeys(self.phases, ZERO)
        at_risk = dict.fromkeys(self.phases, ZERO)
        stops = stops_at_venue(self.mirror.protecting.values())
        for symbol in self.symbols.values():
            if symbol.reserved_notional or symbol.entries or symbol.exits:
                symbol.reserved_notional = ZERO
                symbol.entries = {}
                symbol.exits = {}
            symbol.net_notional = symbol.net * symbol.mid
            if not (symbol.net or symbol.shares):
                continue
            # The shares add up to the net; where they do not, the larger counts.
            gross += max(abs(symbol.net), sum(map(abs, symbol.shares.values()), ZERO)) * symbol.mid
            lots = self.mirror.lots_of(symbol.instrument.symbol)
            worst += position_worst_case(symbol.net, symbol.mid, lots, stops, symbol.fees_taker / 2)
            for phase_id, share in symbol.shares.items():
                if phase_id in used:
                    notional = abs(share * symbol.mid)
                    used[phase_id] += notional
                    margin[phase_id] += notional / self._margin_leverage(phase_id, symbol)
                    own = [lot for lot in lots if lot.phase_id == phase_id]
                    at_risk[phase_id] += position_worst_case(share, symbol.mid, own, stops, symbol.fees_taker / 2)
        for entry in self.reservations.entries.values():
            listed = self.symbols.get(entry.symbol)
            if listed is None:
                continue
            notional = entry.remaining_quantity * (notional_price(entry.side, entry.price, listed.bid) or listed.mid)
            listed.reserved_notional += notional
            signed = entry.remaining_quantity * entry.side.sign
            listed.entries[entry.phase_id] = listed.entries.get(entry.phase_id, ZERO) + signed
            gross += notional
            loss = self._entry_worst_case(entry, listed, notional)
            worst += loss
            if entry.phase_id in used:
                at_risk[entry.phase_id] += loss
                used[entry.phase_id] += notional
                margin[entry.phase_id] += notional / self._margin_leverage(entry.phase_id, listed)
        for leaving in self.reservations.exits.values():
            listed = self.symbols.get(leaving.symbol)
            if listed is not None:
                listed.exits[leaving.phase_id] = listed.exits.get(leaving.phase_id, ZERO) + leaving.remaining_quantity
        for phase_id, phase in self.phases.items():
            phase.used_notional, phase.margin_used = used[phase_id], margin[phase_id]
            phase.worst_case = at_risk[phase_id]
        self.gross_notional, self.worst_case = gross, worst
        self.exposed = [symbol for symbol in self.symbols.values() if symbol.net or symbol.entries]
        # A new trade counts a loss that only one print shows, too.
        self.day_loss = daily_loss(self.equity, self.equity.opening_equity)

    def entries_open(self, symbol: str) -> int:
        """Count the entry orders on ``symbol`` that are decided and not final."""
        return sum(1 for entry in self.reservations.entries.values() if entry.symbol == symbol)

    def _margin_leverage(self, phase_id: str, symbol: SymbolState) -> Decimal:
        return min(symbol.margin_leverage, self.phases[phase_id].parameters.margin_leverage)

    def _entry_worst_case(self, entry: Reservation, symbol: SymbolState, notional: Decimal) -> Decimal:
        if entry.loss_fraction is not None:
            return notional * entry.loss_fraction
        # Decided before a restart.
        price = entry.price or symbol.mid
        if entry.terms.stop_price and price:
            return notional * (abs(price - entry.terms.stop_price) / price + symbol.cost_taker)
        # Adopted from the venue: nobody's limit bounds it better than that of a trade.
        return min(notional, self.limits.max_loss_per_trade * self.equity.equity) if self.equity.known else notional
