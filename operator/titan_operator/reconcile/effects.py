"""Pure: effects and outcomes of a pass, as values.

The controller executes effects in their order. Objects that pods only mount are written some at a time where they stand
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from titan.domain.kinds import Posture
from titan_operator.api.acts import Act
from titan_operator.cluster.event_types import EventType


@dataclass(frozen=True)
class Tighten:
    """Lower the posture in force at Brain and at Execution, each directly."""

    posture: Posture
    reason: str


@dataclass(frozen=True)
class SetCeiling:
    """Tell Brain its ceiling; ``policy_hash`` is what Brain must be enforcing for it."""

    posture: Posture
    policy_hash: str


@dataclass(frozen=True)
class ForwardAct:
    """Carry a person's act to Brain and Execution; the answer goes into the policy's status."""

    policy: str
    act: Act


@dataclass(frozen=True)
class RecordActResult:
    """Write down what became of an act that needs nobody else."""

    policy: str
    act: Act
    done: bool
    message: str


@dataclass(frozen=True)
class Certificate:
    """Have a certificate with enough time left for this role, before its pod starts."""

    phase: str
    role: str


@dataclass(frozen=True)
class Apply:
    """Server-side apply of a whole object; ``phase`` is the TitanPhase that it is for (empty: the stack)."""

    kind: str
    name: str
    manifest: Mapping[str, Any]
    phase: str = ""


@dataclass(frozen=True)
class RemoveFields:
    """Take out of an object what another hand added: a JSON patch, refused when it has changed since."""

    kind: str
    name: str
    operations: tuple[Mapping[str, Any], ...]
    phase: str = ""


@dataclass(frozen=True)
class Delete:
    """Delete an object; ``uid`` makes sure that it is the one that was seen."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Annotate:
    """Set an annotation, or take it away (None)."""

    kind: str
    name: str
    annotation: str
    value: str | None


@dataclass(frozen=True)
class SetFinalizer:
    """Put our finalizer on a RiskPolicy or TitanPhase, or take it off."""

    kind: str
    name: str
    present: bool


@dataclass(frozen=True)
class RecordEvent:
    """An Event on a RiskPolicy or TitanPhase."""

    kind: str
    name: str
    type: EventType
    reason: str
    note: str


Effect = (
    Tighten
    | SetCeiling
    | ForwardAct
    | RecordActResult
    | Certificate
    | Apply
    | RemoveFields
    | Delete
    | Annotate
    | SetFinalizer
    | RecordEvent
)


class PhaseState(StrEnum):
    """Where a TitanPhase is: ``status.phase``."""

    PENDING = "Pending"
    STARTING = "Starting"
    READY = "Ready"
    DRAINING = "Draining"
    DORMANT = "Dormant"
    SUSPENDED = "Suspended"
    FAILED = "Failed"
    TERMINATING = "Terminating"


@dataclass(frozen=True)
class Finding:
    """What a gate or check says: ``holds`` None is unknown."""

    holds: bool | None
    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What a pass found of one RiskPolicy or TitanPhase.

    Attributes
    ----------
    ready
        None: not known yet.
    stalled
        It will not go on by itself: a person must change something.
    reconciling
        It is on its way.
    findings
        Conditions besides Ready, Reconciling and Stalled, by type.
    """

    ready: bool | None
    reason: str
    message: str
    state: PhaseState = PhaseState.PENDING
    stalled: bool = False
    reconciling: bool = False
    findings: Mapping[str, Finding] = field(default_factory=dict)
    current: str = ""
    last_verified: str = ""
    failed: str = ""
    image_digest: str = ""
    policy_hash: str = ""


@dataclass(frozen=True)
class Step:
    """One resource's part of a pass.

    Attributes
    ----------
    effects
        In the order in which they are executed.
    waits
        Pairs of a TitanPhase and a revision that the controller's clock runs for, each with the role that waits.
    """

    effects: tuple[Effect, ...]
    outcome: Outcome
    waits: Mapping[tuple[str, str], str] = field(default_factory=dict)


def effects_of(steps: Iterable[Step]) -> tuple[Effect, ...]:
    """Join the effects of steps, in their order."""
    return tuple(effect for step in steps for effect in step.effects)


def waits_of(steps: Iterable[Step]) -> dict[tuple[str, str], str]:
    """Join the waits of steps."""
    return {key: role for step in steps for key, role in step.waits.items()}


@dataclass(frozen=True)
class Decision:
    """All of a pass: effects in order, outcomes by name, and when to look again at the latest."""

    effects: tuple[Effect, ...]
    phases: Mapping[str, Outcome]
    policies: Mapping[str, Outcome]
    waits_for: Mapping[tuple[str, str], str]
    requeue_after_s: float | None = None
