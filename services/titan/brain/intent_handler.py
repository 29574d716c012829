"""The order path through Brain: decode an intent, decide, post the order, in one synchronous handler.

What an order does not need follows it a millisecond later: to write the decision out, to answer the phase, to count and
to store. Until then Execution has the processor, where the two share one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from titan.brain.decision_counts import DecisionCounts
from titan.brain.phase_sessions import PhaseSession
from titan.brain.recent_decisions import RecentDecisions
from titan.domain.decisions import Decision
from titan.domain.enums import PositionEffect, Verdict
from titan.domain.numbers import format_decimal
from titan.risk.decisions import IntentDecisions
from titan.risk.engine import Assessment
from titan.risk.guards.table import GUARDS
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.wire.brain import MAX_ID_LENGTH, InvalidIntentError, decision_to_wire, intent_from_wire
from titan.wire.fields import enum_number

# The first order of an intent; Execution counts on from here when it must send a reducing one again.
_FIRST_ATTEMPT = 1
# Characters of an unreadable symbol in the decision's record.
_SYMBOL_LENGTH = 40
# The shortest time of the event loop's timers.
_REST_S = 0.001


class IntentHandler:
    """Decides each intent once. ``place`` sends an order and ``save`` stores a decision, both without waiting.

    Who handles a report of Execution calls :meth:`finish` first: a phase hears of a decision before its order's events.
    """

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
        # An order on its way whose decision is not written out: with its intent's session, and Brain's duration in ns.
        self._unfinished: tuple[Assessment, PhaseSession, int] | None = None
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
        """Decide one intent; the order of an approved one is posted before the phase's answer."""
        self.finish()
        known = self.recent.get(message.intent_id)
        if known is not None:
            self._repeated_counter.inc()
            session.post(b.SubmitResponse(decision=known))
            return
        now_ns = self._now_ns()
        try:
            intent = intent_from_wire(message)
        except InvalidIntentError as error:
            unreadable = self._decisions.engine.unreadable(
                message.intent_id[:MAX_ID_LENGTH],
                session.phase_id,
                message.symbol[:_SYMBOL_LENGTH],
                str(error),
                now_ns,
            )
            self._answer(unreadable, session, time.monotonic_ns() - received_ns)
            return
        assessed = self._decisions.consider(intent, session.phase_id, now_ns)
        if isinstance(assessed, Assessment):
            if not assessed.rejected:
                order = _place_order(message, assessed)
                brain_ns = time.monotonic_ns() - received_ns
                order.hops.add(name="brain", duration_ns=brain_ns)
                self._place(order)
                self._decisions.reserve(intent, assessed)
                self._unfinished = assessed, session, brain_ns
                self._duration.observe((time.monotonic_ns() - received_ns) / 1e9)
                if self._decisions.lockstep:
                    self.finish()
                else:
                    asyncio.get_running_loop().call_later(_REST_S, self.finish)
                return
            assessed = self._decisions.engine.record(assessed)
        self._answer(assessed, session, time.monotonic_ns() - received_ns)
        self._duration.observe((time.monotonic_ns() - received_ns) / 1e9)

    def finish(self) -> None:
        """Write out the decision of an order that was posted, and answer its phase."""
        if self._unfinished is not None:
            assessed, session, brain_ns = self._unfinished
            self._unfinished = None
            self._answer(self._decisions.engine.record(assessed), session, brain_ns)

    def _answer(self, decision: Decision, session: PhaseSession, brain_ns: int) -> None:
        wire = decision_to_wire(decision)
        wire.hops.add(name="brain", duration_ns=brain_ns)
        session.post(b.SubmitResponse(decision=wire))
        self._remember(wire)
        # The rest can wait: the answer is on its way when the loop gets to it.
        asyncio.get_running_loop().call_soon(self._record, decision, wire, session)

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


def _place_order(intent: b.Intent, approved: Assessment) -> e.PlaceOrder:
    """Build the order of an approved intent: Brain's size, in the way that the phase requested."""
    order = e.PlaceOrder(
        intent_id=intent.intent_id,
        phase_id=intent.phase_id,
        attempt=_FIRST_ATTEMPT,
        position_effect=enum_number(approved.position_effect),
        symbol=intent.symbol,
        side=intent.side,
        order_type=intent.order_type,
        time_in_force=intent.time_in_force,
        quantity=format_decimal(approved.quantity),
        limit_price=intent.limit_price,
        policy_hash=approved.evaluation.limits.policy_hash,
        term=approved.term,
        event_time_ns=intent.event_time_ns,
        ttl_ns=intent.ttl_ns,
        hops=intent.hops,
        setup=intent.setup,
        explain=approved.explain(),
    )
    if approved.position_effect is PositionEffect.OPENING:
        order.stop_price = intent.stop_price
        order.target_price = intent.target_price
    return order
