"""What people may ask Brain: its picture, its decisions, and why."""

from __future__ import annotations

from collections.abc import Callable

from titan.brain.book_updater import BookUpdater
from titan.brain.execution_client import ExecutionClient
from titan.brain.intent_handler import IntentHandler
from titan.brain.phase_sessions import PhaseSession, PhaseSessions
from titan.brain.risk_controller import RiskController
from titan.domain.numbers import format_decimal
from titan.domain.positions import Position
from titan.runtime.rpc.server import Peer
from titan.storage.decisions import DecisionStore
from titan.storage.schema import DATABASE_ERRORS
from titan.v1 import brain_pb2 as b
from titan.v1 import order_pb2 as o
from titan.wire.brain import budget_to_wire, posture_to_wire
from titan.wire.orders import equity_to_wire, position_to_wire, truth_to_wire

MAX_LISTED = 1_000
_DEFAULT_LISTED = 50
# Decisions of the last moments should be found too.
_FLUSH_S = 1.0
MIN_BEGINNING = 4


class Queries:
    """Serves ``GetBrain``, ``ListDecisions`` and ``ExplainDecision``."""

    def __init__(
        self,
        picture: BookUpdater,
        governor: RiskController,
        execution: ExecutionClient,
        phases: PhaseSessions,
        decider: IntentHandler,
        store: DecisionStore,
        now_ns: Callable[[], int],
        market_label: Callable[[], str],
    ) -> None:
        self._picture = picture
        self._governor = governor
        self._execution = execution
        self._phases = phases
        self._decider = decider
        self._store = store
        self._now_ns = now_ns
        self._market_label = market_label

    async def get_brain(self, _request: b.GetBrainRequest, _peer: Peer) -> b.GetBrainResponse:
        """Brain's whole picture."""
        risk_state = self._picture.risk_state
        response = b.GetBrainResponse(
            posture=posture_to_wire(self._governor.state),
            equity=equity_to_wire(risk_state.equity),
            truth=truth_to_wire(risk_state.truth),
            phases=[self._phase(seat) for seat in self._phases.seats.values()],
            positions=self._positions(),
            execution_connected=self._execution.connected,
            execution_policy_hash=risk_state.execution_hash,
            intents=self._decider.intents,
            decisions=[
                b.ReasonCount(reason=reason, count=count)  # type: ignore[arg-type]
                for reason, count in sorted(self._decider.counts.items())
            ],
            market_time_ns=self._now_ns(),
            market_label=self._market_label(),
            policy_hash=risk_state.limits.policy_hash,
            mode=risk_state.limits.mode,
            decisions_unsaved=self._store.unsaved + self._store.dropped,
            database_problem=self._governor.blocked or self._store.problem or "",
        )
        if self._decider.last is not None:
            response.last_decision.CopyFrom(self._decider.last)
        return response

    async def list_decisions(self, request: b.ListDecisionsRequest, _peer: Peer) -> b.ListDecisionsResponse:
        """Decisions, newest first; from memory while the database is away."""
        limit = min(request.limit or _DEFAULT_LISTED, MAX_LISTED)
        approved = request.approved if request.HasField("approved") else None
        try:
            await self._store.flush(_FLUSH_S)
            found = await self._store.newest(limit, request.phase_id, approved)
        except DATABASE_ERRORS:
            found = [
                one
                for one in self._decider.newest()
                if request.phase_id in ("", one.phase_id) and approved in (None, one.approved)
            ][:limit]
        return b.ListDecisionsResponse(decisions=found)

    async def explain(self, request: b.ExplainDecisionRequest, _peer: Peer) -> b.ExplainDecisionResponse:
        """One decision by the beginning of its intent id."""
        beginning = request.intent_id
        if len(beginning) < MIN_BEGINNING:
            return b.ExplainDecisionResponse(
                message=f"intent_id: {beginning!r} is too short; allowed are {MIN_BEGINNING} characters or more"
            )
        try:
            await self._store.flush(_FLUSH_S)
            found = await self._store.beginning_with(beginning)
        except DATABASE_ERRORS:
            found = [one for one in self._decider.newest() if one.intent_id.startswith(beginning)]
        if len(found) == 1:
            return b.ExplainDecisionResponse(found=True, decision=found[0])
        said = f"{len(found)} or more decisions" if found else "no decision"
        return b.ExplainDecisionResponse(message=f"intent_id: {said} begin with {beginning!r}; allowed is one")

    def _phase(self, seat: PhaseSession) -> b.PhaseState:
        phase = self._picture.risk_state.phases[seat.phase_id]
        state = b.PhaseState(
            phase_id=seat.phase_id,
            connected=seat.stream is not None,
            policy_hash=seat.policy_hash,
            weight=format_decimal(phase.budget.weight) if phase.budget is not None else "",
            intents=seat.intents,
            approved=seat.approved,
            paused_until_ns=phase.paused_until_ns,
        )
        if phase.budget is not None:
            state.budget.CopyFrom(budget_to_wire(phase.budget))
        return state

    def _positions(self) -> list[o.Position]:
        """Net positions at Brain's own marks."""
        shares = [share for phase in self._picture.risk_state.phases for share in self._picture.shares.of(phase)]
        wires = []
        for symbol, held in self._picture.risk_state.symbols.items():
            if not held.net:
                continue
            own = [share for share in shares if share.symbol == symbol]
            total = sum(share.quantity for share in own)
            average = sum(share.quantity * share.average_entry_price for share in own) / total if total else held.mid
            wires.append(
                position_to_wire(
                    Position(
                        symbol=symbol,
                        quantity=held.net,
                        average_entry_price=round(average, 8),
                        mark_price=round(held.mid, 8),
                        unrealized_pnl=round(held.net * (held.mid - average), 8),
                        stop_price=held.stop_price,
                        opened_ns=min((share.opened_ns for share in own), default=0),
                        shares=tuple(part for share in own for part in share.shares),
                    )
                )
            )
        return wires
