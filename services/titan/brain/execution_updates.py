"""Apply Execution's reports to the risk state, forward them to their phase, and follow Execution's latch."""

from __future__ import annotations

from collections.abc import Callable

from titan.brain.execution_client import ExecutionClient
from titan.brain.phase_sessions import PhaseSessions, positions_message
from titan.brain.stored_latch import StoredLatch
from titan.domain.enums import Posture
from titan.domain.mirror_digest import digest
from titan.domain.posture import PostureState
from titan.domain.reasons import Reason
from titan.risk.controller import RiskController
from titan.risk.decisions import IntentDecisions
from titan.risk.reservations import Terms
from titan.risk.state_updater import AccountReport, StateUpdater
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o
from titan.wire.account import open_trip_from_wire, trip_results_from_wire
from titan.wire.fields import read_decimal
from titan.wire.orders import (
    equity_from_wire,
    fill_from_wire,
    order_from_wire,
    position_from_wire,
    round_trip_from_wire,
    truth_from_wire,
)


class ExecutionUpdates:
    """The listener of the stream to Execution."""

    def __init__(
        self,
        execution: ExecutionClient,
        updater: StateUpdater,
        controller: RiskController,
        decisions: IntentDecisions,
        finish_decision: Callable[[], None],
        phases: PhaseSessions,
        latch: StoredLatch,
        now_ns: Callable[[], int],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._execution = execution
        self._updater = updater
        self._mirror = updater.mirror
        self._risk_state = updater.risk_state
        self._controller = controller
        self._decisions = decisions
        self._finish_decision = finish_decision
        self._phases = phases
        self._latch = latch
        self._now_ns = now_ns
        self._log = log
        self._mirror_drifts = metrics.counter(
            "titan_brain_mirror_drifts", "Digests of Execution's account that Brain's view did not have."
        )
        self._refusals = metrics.counter("titan_brain_refusals", "Orders that Execution refused.", ["reason"])

    @property
    def posture(self) -> PostureState:
        """The posture in force, for a new stream."""
        return self._controller.state

    def on_report(self, message: e.PlaceResponse) -> None:
        """Apply one message, after the decision that it may be about.

        Raises
        ------
        ValueError
            When the message is of no known kind.
        """
        self._finish_decision()
        kind = message.WhichOneof("message")
        if kind == "order":
            self._on_order(message.order, message.sequence)
        elif kind == "fill":
            self._on_fill(message.fill, message.sequence)
        elif kind == "refusal":
            self._on_refusal(message.refusal)
        elif kind == "equity":
            self._risk_state.equity = equity_from_wire(message.equity)
        elif kind == "truth":
            self._updater.on_truth(truth_from_wire(message.truth))
        elif kind == "account":
            self._on_account(message.account)
        elif kind == "act":
            self._on_act(message.act)
        elif kind == "digest":
            self._on_digest(message.digest)
        else:
            known = "account, order, fill, refusal, truth, marker, act, equity, digest, stale_term"
            raise ValueError(f"message of Execution: {kind!r} is not known; allowed are {known}")
        if not self._execution.holding:
            self._controller.evaluate(self._now_ns())

    def on_execution_lost(self) -> None:
        """Refuse to open until Execution is back."""
        self._risk_state.execution_connected = False

    def _on_order(self, wire: o.Order, sequence: int) -> None:
        self._execution.answered(wire.intent_id)
        order = order_from_wire(wire)
        self._risk_state.on_order(order, sequence)
        self._phases.post_to(order.phase_id, b.SubmitResponse(order=wire))

    def _on_fill(self, wire: o.Fill, sequence: int) -> None:
        self._execution.answered(wire.intent_id)
        fill = fill_from_wire(wire)
        if self._updater.on_fill(fill, sequence):
            self._phases.post_to(fill.phase_id, b.SubmitResponse(fill=wire))
            self._phases.post_to(fill.phase_id, positions_message(self._mirror.shares_of_phase(fill.phase_id)))

    def _on_refusal(self, refusal: e.PlaceRefusal) -> None:
        self._execution.answered(refusal.intent_id)
        self._risk_state.reservations.release(refusal.intent_id)
        self._refusals.labels(Reason(refusal.reason).name).inc()
        self._log.warning("execution refused", intent_id=refusal.intent_id, message=refusal.message)

    def _on_digest(self, found: e.MirrorDigest) -> None:
        """Compare the mirror with Execution's account; where they differ, nothing opens until a fresh one has come."""
        lines = self._mirror.lines()
        if self._risk_state.mirror_problem or digest(lines) == found.sha256:
            return
        self._risk_state.mirror_problem = f"mirror=differs from Execution's account at sequence {found.sequence}"
        self._mirror_drifts.inc()
        self._log.error("drift: Brain's view is not Execution's", sequence=found.sequence, view=lines)
        self._execution.report_mirror_drift(found.sequence, lines)

    def _on_account(self, account: e.AccountState) -> None:
        risk_state = self._risk_state
        if not risk_state.lockstep:
            self._drop_expired()
        self._updater.on_account(_account_report(account), frozenset(self._execution.pending))
        for refusal in account.refused:
            self._on_refusal(refusal)
        for order in account.answered:
            self._phases.post_to(order.phase_id, b.SubmitResponse(order=order))
        risk_state.execution_connected = True
        self._decisions.journalled = frozenset(account.recent_intent_ids)
        own = risk_state.limits.policy_hash
        if account.policy_hash != own:
            self._log.error("policy hashes differ", brain=own, execution=account.policy_hash)
        if self._latch.posture is Posture.FLATTEN:
            # Execution may have done a part of it and does the rest; where nothing is left it answers at once.
            self._execution.post_act(Posture.FLATTEN, self._latch.by, self._latch.reason)
        elif account.HasField("posture"):
            self._follow_latch(account.posture.latch, account.posture.reason)
        self._controller.evaluate(self._now_ns())
        for session in self._phases.by_id.values():
            session.post(positions_message(self._mirror.shares_of_phase(session.phase_id)))

    def _on_act(self, act: e.PostureActResult) -> None:
        flattening = self._latch.posture is Posture.FLATTEN
        if flattening and act.act_id == self._execution.flatten_act and act.latch == Posture.HALTED.value:
            self._latch.finish_flatten()
            self._controller.update_posture()
        elif not flattening:
            self._follow_latch(act.latch, act.message)

    def _follow_latch(self, number: int, reason: str) -> None:
        """Lower Brain's latch to Execution's, which never raises it."""
        if number and Posture(number) < self._latch.posture:
            self._latch.lower(Posture(number), "execution", reason)
            self._controller.update_posture()
            if self._latch.posture is Posture.FLATTEN:
                # Requested by Brain too: the second answer to its own act reports the account flat.
                self._execution.post_act(Posture.FLATTEN, self._latch.by, self._latch.reason)

    def _drop_expired(self) -> None:
        """Drop entries that could not be sent within their time to live."""
        now_ns = self._now_ns()
        for order in list(self._execution.pending.values()):
            if (
                order.position_effect == b.POSITION_EFFECT_OPENING
                and order.ttl_ns
                and now_ns > order.event_time_ns + order.ttl_ns
            ):
                self._execution.answered(order.intent_id)
                self._risk_state.reservations.release(order.intent_id)
                self._log.warning("entry not sent: its time to live ended", intent_id=order.intent_id)


def _account_report(account: e.AccountState) -> AccountReport:
    return AccountReport(
        sequence=account.sequence,
        working=[order_from_wire(wire) for wire in account.working],
        positions=[position_from_wire(wire) for wire in account.positions],
        open_trips=[open_trip_from_wire(wire) for wire in account.open_trips],
        terms={wire.intent_id: _terms(wire) for wire in account.entry_terms},
        results=trip_results_from_wire(account.setup_results, account.day_results),
        round_trips=[round_trip_from_wire(wire) for wire in account.round_trips],
        equity=equity_from_wire(account.equity) if account.HasField("equity") else None,
        truth=truth_from_wire(account.truth) if account.HasField("truth") else None,
        reconciled=account.reconciled,
        policy_hash=account.policy_hash,
    )


def _terms(wire: e.EntryTerms) -> Terms:
    return Terms(
        stop_price=read_decimal(wire.stop_price, "entry_terms.stop_price"),
        target_price=read_decimal(wire.target_price, "entry_terms.target_price"),
        setup=wire.setup,
    )
