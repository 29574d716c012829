"""One view of Brain at one moment, which ``/status``, the gauges and ``GetBrain`` render."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from titan.brain.execution_client import ExecutionClient
from titan.brain.intent_handler import IntentHandler
from titan.brain.phase_sessions import PhaseSession, PhaseSessions
from titan.domain.budgets import Budget
from titan.domain.enums import OrderRole
from titan.domain.equity import Equity
from titan.domain.numbers import ZERO
from titan.domain.policy_rules import Mode
from titan.domain.positions import Position
from titan.domain.posture import PostureState
from titan.domain.protection import farthest_trigger, working_at_venue
from titan.domain.truth import TruthSnapshot
from titan.risk.controller import RiskController
from titan.risk.state import RiskState
from titan.runtime.market_feed import MarketFeed
from titan.storage.decisions import DecisionStore
from titan.v1 import brain_pb2 as b

_PLACES = 8


class MarketSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The market feed; ``label`` is empty and ``market_time_ns`` 0 before the market has begun."""

    label: str
    connected: bool
    lockstep: bool
    step: int
    market_time_ns: int
    ended: bool


class PhaseSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One planned phase; ``used_notional`` in quote units, ``paused_until_ns`` on the market clock (0: no pause)."""

    phase_id: str
    connected: bool
    policy_hash: str
    intents: int
    approved: int
    paused_until_ns: int
    used_notional: Decimal
    budget: Budget | None
    budget_expired: bool


class BrainSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that Brain shows. Money in quote units; an unknown policy hash is empty.

    Attributes
    ----------
    unanswered
        Orders that Execution has neither accepted nor refused.
    positions
        Net positions at Brain's own marks, with each phase's share.
    equity_as_of_ns
        Market time up to which Execution has reported; equity is as of then.
    decisions
        Count of decisions by reason number, ascending.
    decisions_unsaved
        Decisions that are not in the table, waiting or dropped.
    database_problem
        One sentence; empty where the database is used.
    not_enforced
        Rules of the policy that nothing enforces.
    """

    market: MarketSnapshot
    mode: Mode
    policy_hash: str
    term: int
    posture: PostureState
    equity: Equity
    equity_as_of_ns: int
    truth: TruthSnapshot
    execution_connected: bool
    execution_policy_hash: str
    unanswered: int
    gross_notional: Decimal
    worst_case: Decimal
    entries_in_flight: int
    exits_in_flight: int
    phases: tuple[PhaseSnapshot, ...]
    positions: tuple[Position, ...]
    intents: int
    decisions: tuple[tuple[int, int], ...]
    last_decision: b.Decision | None
    decisions_unsaved: int
    database_problem: str
    not_enforced: tuple[str, ...]


class SnapshotTaker:
    """Reads the parts of Brain into one snapshot."""

    def __init__(
        self,
        risk_state: RiskState,
        controller: RiskController,
        execution: ExecutionClient,
        phases: PhaseSessions,
        intent_handler: IntentHandler,
        store: DecisionStore,
        feed: MarketFeed,
    ) -> None:
        self._risk_state = risk_state
        self._controller = controller
        self._execution = execution
        self._phases = phases
        self._intent_handler = intent_handler
        self._store = store
        self._feed = feed

    def take(self) -> BrainSnapshot:
        """Read everything at this moment."""
        risk_state, handler, feed = self._risk_state, self._intent_handler, self._feed
        now_ns = feed.clock.now_ns
        return BrainSnapshot(
            market=MarketSnapshot(
                label=feed.label,
                connected=feed.connected,
                lockstep=feed.lockstep,
                step=feed.last_step,
                market_time_ns=now_ns,
                ended=feed.ended,
            ),
            mode=risk_state.limits.mode,
            policy_hash=risk_state.limits.policy_hash,
            term=self._execution.term,
            posture=self._controller.state,
            equity=risk_state.equity,
            equity_as_of_ns=max(risk_state.equity.market_time_ns, self._execution.reported_ns),
            truth=risk_state.truth,
            execution_connected=self._execution.connected,
            execution_policy_hash=risk_state.execution_hash,
            unanswered=len(self._execution.pending),
            gross_notional=risk_state.gross_notional,
            worst_case=risk_state.worst_case,
            entries_in_flight=len(risk_state.reservations.entries),
            exits_in_flight=len(risk_state.reservations.exits),
            phases=tuple(self._phase(session, now_ns) for session in self._phases.by_id.values()),
            positions=_positions(risk_state),
            intents=handler.counts.total,
            decisions=handler.counts.by_reason(),
            last_decision=handler.last,
            decisions_unsaved=self._store.unsaved + self._store.dropped,
            database_problem=self._controller.blocked or self._store.problem or "",
            not_enforced=risk_state.limits.not_enforced,
        )

    def _phase(self, session: PhaseSession, now_ns: int) -> PhaseSnapshot:
        phase = self._risk_state.phases[session.phase_id]
        intents, approved = self._intent_handler.counts.of_phase(session.phase_id)
        return PhaseSnapshot(
            phase_id=session.phase_id,
            connected=session.stream is not None,
            policy_hash=session.policy_hash,
            intents=intents,
            approved=approved,
            paused_until_ns=phase.paused_until_ns,
            used_notional=phase.used_notional,
            budget=phase.budget,
            budget_expired=phase.budget is not None and phase.budget.expired(now_ns),
        )


def _positions(risk_state: RiskState) -> tuple[Position, ...]:
    mirror = risk_state.mirror
    own = {phase: mirror.shares_of_phase(phase) for phase in risk_state.phases}
    protecting = mirror.protecting.values()
    positions = []
    for name, symbol in risk_state.symbols.items():
        if not symbol.net:
            continue
        shares = [share for phase in own.values() for share in phase if share.symbol == name]
        total = sum(share.quantity for share in shares)
        average = sum(share.quantity * share.average_entry_price for share in shares) / total if total else symbol.mid
        direction = 1 if symbol.net > 0 else -1
        stops = working_at_venue(protecting, name, OrderRole.STOP)
        targets = working_at_venue(protecting, name, OrderRole.TARGET)
        positions.append(
            Position(
                symbol=name,
                quantity=symbol.net,
                average_entry_price=round(average, _PLACES),
                mark_price=round(symbol.mid, _PLACES),
                unrealized_pnl=round(symbol.net * (symbol.mid - average), _PLACES),
                stop_price=farthest_trigger(stops, -direction),
                stop_quantity=sum((order.remaining_quantity for order in stops), ZERO),
                target_price=farthest_trigger(targets, direction),
                opened_ns=min((share.opened_ns for share in shares), default=0),
                shares=tuple(part for share in shares for part in share.shares),
                lots=tuple(mirror.lots_of(name)),
            )
        )
    return tuple(positions)
