"""Pure: effects and outcomes of a pass, as values.

The controller executes effects in their order. Objects that pods only mount are written some at a time where they stand
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from titan.domain.enums import Posture
from titan_operator.api.acts import Act
from titan_operator.cluster.event_types import EventType


@dataclass(frozen=True)
class Tighten:
    """Lower the posture in force at Brain and at Execution, each directly."""

    posture: Posture
    reason: str


@dataclass(frozen=True)
class SetCeiling:
    """Set Brain's ceiling; ``policy_hash`` names the policy that Brain must enforce for it."""

    posture: Posture
    policy_hash: str


@dataclass(frozen=True)
class ForwardAct:
    """Send a person's act to Brain and Execution; the answer goes into the policy's status."""

    policy: str
    act: Act


@dataclass(frozen=True)
class RecordActResult:
    """Record the result of an act that neither Brain nor Execution has to carry out."""

    policy: str
    act: Act
    done: bool
    message: str


@dataclass(frozen=True)
class Certificate:
    """Ensure a certificate with enough time left for this role, before its pod starts."""

    phase: str
    role: str


@dataclass(frozen=True)
class Apply:
    """Apply a whole object, server-side; ``phase`` is the TitanPhase that it belongs to (empty: the stack)."""

    kind: str
    name: str
    manifest: Mapping[str, Any]
    phase: str = ""


@dataclass(frozen=True)
class RemoveFields:
    """Remove fields that others added to an object, by a JSON patch; a change since makes the patch fail."""

    kind: str
    name: str
    operations: tuple[Mapping[str, Any], ...]
    phase: str = ""


@dataclass(frozen=True)
class Delete:
    """Delete an object; ``uid`` makes sure that it is the observed one."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Annotate:
    """Set an annotation, or remove it (None)."""

    kind: str
    name: str
    annotation: str
    value: str | None


@dataclass(frozen=True)
class SetFinalizer:
    """Add our finalizer to a RiskPolicy or TitanPhase, or remove it."""

    kind: str
    name: str
    present: bool


@dataclass(frozen=True)
class RecordEvent:
    """Record an Event on a RiskPolicy or TitanPhase."""

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
    """State of a TitanPhase: ``status.phase``."""

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
    """Result of a gate or check; ``holds`` None is unknown."""

    holds: bool | None
    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """State of one RiskPolicy or TitanPhase after a pass.

    Attributes
    ----------
    ready
        Whether it is as its owner wants it; None is unknown.
    stalled
        Whether it waits for a person, who must change something.
    reconciling
        Whether the operator still works on it.
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
    """Result of a pass: effects in order, outcomes by name, and when the next pass is due at the latest."""

    effects: tuple[Effect, ...]
    phases: Mapping[str, Outcome]
    policies: Mapping[str, Outcome]
    waits_for: Mapping[tuple[str, str], str]
    requeue_after_s: float | None = None
