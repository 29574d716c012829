"""The posture in force at Execution: the lower of its own latch and what Brain says; a silent Brain is CLOSE_ONLY."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from titan.domain.kinds import Posture, RiskLevel
from titan.domain.reasons import Reason
from titan.domain.records import LatchChange
from titan.durable.latch import Latch, LatchRefused, LatchUnavailable
from titan.execution.account_store import AccountStore
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2

SECOND_NS = 1_000_000_000


class Outcome(msgspec.Struct, frozen=True):
    """What became of a posture act."""

    done: bool
    reason: Reason = Reason.OK
    message: str = ""


class PostureKeeper:
    """Own latch, Brain's posture, and whether Brain lives.

    Attributes
    ----------
    brain_connected
        Whether Brain's stream is up.
    brain_policy_hash
        What Brain says it enforces; empty before its hello.
    """

    def __init__(
        self,
        latch: Latch,
        store: AccountStore,
        silence_s: float,
        metrics: Metrics,
        log: Log,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.latch = latch
        self.brain_connected = False
        self.brain_policy_hash = ""
        self._store = store
        self._silence_ns = int(silence_s * SECOND_NS)
        self._monotonic_ns = monotonic_ns
        self._heard_ns: int | None = None
        self._brain_posture: Posture | None = None
        self._brain_level = RiskLevel.NORMAL
        self._brain_reason = ""
        self._brain_ceiling = Posture.ARMED
        self._log = log
        gauge = metrics.gauge("titan_posture", "Posture in force: 1 FLATTEN, 2 HALTED, 3 CLOSE_ONLY, 4 ARMED.")
        gauge.set_function(lambda: float(self.in_force))

    @property
    def in_force(self) -> Posture:
        """The lowest of latch, Brain's word and Brain's silence."""
        return min(self.latch.posture, self._brain_word())

    @property
    def brain_silent(self) -> bool:
        """Whether Brain has not been heard for too long, on the machine's clock."""
        return self._heard_ns is None or self._monotonic_ns() - self._heard_ns > self._silence_ns

    def refusal(self) -> tuple[Reason, str] | None:
        """Why opening is refused now, or None."""
        posture = self.in_force
        if posture is Posture.ARMED:
            return None
        if self.brain_silent and self.latch.posture is Posture.ARMED:
            return Reason.BRAIN_AWAY, f"BRAIN_AWAY: not heard for more than {self._silence_ns // SECOND_NS} s"
        return Reason.POSTURE, f"POSTURE: in force={posture.name}, needed=ARMED, because {self.why()}"

    def why(self) -> str:
        """What holds the posture down, in words."""
        if self.latch.posture <= self._brain_word():
            return f"latch {self.latch.posture.name} by {self.latch.by or 'nobody'}: {self.latch.reason or 'no reason'}"
        if self.brain_silent:
            return "Brain is silent"
        if self._brain_posture is None:
            return "Brain has not said its posture yet"
        return f"Brain says {self._brain_posture.name}: {self._brain_reason or 'no reason'}"

    def heard(self) -> None:
        """Brain said something."""
        self._heard_ns = self._monotonic_ns()

    def heartbeat(self, state: brain_pb2.PostureState) -> None:
        """Take Brain's posture; FLATTEN of it (EMERGENCY) takes the latch down too."""
        self.heard()
        self._brain_posture = Posture(state.in_force) if state.in_force else None
        self._brain_level = RiskLevel(state.risk_level) if state.risk_level else RiskLevel.NORMAL
        self._brain_ceiling = Posture(state.ceiling) if state.ceiling else Posture.ARMED
        self._brain_reason = state.reason
        # A flatten that is finished stays HALTED here while Brain's word is still FLATTEN.
        if self._brain_posture is Posture.FLATTEN and self.latch.posture > Posture.HALTED:
            self.tighten(Posture.FLATTEN, "brain", state.reason or "Brain says FLATTEN")

    def brain_lost(self) -> None:
        """Brain's stream ended: its posture must be said again; its silence is measured from its last word."""
        self.brain_connected = False

    def tighten(self, posture: Posture, by: str, reason: str) -> Outcome:
        """Lower the latch, at once; never raises it."""
        try:
            moved = self.latch.tighten(posture, by, reason)
        except LatchUnavailable as error:
            self._log.error("latch lowered in memory only", reason=error.reason)
            moved = True
        if moved:
            self._store.write(LatchChange(posture=self.latch.posture, by=by, reason=reason))
            self._log.warning("posture tightened", posture=self.latch.posture.name, by=by, reason=reason)
        return Outcome(True, message=f"latch is {self.latch.posture.name}")

    def arm(self, posture: Posture, by: str, nonce: str, reason: str, only_if_never_set: bool) -> Outcome:
        """Raise the latch by an act that Brain has checked; one-shot by its nonce."""
        try:
            self.latch.raise_to(posture, by, nonce, reason, only_if_never_set=only_if_never_set)
        except LatchRefused as refused:
            return Outcome(False, refused.reason, refused.message)
        except ValueError as error:
            return Outcome(False, Reason.POSTURE, str(error))
        except LatchUnavailable as error:
            return Outcome(False, Reason.JOURNAL_UNAVAILABLE, error.reason)
        self._store.write(LatchChange(posture=posture, by=by, reason=reason, nonce=nonce))
        self._log.warning("posture raised", posture=posture.name, by=by, reason=reason)
        return Outcome(True, message=f"latch is {self.latch.posture.name}")

    def flatten_finished(self, message: str) -> None:
        """Everything is closed: HALTED, which is no loosening."""
        if self.latch.posture is not Posture.FLATTEN:
            return
        try:
            self.latch.finish_flatten("execution", message)
        except LatchUnavailable as error:
            self._log.error("latch stays at FLATTEN", reason=error.reason)
            return
        self._store.write(LatchChange(posture=Posture.HALTED, by="execution", reason=message))
        self._log.warning("flatten finished", result=message)

    def state(self, policy_hash: str, term: int) -> brain_pb2.PostureState:
        """Posture as Execution sees it, as a message."""
        return brain_pb2.PostureState(
            in_force=int(self.in_force),  # type: ignore[arg-type]
            ceiling=int(self._brain_ceiling),  # type: ignore[arg-type]
            latch=int(self.latch.posture),  # type: ignore[arg-type]
            risk_level=int(self._brain_level),  # type: ignore[arg-type]
            reason=self.why(),
            by=self.latch.by,
            policy_hash=policy_hash,
            term=term,
            latch_never_set=self.latch.never_set,
        )

    def _brain_word(self) -> Posture:
        if self.brain_silent:
            return Posture.CLOSE_ONLY
        return self._brain_posture if self._brain_posture is not None else Posture.CLOSE_ONLY
