"""Pure: responses of Brain and Execution as the operator's records; an unset field becomes None."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import Posture, RiskLevel
from titan.domain.equity import EQUITY_MAX_AGE_NS
from titan.domain.reasons import Reason
from titan.v1 import brain_pb2, execution_pb2, order_pb2
from titan.wire.orders import equity_from_wire
from titan_operator.stack.view import Ack, BrainView, ExecutionView, PhaseView


def brain_view(message: brain_pb2.GetBrainResponse) -> BrainView:
    """Read Brain's state.

    Raises
    ------
    ValueError
        For a posture or level without a name, or text that is no decimal; the message names it.
    """
    posture = message.posture
    equity = equity_from_wire(message.equity) if message.equity.known and not _stale(message) else None
    return BrainView(
        policy_hash=message.policy_hash,
        ceiling=Posture(posture.ceiling) if posture.ceiling else None,
        latch=Posture(posture.latch),
        in_force=Posture(posture.in_force),
        risk_level=RiskLevel(posture.risk_level) if posture.risk_level else None,
        reason=posture.reason,
        by=posture.by,
        latch_never_set=posture.latch_never_set,
        equity=equity.confirmed_equity if equity is not None else None,
        drawdown=equity.drawdown if equity is not None else None,
        truth_score=_score(message.truth),
        execution_connected=message.execution_connected,
        execution_policy_hash=message.execution_policy_hash,
        phases={phase.phase_id: _phase(phase) for phase in message.phases},
        market_label=message.market_label,
        database_problem=message.database_problem,
        rows_waiting=message.decisions_unsaved,
    )


def execution_view(message: execution_pb2.GetExecutionResponse) -> ExecutionView:
    """Read Execution's state.

    Raises
    ------
    ValueError
        For a posture without a name.
    """
    return ExecutionView(
        policy_hash=message.policy_hash,
        latch=Posture(message.posture.latch),
        in_force=Posture(message.posture.in_force),
        working_orders=message.working_orders,
        working_entries=message.working_entries,
        unresolved_orders=message.unresolved_orders,
        open_positions=message.open_positions,
        lease_held=message.lease_held,
        reconciled=message.reconciled,
        venue_connected=message.venue_connected,
        brain_connected=message.brain_connected,
        journal_flushed=message.journal_synced,
        database_problem=message.database_problem,
        rows_waiting=message.projection_lag,
    )


def act_ack(message: brain_pb2.SetPostureResponse) -> Ack:
    """Read Brain's answer to an act. Counts are Execution's: without its acknowledgement they are None."""
    acknowledged = bool(message.acknowledged_by)
    return Ack(
        done=message.done,
        reason=_reason(message.reason),
        message=message.message or message.posture.reason,
        acknowledged_by=message.acknowledged_by,
        working_orders=message.working_orders if acknowledged else None,
        open_positions=message.open_positions if acknowledged else None,
        preconditions=tuple(message.preconditions),
    )


def ceiling_ack(message: brain_pb2.SetCeilingResponse) -> Ack:
    """Read Brain's answer to a ceiling."""
    return Ack(done=message.done, reason=_reason(message.reason), message=message.message)


def rebase_ack(message: execution_pb2.RebasePeakResponse) -> Ack:
    """Read Execution's answer to a rebase."""
    return Ack(
        done=message.done,
        reason=_reason(message.reason),
        message=message.message,
        acknowledged_by="execution",
        preconditions=tuple(message.preconditions),
    )


def tighten_ack(message: execution_pb2.TightenResponse) -> Ack:
    """Read Execution's answer to a tightening."""
    result = message.result
    return Ack(
        done=result.done,
        reason=_reason(result.reason),
        message=result.message,
        acknowledged_by="execution",
        working_orders=result.working_orders,
        open_positions=result.open_positions,
    )


def _stale(message: brain_pb2.GetBrainResponse) -> bool:
    """Whether Execution has not reported for too long; a Brain of before this field does not say it."""
    as_of_ns = message.equity_as_of_ns
    return bool(as_of_ns) and message.market_time_ns - as_of_ns > EQUITY_MAX_AGE_NS


def _phase(state: brain_pb2.PhaseState) -> PhaseView:
    return PhaseView(
        connected=state.connected,
        policy_hash=state.policy_hash,
        allocation=Decimal(state.budget.allocation) if state.budget.allocation else None,
        weight=Decimal(state.weight) if state.weight else None,
    )


def _score(truth: order_pb2.TruthSnapshot) -> int | None:
    return truth.score if truth.known else None


def _reason(number: int) -> str:
    known = {reason.value: reason.name for reason in Reason}
    return known.get(number, f"REASON_{number}")
