"""Postures: the one in force with its sources, the rule at Execution, and the end of FLATTEN. Pure."""

from __future__ import annotations

import msgspec

from titan.domain.enums import Posture, RiskLevel
from titan.domain.reasons import Reason, Rejection

# The posture of a finished FLATTEN: the account is closed, and nothing that FLATTEN forbade is allowed again.
FLATTENED = Posture.HALTED


def resolve_flatten(posture: Posture, finished: bool) -> Posture:
    """Return ``posture``, or HALTED for a ``finished`` FLATTEN, which must not begin again."""
    return FLATTENED if finished and posture is Posture.FLATTEN else posture


def latch_cause(latch: Posture, by: str, reason: str) -> str:
    """Describe a latch that holds the posture down; the same words at Brain and at Execution."""
    return f"latch {latch.name} by {by or 'nobody'}: {reason or 'no reason'}"


class PostureInputs(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything that the posture in force at Execution depends on, at one moment.

    ``brain`` is None until Brain has reported a posture. ``silence_s`` is the setting after which Brain counts as
    silent, for messages. ``venue_problem`` is why the venue allows CLOSE_ONLY at most; empty where it does not.
    """

    latch: Posture
    latch_by: str = ""
    latch_reason: str = ""
    brain: Posture | None = None
    brain_reason: str = ""
    brain_silent: bool = True
    silence_s: int = 0
    venue_problem: str = ""

    @property
    def from_brain(self) -> Posture:
        """The posture Brain reported; CLOSE_ONLY while Brain is silent or has reported none."""
        return Posture.CLOSE_ONLY if self.brain_silent or self.brain is None else self.brain

    @property
    def in_force(self) -> Posture:
        """The lowest of the local latch, Brain's posture, and CLOSE_ONLY while Brain is silent or the venue fails."""
        lowest = min(self.latch, self.from_brain)
        return min(lowest, Posture.CLOSE_ONLY) if self.venue_problem else lowest

    @property
    def cause(self) -> str:
        """The input that holds the posture down, in words."""
        if self.venue_problem and min(self.latch, self.from_brain) is Posture.ARMED:
            return self.venue_problem
        if self.latch <= self.from_brain:
            return latch_cause(self.latch, self.latch_by, self.latch_reason)
        if self.brain_silent:
            return "Brain is silent"
        if self.brain is None:
            return "Brain has not reported its posture yet"
        return f"Brain reported {self.brain.name}: {self.brain_reason or 'no reason'}"

    def opening_refusal(self) -> Rejection | None:
        """The reason for which opening is refused now, or None."""
        in_force = self.in_force
        if in_force is Posture.ARMED:
            return None
        if self.brain_silent and self.latch is Posture.ARMED:
            return Rejection.of(Reason.BRAIN_AWAY, f"no message from Brain for more than {self.silence_s} s")
        return Rejection.of(Reason.POSTURE, f"in force={in_force.name}, needed=ARMED, because {self.cause}")


def lowers_latch(latch: Posture, brain: Posture | None) -> bool:
    """Whether the posture Brain reported lowers the latch to FLATTEN.

    A latch at HALTED stays: its FLATTEN has finished, while Brain still reports FLATTEN.
    """
    return brain is Posture.FLATTEN and latch > FLATTENED


class PostureState(msgspec.Struct, frozen=True, kw_only=True):
    """The posture in force and its three sources; ``by`` is who moved the latch last."""

    in_force: Posture
    ceiling: Posture
    latch: Posture
    risk_level: RiskLevel
    reason: str
    by: str
    policy_hash: str
    term: int
    latch_never_set: bool
