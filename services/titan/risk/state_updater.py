"""Fold Execution's reports, as domain records, into the risk state that the guards read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from titan.domain.enums import OrderRole
from titan.domain.equity import Equity
from titan.domain.orders import Fill, Order
from titan.domain.positions import Position, RoundTrip, Share, TripProgress
from titan.domain.time import NS_PER_MINUTE
from titan.domain.trip_results import TripResults
from titan.domain.truth import TruthSnapshot
from titan.risk.history import PhaseHistory
from titan.risk.quality import slippage
from titan.risk.reservations import Reservation, Terms
from titan.risk.state import RiskState


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """Execution's whole account; ``equity`` and ``truth`` are None where the report leaves them out."""

    sequence: int
    working: Sequence[Order]
    positions: Sequence[Position]
    open_trips: Sequence[tuple[Share, TripProgress]]
    terms: Mapping[str, Terms]
    round_trips: Sequence[RoundTrip]
    results: TripResults
    equity: Equity | None
    truth: TruthSnapshot | None
    reconciled: bool
    policy_hash: str


class StateUpdater:
    """Apply reports in their order. The caller refreshes the risk state once a batch of them is applied."""

    def __init__(self, risk_state: RiskState) -> None:
        self.risk_state = risk_state
        self.mirror = risk_state.mirror

    def on_account(self, account: AccountReport, unanswered: frozenset[str]) -> None:
        """Replace the account; ``unanswered`` intents are sent but unknown to Execution, and stay reserved."""
        risk_state = self.risk_state
        self.mirror.replace(
            account.sequence, account.positions, account.open_trips, account.working, account.terms, unanswered
        )
        risk_state.follow_account()
        risk_state.mirror_problem = ""
        for phase in risk_state.phases.values():
            phase.history = PhaseHistory()
        for trip in account.round_trips:
            self.on_trip(trip)
        for phase_id, phase in risk_state.phases.items():
            phase.history.set_totals(phase_id, account.results)
        if account.equity is not None:
            risk_state.equity = account.equity
        if account.truth is not None:
            risk_state.truth = account.truth
        risk_state.reconciled = account.reconciled
        risk_state.execution_hash = account.policy_hash

    def on_fill(self, fill: Fill, sequence: int) -> bool:
        """Apply a fill; return False where it is contained already."""
        if self.mirror.contains_fill(sequence):
            return False
        entry = self.mirror.reservations.entries.get(fill.intent_id)
        if entry is not None:
            self._rate_entry(fill, entry)
        trip = self.risk_state.on_fill(fill, sequence)
        if trip is not None:
            self.on_trip(trip)
        return True

    def on_truth(self, truth: TruthSnapshot) -> None:
        """Replace the truth score; the first clean pass is what makes the orders reconciled."""
        self.risk_state.truth = truth
        self.risk_state.reconciled = self.risk_state.reconciled or truth.known

    def _rate_entry(self, fill: Fill, entry: Reservation) -> None:
        """Count an order once, by the price of its first fill."""
        if fill.order_role is OrderRole.ENTRY and not entry.filled and entry.price:
            self.risk_state.quality.filled(slippage(fill.side.sign, entry.price, fill.price))

    def on_trip(self, trip: RoundTrip) -> None:
        """Count a finished trip, and pause its phase after losses in a row."""
        phase = self.risk_state.phases.get(trip.phase_id)
        if phase is None:
            return
        phase.history.add(trip)
        limits = self.risk_state.limits
        parameters = limits.parameters

        def window_ns(setup: str) -> int:
            horizon_ns = self.risk_state.frequency.horizon_ns(trip.phase_id, setup)
            return max(parameters.loss_streak_window_ns, parameters.loss_streak_horizons * horizon_ns)

        until_ns = phase.history.streak_pause_until(
            limits.rules.loss_streak_count,
            parameters.loss_streak_least_r,
            window_ns,
            limits.rules.loss_streak_pause_minutes * NS_PER_MINUTE,
        )
        phase.paused_until_ns = max(phase.paused_until_ns, until_ns)
