"""The order path through Brain: an intent's message in, guards, the order's message out, in one synchronous handler."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from titan.brain.phase_sessions import PhaseSession
from titan.domain.decisions import Decision
from titan.domain.intents import Intent
from titan.domain.kinds import Action, Verdict
from titan.domain.numbers import format_decimal
from titan.domain.reasons import Reason
from titan.risk.engine import RiskEngine, reserve
from titan.risk.guards.checks import GUARDS
from titan.risk.state import RiskState
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import execution_pb2 as e
from titan.wire.brain import MAX_ID_LENGTH, InvalidIntentError, decision_to_wire, intent_from_wire

# Decisions kept to answer an intent that is sent again. Beyond it the order's own idempotency in Execution holds.
_KEPT = 2_000
# The first order of an intent; Execution counts on from here when it must send a reducing one again.
FIRST_ATTEMPT = 1


class IntentHandler:
    """Decides each intent once. ``place`` sends an order, ``save`` stores a decision, both without waiting."""

    def __init__(
        self,
        engine: RiskEngine,
        risk_state: RiskState,
        now_ns: Callable[[], int],
        place: Callable[[e.PlaceOrder], None],
        save: Callable[[b.Decision], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.counts: dict[int, int] = {}
        self.intents = 0
        self.last: b.Decision | None = None
        # Intents that Execution has journalled and whose decisions are not at hand: decided before a restart.
        self.journalled: frozenset[str] = frozenset()
        self._engine = engine
        self._risk_state = risk_state
        self._now_ns = now_ns
        self._place = place
        self._save = save
        self._log = log
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._openings: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._intents = metrics.counter("titan_brain_intents", "Intents received.", ["phase"])
        self._repeated = metrics.counter("titan_brain_intents_repeated", "Intents answered with a decision of before.")
        self._decisions = metrics.counter("titan_brain_decisions", "Decisions, by reason.", ["reason"])
        self._verdicts = metrics.counter("titan_brain_guard_verdicts", "What each guard said.", ["guard", "verdict"])
        self._duration = metrics.histogram("titan_brain_decide_seconds", "From an intent's receipt to its answer.")
        # Made before the first intent: the first one would pay for them.
        self._verdict_of = {
            (guard.number, verdict): self._verdicts.labels(guard.name, verdict.name.lower())
            for guard in GUARDS
            for verdict in Verdict
        }

    def take_up(self, decisions: Iterable[b.Decision]) -> None:
        """Know decisions of an earlier life, oldest first; those at hand are newer."""
        since = self.newest()
        self._known.clear()
        self._openings.clear()
        for decision in (*decisions, *reversed(since)):
            # What was decided first counts.
            if decision.intent_id not in self._known:
                self._remember(decision)

    def newest(self) -> list[b.Decision]:
        """Decisions at hand, newest first."""
        return [b.Decision.FromString(record) for record in reversed(self._known.values())]

    def decide(self, message: b.Intent, seat: PhaseSession, received_ns: int) -> None:
        """Answer one intent; an approved one goes to Execution first, then the phase is told."""
        known = self._known.get(message.intent_id)
        if known is not None:
            self._repeated.inc()
            seat.post(b.SubmitResponse(decision=b.Decision.FromString(known)))
            return
        intent, decision = self._decision(message, seat)
        wire = decision_to_wire(decision)
        if decision.approved and intent is not None:
            order = _place_order(message, wire)
            wire.hops.add(name="brain", duration_ns=time.monotonic_ns() - received_ns)
            order.hops.extend(wire.hops)
            order.decision.CopyFrom(wire)
            self._place(order)
            reserve(self._risk_state, intent, decision)
            self._risk_state.refresh()
        else:
            wire.hops.add(name="brain", duration_ns=time.monotonic_ns() - received_ns)
        seat.post(b.SubmitResponse(decision=wire))
        self._duration.observe((time.monotonic_ns() - received_ns) / 1e9)
        # The rest is for later: the order is on its way when the loop gets to it.
        asyncio.get_running_loop().call_soon(self._afterwards, decision, wire, seat)
        self._remember(wire)

    def _decision(self, message: b.Intent, seat: PhaseSession) -> tuple[Intent | None, Decision]:
        engine, now_ns = self._engine, self._now_ns()
        try:
            intent = intent_from_wire(message)
        except InvalidIntentError as error:
            return None, engine.unreadable(
                message.intent_id[:MAX_ID_LENGTH], seat.phase_id, message.symbol[:40], str(error), now_ns
            )
        if intent.phase_id != seat.phase_id:
            sentence = f"phase_id: {intent.phase_id!r} on the stream of {seat.phase_id}; allowed is its own"
            return intent, engine.invalid(intent, sentence, now_ns)
        if intent.intent_id in self.journalled:
            return None, self._decided_before(intent, now_ns)
        # A phase that was killed and worked on the same event again asks with a new id.
        twin = self._openings.get(_opening_key(intent)) if intent.action is Action.OPEN else None
        return intent, engine.decide(intent, self._risk_state, now_ns, seen=twin is not None)

    def _decided_before(self, intent: Intent, now_ns: int) -> Decision:
        """The answer where Execution has the order and our own record of the decision was lost with a kill."""
        sentence = "Execution has its order; the decision was made before a restart and its record is Execution's"
        decision = self._engine.invalid(intent, sentence, now_ns)
        return replace(decision, approved=True, reason=Reason.DUPLICATE_INTENT, message=sentence)

    def _remember(self, wire: b.Decision) -> None:
        if not wire.intent_id:
            return
        self._known[wire.intent_id] = wire.SerializeToString()
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if wire.approved and wire.position_effect == b.POSITION_EFFECT_OPENING:
            key = (wire.phase_id, wire.setup, wire.symbol, wire.side, wire.event_time_ns)
            self._openings[key] = wire.intent_id
            if len(self._openings) > _KEPT:
                self._openings.popitem(last=False)

    def _afterwards(self, decision: Decision, wire: b.Decision, seat: PhaseSession) -> None:
        self.intents += 1
        seat.intents += 1
        seat.approved += decision.approved
        self.last = wire
        self.counts[decision.reason] = self.counts.get(decision.reason, 0) + 1
        self._intents.labels(seat.phase_id).inc()
        self._decisions.labels(decision.reason.name).inc()
        for guard in decision.guards:
            self._verdict_of[guard.number, guard.verdict].inc()
        if decision.intent_id:
            self._save(wire)
        self._log.info(
            "decision",
            intent_id=decision.intent_id,
            phase_id=seat.phase_id,
            approved=decision.approved,
            position_effect=decision.position_effect.name,
            message=decision.message or f"quantity {format_decimal(decision.quantity)}",
        )


def _opening_key(intent: Intent) -> tuple[object, ...]:
    return intent.phase_id, intent.setup, intent.symbol, intent.side.value, intent.event_time_ns


def _place_order(intent: b.Intent, decision: b.Decision) -> e.PlaceOrder:
    """The order of an approved intent: what Brain sized, in the way that the phase asked for."""
    order = e.PlaceOrder(
        intent_id=intent.intent_id,
        phase_id=intent.phase_id,
        attempt=FIRST_ATTEMPT,
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
