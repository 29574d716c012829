"""Answer people's questions to Brain: its state, its decisions, and the reasons of one."""

from __future__ import annotations

from collections.abc import Callable

from titan.brain.recent_decisions import RecentDecisions
from titan.brain.snapshot import BrainSnapshot, PhaseSnapshot
from titan.domain.numbers import format_decimal
from titan.runtime.rpc.server import Peer
from titan.storage.decisions import DecisionStore
from titan.storage.schema import DATABASE_ERRORS
from titan.v1 import brain_pb2 as b
from titan.wire.brain import budget_to_wire, posture_to_wire
from titan.wire.orders import equity_to_wire, position_to_wire, truth_to_wire

_MAX_LISTED = 1_000
_DEFAULT_LISTED = 50
# Decisions that are still being written have this long to reach the table before it is read.
_FLUSH_S = 1.0
_MIN_PREFIX = 4


class Queries:
    """Serves ``GetBrain``, ``ListDecisions`` and ``ExplainDecision``."""

    def __init__(self, take: Callable[[], BrainSnapshot], recent: RecentDecisions, store: DecisionStore) -> None:
        self._take = take
        self._recent = recent
        self._store = store

    async def get_brain(self, _request: b.GetBrainRequest, _peer: Peer) -> b.GetBrainResponse:
        """Encode a snapshot."""
        return snapshot_to_wire(self._take())

    async def list_decisions(self, request: b.ListDecisionsRequest, _peer: Peer) -> b.ListDecisionsResponse:
        """List decisions, newest first; from memory while the database is away."""
        limit = min(request.limit or _DEFAULT_LISTED, _MAX_LISTED)
        approved = request.approved if request.HasField("approved") else None
        try:
            await self._store.flush(_FLUSH_S)
            decisions = await self._store.newest(limit, request.phase_id, approved)
        except DATABASE_ERRORS:
            decisions = [
                one
                for one in self._recent.newest()
                if request.phase_id in ("", one.phase_id) and approved in (None, one.approved)
            ][:limit]
        return b.ListDecisionsResponse(decisions=decisions)

    async def explain(self, request: b.ExplainDecisionRequest, _peer: Peer) -> b.ExplainDecisionResponse:
        """Return the one decision whose intent id begins with the requested characters."""
        prefix = request.intent_id
        if len(prefix) < _MIN_PREFIX:
            return b.ExplainDecisionResponse(
                message=f"intent_id: {prefix!r} is too short; allowed are {_MIN_PREFIX} characters or more"
            )
        try:
            await self._store.flush(_FLUSH_S)
            matching = await self._store.beginning_with(prefix)
        except DATABASE_ERRORS:
            matching = [one for one in self._recent.newest() if one.intent_id.startswith(prefix)]
        if len(matching) == 1:
            return b.ExplainDecisionResponse(found=True, decision=matching[0])
        if not matching:
            return b.ExplainDecisionResponse(message=f"intent_id: no decision has an id that begins with {prefix!r}")
        ids = ", ".join(decision.intent_id for decision in matching[:2])
        return b.ExplainDecisionResponse(
            message=f"intent_id: {prefix!r} is the beginning of several ids, like {ids}; "
            "allowed is a beginning that only one decision has"
        )


def snapshot_to_wire(snapshot: BrainSnapshot) -> b.GetBrainResponse:
    """Write a snapshot."""
    response = b.GetBrainResponse(
        posture=posture_to_wire(snapshot.posture),
        equity=equity_to_wire(snapshot.equity),
        truth=truth_to_wire(snapshot.truth),
        phases=[_phase_to_wire(phase) for phase in snapshot.phases],
        positions=[position_to_wire(position) for position in snapshot.positions],
        execution_connected=snapshot.execution_connected,
        execution_policy_hash=snapshot.execution_policy_hash,
        intents=snapshot.intents,
        decisions=[
            b.ReasonCount(reason=reason, count=count)  # type: ignore[arg-type]
            for reason, count in snapshot.decisions
        ],
        market_time_ns=snapshot.market.market_time_ns,
        market_label=snapshot.market.label,
        policy_hash=snapshot.policy_hash,
        mode=snapshot.mode,
        decisions_unsaved=snapshot.decisions_unsaved,
        database_problem=snapshot.database_problem,
        equity_as_of_ns=snapshot.equity_as_of_ns,
        not_enforced=snapshot.not_enforced,
    )
    if snapshot.last_decision is not None:
        response.last_decision.CopyFrom(snapshot.last_decision)
    return response


def _phase_to_wire(phase: PhaseSnapshot) -> b.PhaseState:
    state = b.PhaseState(
        phase_id=phase.phase_id,
        connected=phase.connected,
        policy_hash=phase.policy_hash,
        weight=format_decimal(phase.budget.weight) if phase.budget is not None else "",
        intents=phase.intents,
        approved=phase.approved,
        paused_until_ns=phase.paused_until_ns,
    )
    if phase.budget is not None:
        state.budget.CopyFrom(budget_to_wire(phase.budget))
    return state
