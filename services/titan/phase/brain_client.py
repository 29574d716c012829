"""The phase's side of its stream with Brain: intents out; decisions, budgets, posture, fills and positions in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

import msgspec

from titan.domain.budgets import Budget
from titan.domain.decisions import Decision
from titan.domain.enums import BudgetState, Posture
from titan.domain.ids import uuid7
from titan.domain.intents import Intent
from titan.domain.posture import PostureState
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import BRAIN_SUBMIT
from titan.runtime.rpc.link import Link
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.watermark import Watermark
from titan.strategies.base import NOTHING_PERMITTED, DecisionNote, Holding, IntentDraft, Permission, Strategy
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.wire.brain import budget_from_wire, decision_from_wire, intent_to_wire, posture_from_wire
from titan.wire.orders import fill_from_wire, order_from_wire, position_from_wire


class Undecided(msgspec.Struct, frozen=True):
    """An intent that Brain has not answered; ``posted_ns`` on the monotonic clock."""

    intent: Intent
    reference: int
    posted_ns: int


class BrainClient:
    """Keeps Brain's latest messages, and sends undecided intents again on each new stream.

    Handlers run on the event loop in the order of the stream. ``on_defect`` is called when one of them fails: a phase
    that misread its positions or budget must not go on. ``on_fills`` is called after each fill.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        policy_hash: str,
        strategy: Strategy,
        metrics: Metrics,
        log: Log,
        on_defect: Callable[[str], None],
        on_fills: Callable[[], None],
    ) -> None:
        self.phase_id = settings.role
        self.policy_hash = policy_hash
        self.brain_marker = Watermark()
        self.posture: PostureState | None = None
        self.budget: Budget | None = None
        self.last_decision: Decision | None = None
        self.permission = NOTHING_PERMITTED
        # Whether the positions have arrived on this stream.
        self.positions_received = False
        self.undecided: dict[str, Undecided] = {}
        self._strategy = strategy
        self._log = log
        self._on_defect = on_defect
        self._on_fills = on_fills
        self._streaming = False
        self._own_marker: c.StepMarker | None = None
        self._link: Link[b.SubmitRequest, b.SubmitResponse] = Link(
            RpcChannel(settings, "brain"), BRAIN_SUBMIT, self._hello, self._receive, self._lost, log
        )
        self._intents = metrics.counter("titan_phase_intents", "Intents posted to Brain.", ["setup"])
        self._decisions = metrics.counter("titan_phase_decisions", "Decisions received from Brain.", ["reason"])
        self._resent = metrics.counter("titan_phase_intents_resent", "Undecided intents posted again.")
        self._fills = metrics.counter("titan_phase_fills", "Own fills.", ["leg"])
        self._latency = metrics.histogram(
            "titan_phase_event_to_intent_seconds", "From the start of a batch's processing to posting an intent of it."
        )

    @property
    def connected(self) -> bool:
        """Return whether the stream is open."""
        return self._link.connected

    def start(self) -> None:
        """Connect, and reconnect until stopped."""
        self._link.start()

    async def stop(self) -> None:
        """Send what was posted, then end the stream."""
        await self._link.stop()

    def submit(self, drafts: Sequence[IntentDraft], queued_ns: int, started_ns: int) -> None:
        """Post drafts as intents.

        Parameters
        ----------
        queued_ns
            Time that the batch waited in marketdata.
        started_ns
            Monotonic time at which this process began to process the batch.
        """
        for draft in drafts:
            intent_id = uuid7(draft.event_time_ns, secrets.randbits(74))
            posted_ns = time.monotonic_ns()
            hops = (("marketdata", queued_ns), (self.phase_id, posted_ns - started_ns))
            intent = draft.to_intent(intent_id, self.phase_id, self.policy_hash, hops)
            self.undecided[intent_id] = Undecided(intent, draft.reference, posted_ns)
            # While the stream is down nothing is sent: _hello sends the undecided intents.
            self._link.post(b.SubmitRequest(intent=intent_to_wire(intent)))
            self._latency.observe((posted_ns - started_ns) / 1e9)
            self._intents.labels(draft.setup).inc()
            self._log.info(
                "intent",
                intent_id=intent_id,
                setup=draft.setup,
                side=draft.side.name,
                score=draft.setup_score,
                evidence=draft.evidence,
            )

    def mark(self, step: int, market_time_ns: int) -> None:
        """Send the marker of a step of which everything has been posted."""
        self._own_marker = c.StepMarker(step=step, market_time_ns=market_time_ns)
        self._link.post(b.SubmitRequest(marker=self._own_marker))

    def _hello(self) -> list[b.SubmitRequest]:
        self._streaming = True
        hello = b.PhaseHello(phase_id=self.phase_id, policy_hash=self.policy_hash, strategy=self._strategy.name)
        messages = [b.SubmitRequest(hello=hello)]
        now_ns = time.monotonic_ns()
        for waiting in self.undecided.values():
            # The time without a stream counts towards the intent's age.
            hops = (*waiting.intent.hops, ("brain-away", now_ns - waiting.posted_ns))
            messages.append(b.SubmitRequest(intent=intent_to_wire(msgspec.structs.replace(waiting.intent, hops=hops))))
            self._resent.inc()
        if self._own_marker is not None:
            messages.append(b.SubmitRequest(marker=self._own_marker))
        self._update_permission()
        return messages

    def _lost(self, _reason: str) -> None:
        # The last posture and budget may have been withdrawn since.
        self._streaming = self.positions_received = False
        self.posture = None
        self.budget = None
        self._update_permission()

    def _receive(self, message: b.SubmitResponse) -> None:
        try:
            self._handle(message)
        except Exception as error:
            self._on_defect(f"a message of Brain could not be processed: {error}")
            raise

    def _handle(self, message: b.SubmitResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "marker":
            self.brain_marker.advance(message.marker.step)
        elif kind == "decision":
            self._on_decision(decision_from_wire(message.decision))
        elif kind == "budget":
            self.budget = budget_from_wire(message.budget)
            self._update_permission()
        elif kind == "posture":
            self.posture = posture_from_wire(message.posture)
            self._update_permission()
        elif kind == "order":
            self._strategy.on_order(order_from_wire(message.order))
        elif kind == "fill":
            fill = fill_from_wire(message.fill)
            self._fills.labels(fill.order_role.name.lower()).inc()
            self._strategy.on_fill(fill)
            self._on_fills()
        elif kind == "positions":
            self.positions_received = True
            self._strategy.on_positions(self._holdings(message.positions))
        else:
            known = "posture, decision, budget, order, fill, marker, positions"
            raise ValueError(f"message of Brain: {kind!r} is not known; allowed are {known}")

    def _on_decision(self, decision: Decision) -> None:
        self.last_decision = decision
        self._decisions.labels(decision.reason.name).inc()
        waiting = self.undecided.pop(decision.intent_id, None)
        if waiting is None:
            # Answered twice because both sides sent it again, or sent by an earlier process.
            return
        log = self._log.info if decision.approved else self._log.warning
        log("decision", intent_id=decision.intent_id, approved=decision.approved, message=decision.message)
        self._strategy.on_decision(
            DecisionNote(
                reference=waiting.reference,
                approved=decision.approved,
                reason=decision.reason,
                message=decision.message,
                quantity=decision.quantity,
            )
        )

    def _holdings(self, message: b.PhasePositions) -> Sequence[Holding]:
        return [
            Holding(
                symbol=position.symbol,
                quantity=share.quantity,
                average_entry_price=share.average_entry_price,
                opened_ns=position.opened_ns,
                intent_id=share.intent_id,
            )
            for position in map(position_from_wire, message.positions)
            for share in position.shares
            if share.phase_id == self.phase_id
        ]

    def _update_permission(self) -> None:
        self.permission = permission(self._streaming, self.posture, self.budget)
        self._strategy.permit(self.permission)


def permission(streaming: bool, posture: PostureState | None, budget: Budget | None) -> Permission:
    """Derive what a phase may propose from the posture in force and its budget.

    HALTED stops opening, and exits go on; in FLATTEN closing is Execution's own work. Under CLOSE_ONLY the phase goes
    on proposing, and Brain refuses with its reasons, so that they can be seen.
    """
    if not streaming or posture is None:
        return Permission(0, False, "no stream to Brain" if not streaming else "no posture from Brain yet")
    if posture.in_force <= Posture.HALTED:
        closing = posture.in_force is Posture.HALTED
        return Permission(0, closing, f"posture {posture.in_force.name}: {posture.reason}")
    if budget is None:
        return Permission(0, True, "no budget from Brain yet")
    if budget.state is BudgetState.HALTED:
        return Permission(0, True, f"budget HALTED: {budget.reason}")
    return Permission(budget.expires_at_ns, True, f"budget {budget.budget_id} has expired")
