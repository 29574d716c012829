"""The order path through Brain: decode an intent, decide, post the order, in one synchronous handler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from titan.brain.decision_counts import DecisionCounts
from titan.brain.phase_sessions import PhaseSession
from titan.brain.recent_decisions import RecentDecisions
from titan.domain.decisions import Decision
from titan.domain.enums import Verdict
from titan.domain.intents import Intent
from titan.domain.numbers import format_decimal
from titan.risk.decisions import IntentDecisions, needs_order
from titan.risk.guards.table import GUARDS
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.wire.brain import MAX_ID_LENGTH, InvalidIntentError, decision_to_wire, intent_from_wire

# The first order of an intent; Execution counts on from here when it must send a reducing one again.
_FIRST_ATTEMPT = 1
# Characters of an unreadable symbol in the decision's record.
_SYMBOL_LENGTH = 40


class IntentHandler:
    """Decides each intent once. ``place`` sends an order and ``save`` stores a decision, both without waiting."""

    def __init__(
        self,
        decisions: IntentDecisions,
        now_ns: Callable[[], int],
        place: Callable[[e.PlaceOrder], None],
        save: Callable[[b.Decision], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.recent = RecentDecisions()
        self.counts = DecisionCounts()
        self.last: b.Decision | None = None
        self._decisions = decisions
        self._now_ns = now_ns
        self._place = place
        self._save = save
        self._log = log
        self._intent_counter = metrics.counter("titan_brain_intents", "Intents received.", ["phase"])
        self._repeated_counter = metrics.counter(
            "titan_brain_intents_repeated", "Intents answered with an earlier decision."
        )
        self._decision_counter = metrics.counter("titan_brain_decisions", "Decisions, by reason.", ["reason"])
        verdicts = metrics.counter("titan_brain_guard_verdicts", "Verdicts of each guard.", ["guard", "verdict"])
        self._duration = metrics.histogram("titan_brain_decide_seconds", "From an intent's receipt to its answer.")
        # Made before the first intent, which would otherwise pay for them.
        self._verdict_counters = {
            (guard.number, verdict): verdicts.labels(guard.name, verdict.name.lower())
            for guard in GUARDS
            for verdict in Verdict
        }

    def restore(self, decisions: Iterable[b.Decision]) -> None:
        """Take over decisions made before a restart, oldest first; those at hand are newer."""
        since = self.recent.newest()
        self.recent.clear()
        self._decisions.forget_openings()
        for decision in (*decisions, *reversed(since)):
            # The first decision on an intent counts.
            if decision.intent_id not in self.recent:
                self._remember(decision)

    def handle(self, message: b.Intent, session: PhaseSession, received_ns: int) -> None:
        """Answer one intent; the order of an approved one is posted before the phase's answer."""
        known = self.recent.get(message.intent_id)
        if known is not None:
            self._repeated_counter.inc()
            session.post(b.SubmitResponse(decision=known))
            return
        now_ns = self._now_ns()
        intent: Intent | None = None
        try:
            intent = intent_from_wire(message)
            decision = self._decisions.decide(intent, session.phase_id, now_ns)
        except InvalidIntentError as error:
            decision = self._decisions.engine.unreadable(
                message.intent_id[:MAX_ID_LENGTH],
                session.phase_id,
                message.symbol[:_SYMBOL_LENGTH],
                str(error),
                now_ns,
            )
        wire = decision_to_wire(decision)
        if intent is not None and needs_order(decision):
            order = _place_order(message, wire)
            wire.hops.add(name="brain", duration_ns=time.monotonic_ns() - received_ns)
            order.hops.extend(wire.hops)
            order.decision.CopyFrom(wire)
            self._place(order)
            self._decisions.reserve(intent, decision)
        else:
            wire.hops.add(name="brain", duration_ns=time.monotonic_ns() - received_ns)
        session.post(b.SubmitResponse(decision=wire))
        self._duration.observe((time.monotonic_ns() - received_ns) / 1e9)
        # The rest can wait: the order is on its way when the loop gets to it.
        asyncio.get_running_loop().call_soon(self._record, decision, wire, session)
        self._remember(wire)

    def _remember(self, wire: b.Decision) -> None:
        if not wire.intent_id:
            return
        self.recent.add(wire)
        if wire.approved and wire.action == b.ACTION_OPEN:
            self._decisions.remember_opening(wire.phase_id, wire.setup, wire.symbol, wire.side, wire.event_time_ns)

    def _record(self, decision: Decision, wire: b.Decision, session: PhaseSession) -> None:
        """Count, store and log a decision that has been sent."""
        self.last = wire
        self.counts.add(decision.phase_id, decision.approved, decision.reason)
        self._intent_counter.labels(session.phase_id).inc()
        self._decision_counter.labels(decision.reason.name).inc()
        for guard in decision.guards:
            self._verdict_counters[guard.number, guard.verdict].inc()
        if decision.intent_id:
            self._save(wire)
        self._log.info(
            "decision",
            intent_id=decision.intent_id,
            phase_id=session.phase_id,
            approved=decision.approved,
            position_effect=decision.position_effect.name,
            message=decision.message or f"quantity {format_decimal(decision.quantity)}",
        )


def _place_order(intent: b.Intent, decision: b.Decision) -> e.PlaceOrder:
    """Build the order of an approved intent: Brain's size, in the way that the phase requested."""
    order = e.PlaceOrder(
        intent_id=intent.intent_id,
        phase_id=intent.phase_id,
        attempt=_FIRST_ATTEMPT,
        position_effect=decision.position_effect,
        symbol=intent.symbol,
        side=intent.side,
        order_type=intent.order_type,
        time_in_force=intent.time_in_force,
        quantity=decision.quantity,
        limit_price=intent.limit_price,
        policy_hash=decision.policy_hash,
        term=decision.term,
        event_time_ns=intent.event_time_ns,
        ttl_ns=intent.ttl_ns,
    )
    if decision.position_effect == b.POSITION_EFFECT_OPENING:
        order.stop_price = intent.stop_price
        order.target_price = intent.target_price
    return order
