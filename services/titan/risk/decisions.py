"""Decide each intent once: duplicates, guards, and the reservation of an approved one. Source: domain.md section 3.

Synchronous and without I/O: the Brain process and a backtest give it domain records and the market clock's value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec.structs import replace

from titan.domain.decisions import Decision
from titan.domain.enums import Action
from titan.domain.intents import Intent
from titan.domain.reasons import Reason
from titan.risk.engine import Assessment, RiskEngine, reserve
from titan.risk.evaluation import signal_age_ns
from titan.risk.frequency import FrequencyState
from titan.risk.state import RiskState

# Number of openings and of decisions kept to detect a repetition. Beyond it Execution's own idempotency holds.
KEPT_DECISIONS = 2_000

_OpeningKey = tuple[str, str, str, int, int]


class IntentDecisions:
    """The rules between an intent and its decision.

    Attributes
    ----------
    journalled
        Intents that Execution has journalled; the record of a decision made before a restart may be lost.

    Parameters
    ----------
    on_frequency
        Stores the state of thinning and exploring, whenever a decision has changed it.
    """

    def __init__(
        self, engine: RiskEngine, risk_state: RiskState, on_frequency: Callable[[FrequencyState], None]
    ) -> None:
        self.engine = engine
        self.journalled: frozenset[str] = frozenset()
        self._risk_state = risk_state
        self._on_frequency = on_frequency
        self._openings: OrderedDict[_OpeningKey, None] = OrderedDict()

    @property
    def lockstep(self) -> bool:
        """Whether the market clock moves only when every process has done its step."""
        return self._risk_state.lockstep

    def decide(self, intent: Intent, phase_id: str, now_ns: int) -> Decision:
        """Decide on an intent that the phase ``phase_id`` sent, at ``now_ns`` of the market clock; write it out."""
        assessed = self.consider(intent, phase_id, now_ns)
        return self.engine.record(assessed) if isinstance(assessed, Assessment) else assessed

    def consider(self, intent: Intent, phase_id: str, now_ns: int) -> Assessment | Decision:
        """Assess an intent. An approved assessment needs an order; a decision at once never does."""
        if intent.phase_id != phase_id:
            sentence = f"phase_id: {intent.phase_id!r} on the stream of {phase_id}; allowed is its own"
            return self.engine.invalid(intent, sentence, now_ns)
        if intent.intent_id in self.journalled:
            return self._decided_before(intent, now_ns)
        # A phase that was killed and processed the same event again sends a new intent id.
        seen = intent.action is Action.OPEN and _opening_key(intent) in self._openings
        assessed = self.engine.consider(intent, self._risk_state, now_ns, seen=seen)
        if intent.action is Action.OPEN and not seen:
            self._count(intent, assessed, now_ns)
        return assessed

    def reserve(self, intent: Intent, approved: Assessment | Decision) -> None:
        """Count what was approved as if done."""
        reserve(self._risk_state, intent, approved)
        self._risk_state.refresh()

    def remember_opening(self, phase_id: str, setup: str, symbol: str, side: int, event_time_ns: int) -> None:
        """Remember an approved opening: a second one for the same event is a duplicate."""
        self._openings[phase_id, setup, symbol, side, event_time_ns] = None
        if len(self._openings) > KEPT_DECISIONS:
            self._openings.popitem(last=False)

    def forget_openings(self) -> None:
        """Forget all openings, before they are restored in their order."""
        self._openings.clear()

    def _count(self, intent: Intent, assessed: Assessment | Decision, now_ns: int) -> None:
        """Count what later decisions compare: the pipeline's latency, thinned and explored setups."""
        risk_state = self._risk_state
        risk_state.latency.add(now_ns, signal_age_ns(intent, now_ns, risk_state.lockstep))
        frequency = risk_state.frequency
        changed = frequency.set_horizon(intent.phase_id, intent.setup, intent.timeframe_ns)
        if assessed.thinned is not None:
            frequency.set_thinned(intent.phase_id, intent.symbol, assessed.thinned)
            changed = True
        if assessed.explores and assessed.approved:
            frequency.add_explored(intent.phase_id, intent.setup, now_ns)
            changed = True
        if changed:
            self._on_frequency(frequency.state)

    def _decided_before(self, intent: Intent, now_ns: int) -> Decision:
        """Answer an intent whose order Execution has, and whose decision was lost with a kill."""
        sentence = "Execution has its order; the decision was made before a restart and its record is Execution's"
        decision = self.engine.invalid(intent, sentence, now_ns)
        return replace(decision, approved=True, reason=Reason.DUPLICATE_INTENT, message=sentence)


def _opening_key(intent: Intent) -> _OpeningKey:
    return intent.phase_id, intent.setup, intent.symbol, intent.side.value, intent.event_time_ns
