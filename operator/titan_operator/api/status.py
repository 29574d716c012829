"""What the operator writes into the status of a RiskPolicy and of a TitanPhase.

Strings and lists are bounded, for the API server refuses a whole status for one message that is too long:
:func:`bounded` shortens. Decimals are canonical strings.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from titan.domain.numbers import CANONICAL_LONGEST, CANONICAL_PATTERN
from titan.domain.policy_hash import HASH_PATTERN
from titan_operator.api.acts import ActVerb

MESSAGE_LONGEST = 2048
_WORD_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Decimals = Annotated[str, Meta(pattern=CANONICAL_PATTERN, max_length=CANONICAL_LONGEST)]
Digest = Annotated[str, Meta(pattern=HASH_PATTERN, max_length=71)]
Instant = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", max_length=20)]
Message = Annotated[str, Meta(max_length=MESSAGE_LONGEST)]
Reason = Annotated[str, Meta(pattern=_WORD_PATTERN, max_length=128)]
Revision = Annotated[str, Meta(max_length=128)]
ShortHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}$", max_length=8)]
Text = Annotated[str, Meta(max_length=256)]
PostureWord = Literal["FLATTEN", "HALTED", "CLOSE_ONLY", "ARMED"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Base: what is None is not written."""


class Condition(_Part, frozen=True, kw_only=True):
    """One thing that is so, is not so, or is not known, with its reason."""

    type: Reason
    """What is told. Ready, Reconciling and Stalled are kstatus' own; the others are gates and checks."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Reason
    """Why, in one word for programs."""
    message: Message
    """Why, in a sentence that names the object and the next try."""
    last_transition_time: Instant
    """When status last changed, UTC."""
    observed_generation: Count | None = None
    """The metadata.generation that was judged."""


Conditions = Annotated[
    tuple[Condition, ...],
    Meta(
        max_length=32,
        extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class PostureStatus(_Part, frozen=True, kw_only=True):
    """How much the stack may do, and what is open."""

    ceiling: PostureWord | None = None
    """The highest posture that the resources allow, as Brain was told."""
    latch: PostureWord | None = None
    """Where people's last act left it; it survives restarts."""
    in_force: PostureWord | None = None
    """The lowest of ceiling, latch and what the risk level allows."""
    acknowledged_by: Text | None = None
    """Who obeyed beside Brain."""
    working_orders: Count | None = None
    """Orders at the venue that are not at their end, as Execution counts them."""
    open_positions: Count | None = None
    """Positions that are open, as Execution counts them."""


class PolicyInForce(_Part, frozen=True, kw_only=True):
    """The policy hash that each running process computed from the rules it enforces."""

    brain: Digest | None = None
    """Brain's."""
    execution: Digest | None = None
    """Execution's."""


class ActStatus(_Part, frozen=True, kw_only=True):
    """What became of the last spec.act."""

    nonce: Annotated[str, Meta(max_length=64)]
    """Which act."""
    verb: ActVerb
    """What was asked."""
    outcome: Literal["Done", "Refused"]
    """Done, or Refused: then nothing was changed."""
    message: Message
    """What was done, or why it was refused."""


class RiskPolicyStatus(_Part, frozen=True, kw_only=True):
    """What the operator last saw of the stack under this policy."""

    observed_generation: Count | None = None
    """The metadata.generation that this status is about."""
    hash: Digest | None = None
    """Hash that the operator computed from spec.rules."""
    short_hash: ShortHash | None = None
    """The hash's first eight digits."""
    posture: PostureStatus | None = None
    """How much the stack may do."""
    in_force: PolicyInForce | None = None
    """Which policy the running processes enforce."""
    equity: Decimals | None = None
    """Equity of the account, USDT."""
    drawdown: Decimals | None = None
    """From the peak to now, a fraction of the peak."""
    truth_score: Annotated[int, Meta(ge=0, le=100)] | None = None
    """How far journal, memory and venue agree, from 0 to 100."""
    risk_level: Literal["NORMAL", "CAUTIOUS", "DEFENSIVE", "EMERGENCY"] | None = None
    """The automatic risk level; a worse one makes sizes smaller or closes."""
    act: ActStatus | None = None
    """What became of the last spec.act."""
    conditions: Conditions = ()
    """Ready, and each gate and check."""


class RevisionStatus(_Part, frozen=True, kw_only=True):
    """Revisions: image digest, policy hash and configuration in one name."""

    current: Revision | None = None
    """What runs, or is being started."""
    last_verified: Revision | None = None
    """The last one that proved itself; a failed roll goes back to it."""
    failed: Revision | None = None
    """The last one that did not, and is not tried again."""


class TitanPhaseStatus(_Part, frozen=True, kw_only=True):
    """What the operator last saw of this process."""

    observed_generation: Count | None = None
    """The metadata.generation that this status is about."""
    phase: (
        Literal["Pending", "Starting", "Ready", "Draining", "Dormant", "Suspended", "Failed", "Terminating"] | None
    ) = None
    """Where it is. Dormant: it waits for its capital, and nothing is wrong."""
    revision: RevisionStatus | None = None
    """What runs, and what it would go back to."""
    image_digest: Digest | None = None
    """Digest of the running image."""
    policy_hash: Digest | None = None
    """Hash of the policy that the running process says it enforces."""
    short_hash: ShortHash | None = None
    """That hash's first eight digits."""
    allocation: Decimals | None = None
    """Capital that Brain allots to it, USDT."""
    equity: Decimals | None = None
    """Equity of the account, USDT, where the process knows it."""
    conditions: Conditions = ()
    """Ready, and each gate and check."""


def bounded(message: str) -> str:
    """A message as a status may hold it: cut in the middle, where it is too long."""
    if len(message) <= MESSAGE_LONGEST:
        return message
    half = MESSAGE_LONGEST // 2 - 2
    return f"{message[:half]} … {message[-half:]}"


def status_document(status: RiskPolicyStatus | TitanPhaseStatus) -> dict[str, Any]:
    """The status as the API server gets it: camelCase, and nothing of what is not known."""
    document: dict[str, Any] = msgspec.to_builtins(status)
    return document
