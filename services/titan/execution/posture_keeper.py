"""Execution's latch, the posture that Brain reports, and whether Brain is silent."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from titan.domain.enums import DriftClass, Posture, RiskLevel
from titan.domain.journal_records import LatchChange
from titan.domain.posture import PostureInputs, lowers_latch
from titan.domain.reasons import Reason
from titan.domain.recovery import JournalMemory, start_doubts
from titan.domain.time import NS_PER_S
from titan.domain.truth import Drift
from titan.durable.journal.journal import RecoveryReport
from titan.durable.latch import Latch, LatchRefused, LatchUnavailable
from titan.execution.journalled_account import JournalledAccount
from titan.runtime.process import StartError
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2


def lower_for_cut(latch: Latch, report: RecoveryReport) -> None:
    """Lower the latch to CLOSE_ONLY for a journal that was cut, before its next segment hides that.

    Raises
    ------
    StartError
        When the latch cannot be stored: a restart would arm on a journal without its end.
    """
    if not report.cut:
        return
    try:
        latch.tighten(Posture.CLOSE_ONLY, "execution", report.message)
    except LatchUnavailable as error:
        raise StartError(f"{report.message}; {error.reason}") from error


class Outcome(msgspec.Struct, frozen=True):
    """The result of a posture act."""

    done: bool
    reason: Reason = Reason.OK
    message: str = ""


class PostureKeeper:
    """Keeps the latch and Brain's reports, and applies :mod:`titan.domain.posture` to them.

    Attributes
    ----------
    brain_policy_hash
        The hash of the policy that Brain enforces; empty before its hello.
    venue_problem
        Why the venue allows CLOSE_ONLY at most; empty where it does not.
    """

    def __init__(
        self,
        latch: Latch,
        store: JournalledAccount,
        policy_hash: str,
        silence_s: float,
        metrics: Metrics,
        log: Log,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.latch = latch
        self.brain_policy_hash = ""
        self.venue_problem = ""
        self._store = store
        self._policy_hash = policy_hash
        self._silence_ns = int(silence_s * NS_PER_S)
        self._silence_s = self._silence_ns // NS_PER_S
        self._monotonic_ns = monotonic_ns
        self._started_ns = monotonic_ns()
        self._contact_ns: int | None = None
        self._brain_posture: Posture | None = None
        self._brain_level = RiskLevel.NORMAL
        self._brain_reason = ""
        self._brain_ceiling = Posture.ARMED
        self._log = log
        gauge = metrics.gauge("titan_posture", "Posture in force: 1 FLATTEN, 2 HALTED, 3 CLOSE_ONLY, 4 ARMED.")
        gauge.set_function(lambda: float(self.in_force))

    def start(self, report: RecoveryReport, memory: JournalMemory) -> None:
        """Lower the latch for what the recovered journal contradicts, and record that it was cut."""
        latch = self.latch
        if report.cut:
            self._log.error("journal was cut; only a person arms", report=report.message)
            self._store.write(LatchChange(posture=latch.posture, by="execution", reason=report.message))
        for doubt in start_doubts(memory, latch.posture, latch.never_set, self._store.term):
            self._log.error("start with a contradiction; only a person arms", reason=doubt.message)
            self.tighten(doubt.posture, "execution", doubt.message)

    @property
    def inputs(self) -> PostureInputs:
        """Everything that the posture in force depends on, as of now."""
        latch = self.latch
        return PostureInputs(
            latch=latch.posture,
            latch_by=latch.by,
            latch_reason=latch.reason,
            brain=self._brain_posture,
            brain_reason=self._brain_reason,
            brain_silent=self.brain_silent,
            silence_s=self._silence_s,
            venue_problem=self.venue_problem,
        )

    @property
    def in_force(self) -> Posture:
        """The posture in force; see :attr:`PostureInputs.in_force`."""
        return self.inputs.in_force

    @property
    def cause(self) -> str:
        """The input that holds the posture down, in words."""
        return self.inputs.cause

    @property
    def brain_silent(self) -> bool:
        """Whether no message of Brain has arrived for too long, on the machine's clock."""
        return self._contact_ns is None or self._monotonic_ns() - self._contact_ns > self._silence_ns

    @property
    def brain_absent(self) -> bool:
        """Whether no Brain was heard for the silence time, and this process has listened for so long."""
        heard_ns = self._started_ns if self._contact_ns is None else self._contact_ns
        return self._monotonic_ns() - heard_ns > self._silence_ns

    def note_contact(self) -> None:
        """Note that a message of Brain has arrived."""
        self._contact_ns = self._monotonic_ns()

    def receive_heartbeat(self, state: brain_pb2.PostureState) -> None:
        """Take the posture that Brain reports; its FLATTEN (EMERGENCY) lowers the latch too."""
        self.note_contact()
        self._brain_posture = Posture(state.in_force) if state.in_force else None
        self._brain_level = RiskLevel(state.risk_level) if state.risk_level else RiskLevel.NORMAL
        self._brain_ceiling = Posture(state.ceiling) if state.ceiling else Posture.ARMED
        self._brain_reason = state.reason
        if lowers_latch(self.latch.posture, self._brain_posture):
            self.tighten(Posture.FLATTEN, "brain", state.reason or "Brain reported FLATTEN")

    def policy_drift(self) -> Drift | None:
        """The drift for a Brain that enforces another policy, or None."""
        brain = self.brain_policy_hash
        if not brain or brain == self._policy_hash:
            return None
        return Drift(drift_class=DriftClass.POLICY_HASH, symbol="", ours=self._policy_hash, venues=brain)

    def tighten(self, posture: Posture, by: str, reason: str) -> Outcome:
        """Lower the latch, at once; never raise it."""
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
        # After a power cut a latch above the journal's last act would be taken for an older file.
        self._store.sync()
        self._log.warning("posture raised", posture=posture.name, by=by, reason=reason)
        return Outcome(True, message=f"latch is {self.latch.posture.name}")

    def finish_flatten(self, message: str) -> None:
        """Move a latch at FLATTEN to HALTED once everything is closed, which is no loosening."""
        if self.latch.posture is not Posture.FLATTEN:
            return
        try:
            self.latch.finish_flatten(message)
        except LatchUnavailable as error:
            self._log.error("latch stays at FLATTEN", reason=error.reason)
            return
        self._store.write(LatchChange(posture=Posture.HALTED, by=self.latch.by, reason=self.latch.reason))
        self._log.warning("flatten finished", result=message)

    def to_wire(self) -> brain_pb2.PostureState:
        """Posture at Execution, as a message."""
        inputs = self.inputs
        return brain_pb2.PostureState(
            in_force=int(inputs.in_force),  # type: ignore[arg-type]
            ceiling=int(self._brain_ceiling),  # type: ignore[arg-type]
            latch=int(self.latch.posture),  # type: ignore[arg-type]
            risk_level=int(self._brain_level),  # type: ignore[arg-type]
            reason=inputs.cause,
            by=self.latch.by,
            policy_hash=self._policy_hash,
            term=self._store.term,
            latch_never_set=self.latch.never_set,
        )
