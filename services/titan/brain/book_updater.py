"""What Execution and the market told Brain, put into the book that the guards read."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.orders import Fill, Order
from titan.domain.positions import RoundTrip
from titan.risk.history import MINUTE_NS, PhaseHistory
from titan.risk.reservations import FINAL_STATES
from titan.risk.shares import Shares
from titan.risk.state import RiskState
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.v1 import order_pb2 as o
from titan.wire.orders import (
    equity_from_wire,
    fill_from_wire,
    order_from_wire,
    position_from_wire,
    round_trip_from_wire,
    truth_from_wire,
)


class BookUpdater:
    """Folds messages into the book. Whoever calls refreshes the book when a batch of them is in."""

    def __init__(self, risk_state: RiskState) -> None:
        self.risk_state = risk_state
        self.shares = Shares()
        # Working entries and exits by client order id, for phases that connect.
        self.working: dict[str, Order] = {}
        self._trades: set[str] = set()

    def on_quotes(self, batch: m.MarketBatch) -> None:
        """Take in the batch's quotes."""
        symbols = self.risk_state.symbols
        for event in batch.events:
            if event.HasField("quote") and (symbol_state := symbols.get(event.symbol)) is not None:
                quote = event.quote
                symbol_state.quote(Decimal(quote.bid_price), Decimal(quote.ask_price), event.market_time_ns)

    def on_account(self, account: e.AccountState, unanswered: frozenset[str]) -> None:
        """Start again from what Execution says; ``unanswered`` intents of ours it has not spoken of stay reserved."""
        risk_state = self.risk_state
        working = [order_from_wire(wire) for wire in account.working]
        positions = [position_from_wire(wire) for wire in account.positions]
        self.working = {order.client_order_id: order for order in working}
        risk_state.set_positions(positions)
        risk_state.reservations.rebuild(working, unanswered)
        self.shares.rebuild(positions)
        for phase in risk_state.phases.values():
            phase.history = PhaseHistory()
        for wire in account.round_trips:
            self._on_trip(round_trip_from_wire(wire))
        if account.HasField("equity"):
            risk_state.equity = equity_from_wire(account.equity)
        if account.HasField("truth"):
            risk_state.truth = truth_from_wire(account.truth)
        risk_state.reconciled = account.reconciled
        risk_state.execution_hash = account.policy_hash
        for order in working:
            risk_state.on_order(order)

    def on_order(self, wire: o.Order) -> Order:
        """Take in a changed order."""
        order = order_from_wire(wire)
        self.risk_state.on_order(order)
        if order.state in FINAL_STATES:
            self.working.pop(order.client_order_id, None)
        else:
            self.working[order.client_order_id] = order
        return order

    def on_fill(self, wire: o.Fill) -> Fill | None:
        """Take in a fill; None where it was told before."""
        fill = fill_from_wire(wire)
        key = f"{fill.symbol} {fill.trade_id}"
        if key in self._trades:
            return None
        self._trades.add(key)
        entry = self.risk_state.reservations.entries.get(fill.intent_id)
        self.risk_state.on_fill(fill)
        trip = self.shares.on_fill(fill, entry.setup if entry is not None else "")
        if trip is not None:
            self._on_trip(trip)
        return fill

    def on_equity(self, wire: o.Equity) -> None:
        """Take in what the account is worth."""
        self.risk_state.equity = equity_from_wire(wire)

    def on_truth(self, wire: o.TruthSnapshot) -> None:
        """Take in how far Execution believes its picture."""
        self.risk_state.truth = truth_from_wire(wire)
        # The first clean pass is what makes truth known.
        self.risk_state.reconciled = self.risk_state.reconciled or self.risk_state.truth.known

    def _on_trip(self, trip: RoundTrip) -> None:
        phase = self.risk_state.phases.get(trip.phase_id)
        if phase is None or not phase.history.add(trip):
            return
        rules = self.risk_state.limits.rules
        until_ns = phase.history.streak_pause_until(
            rules.loss_streak_count,
            self.risk_state.limits.parameters.loss_streak_window_ns,
            rules.loss_streak_pause_minutes * MINUTE_NS,
        )
        phase.paused_until_ns = max(phase.paused_until_ns, until_ns)
