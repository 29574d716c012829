"""Status of a RiskPolicy and of a TitanPhase, which the operator writes.

Strings and lists are bounded: the API server refuses a whole status for one message that is too long, so
:func:`bounded` shortens messages. Decimals are canonical strings.
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
    """Base: a field that is None is not written."""


class Condition(_Part, frozen=True, kw_only=True):
    """A condition that holds, does not hold or is unknown, with its reason."""

    type: Reason
    """Name of the condition. Ready, Reconciling and Stalled are kstatus' own; the others are gates and checks."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Reason
    """Reason, in one word for programs."""
    message: Message
    """Reason, in a sentence that names the object and the next try."""
    last_transition_time: Instant
    """Time of the last change of status, UTC."""
    observed_generation: Count | None = None
    """The metadata.generation to which the condition applies."""


Conditions = Annotated[
    tuple[Condition, ...],
    Meta(
        max_length=32,
        extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class PostureStatus(_Part, frozen=True, kw_only=True):
    """Posture of the stack, with its working orders and open positions."""

    ceiling: PostureWord | None = None
    """The highest posture that the resources allow, as Brain has it."""
    latch: PostureWord | None = None
    """The posture that the last act set; it survives restarts."""
    in_force: PostureWord | None = None
    """The lowest of the ceiling, the latch and the posture that the risk level allows."""
    acknowledged_by: Text | None = None
    """Process that acknowledged the last act, besides Brain."""
    working_orders: Count | None = None
    """Orders at the venue that are not final, as Execution counts them."""
    open_positions: Count | None = None
    """Open positions, as Execution counts them."""


class PolicyInForce(_Part, frozen=True, kw_only=True):
    """Hash that each running process computed from the rules that it enforces."""

    brain: Digest | None = None
    """Hash by Brain."""
    execution: Digest | None = None
    """Hash by Execution."""


class ActStatus(_Part, frozen=True, kw_only=True):
    """Outcome of the last spec.act."""

    nonce: Annotated[str, Meta(max_length=64)]
    """Nonce of the act."""
    verb: ActVerb
    """Verb of the act."""
    outcome: Literal["Done", "Refused"]
    """Done, or Refused: then nothing was changed."""
    message: Message
    """Result of the act, or the reason of its refusal."""


class RiskPolicyStatus(_Part, frozen=True, kw_only=True):
    """State of the stack under this policy, as the operator last observed it."""

    observed_generation: Count | None = None
    """The metadata.generation to which this status applies."""
    hash: Digest | None = None
    """Hash that the operator computed from spec.rules."""
    short_hash: ShortHash | None = None
    """First eight digits of the hash."""
    posture: PostureStatus | None = None
    """Posture of the stack."""
    in_force: PolicyInForce | None = None
    """Policy that the running processes enforce."""
    equity: Decimals | None = None
    """Equity of the account, USDT."""
    drawdown: Decimals | None = None
    """Loss from the peak of equity, a fraction of the peak."""
    truth_score: Annotated[int, Meta(ge=0, le=100)] | None = None
    """Agreement of journal, memory and venue, from 0 to 100."""
    risk_level: Literal["NORMAL", "CAUTIOUS", "DEFENSIVE", "EMERGENCY"] | None = None
    """The automatic risk level; a worse one reduces sizes or closes positions."""
    act: ActStatus | None = None
    """Outcome of the last spec.act."""
    conditions: Conditions = ()
    """Ready, and each gate and check."""


class RevisionStatus(_Part, frozen=True, kw_only=True):
    """Revisions: image digest, policy hash and configuration in one name."""

    current: Revision | None = None
    """The revision that runs, or is being started."""
    last_verified: Revision | None = None
    """The last revision that was verified by running; a failed roll goes back to it."""
    failed: Revision | None = None
    """The last revision that failed, and is not tried again."""


class TitanPhaseStatus(_Part, frozen=True, kw_only=True):
    """State of this process, as the operator last observed it."""

    observed_generation: Count | None = None
    """The metadata.generation to which this status applies."""
    phase: (
        Literal["Pending", "Starting", "Ready", "Draining", "Dormant", "Suspended", "Failed", "Terminating"] | None
    ) = None
    """Stage of its life. Dormant: it waits for its capital, and nothing is wrong."""
    revision: RevisionStatus | None = None
    """Revisions of the process."""
    image_digest: Digest | None = None
    """Digest of the running image."""
    policy_hash: Digest | None = None
    """Hash of the policy that the running process reports to enforce."""
    short_hash: ShortHash | None = None
    """First eight digits of the policy hash."""
    allocation: Decimals | None = None
    """Capital that Brain allots to it, USDT."""
    equity: Decimals | None = None
    """Equity of the account, USDT, where the process reports it."""
    conditions: Conditions = ()
    """Ready, and each gate and check."""


def bounded(message: str) -> str:
    """Shorten a message to the length that a status may hold, by a cut in the middle."""
    if len(message) <= MESSAGE_LONGEST:
        return message
    half = MESSAGE_LONGEST // 2 - 2
    return f"{message[:half]} … {message[-half:]}"


def status_document(status: RiskPolicyStatus | TitanPhaseStatus) -> dict[str, Any]:
    """Return the status as it is sent to the API server: camelCase, without unknown fields."""
    document: dict[str, Any] = msgspec.to_builtins(status)
    return document
