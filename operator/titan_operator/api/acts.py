"""One-shot acts of people (``spec.act``) and signatures of policies (``spec.signature``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from titan.domain.acts import REASON_ALLOWED, REASON_LONGEST, REASON_PATTERN
from titan.domain.enums import Posture
from titan.domain.policy_rules import PLAIN_LONGEST, PLAIN_PATTERN, IntegerRule, RuleError, WordRule
from titan_operator.api.field_types import LINE, PHASE_NAME, Check, Model, PatternRule, by


class ActVerb(StrEnum):
    """Verbs of ``spec.act``; the schemas of spec and status are made of this table."""

    ARM = "arm"
    CLOSE_ONLY = "closeOnly"
    HALT = "halt"
    FLATTEN = "flatten"
    RELEASE = "release"
    REBASE = "rebase"


# Acts that loosen: each needs a verb of its own in the cluster, and is for the policy that the stack pins.
LOOSENING = frozenset({ActVerb.ARM, ActVerb.REBASE})

# The posture that an act requests of Brain and Execution; a rebase is Execution's, a release the operator's own.
POSTURE_OF = {
    ActVerb.ARM: Posture.ARMED,
    ActVerb.CLOSE_ONLY: Posture.CLOSE_ONLY,
    ActVerb.HALT: Posture.HALTED,
    ActVerb.FLATTEN: Posture.FLATTEN,
}

_VERBS = tuple(verb.value for verb in ActVerb)
_NONCE = PatternRule(r"^[A-Za-z0-9_-]{8,64}$", 64, "8 to 64 of A-Z, a-z, 0-9, - and _, another one for each act")
_USER = PatternRule(LINE, 256, "a user name of the cluster: 1 to 256 characters on one line")
_REASON = PatternRule(REASON_PATTERN, REASON_LONGEST, REASON_ALLOWED)
_BUNDLE = PatternRule(r"^\{[ -~]+\}$", 32_768, "a cosign bundle: JSON on one line, at most 32768 characters")
_ACCOUNT = PatternRule(PLAIN_PATTERN, PLAIN_LONGEST, "1 to 200 plain characters")


def _phase_is_released(act: ActSpec) -> ValueError | None:
    if act.phase is None or act.verb == ActVerb.RELEASE:
        return None
    return RuleError(act.phase, "a phase only where verb is release")


def _rebase_has_a_reason(act: ActSpec) -> ValueError | None:
    if act.reason is not None or act.verb != ActVerb.REBASE:
        return None
    return RuleError(act.verb, "an act with its reason")


class ActSpec(Model):
    """One act of a person, carried out once.

    The operator sends it to Brain and Execution and writes the outcome into status.act. Brain accepts a nonce once, so
    an act that is applied again does nothing.
    """

    checks = (
        Check(
            "self.verb == 'release' || !has(self.phase)",
            "phase: allowed only where verb is release",
            _phase_is_released,
        ),
        Check(
            "self.verb != 'rebase' || has(self.reason)",
            "reason: needed where verb is rebase",
            _rebase_has_a_reason,
        ),
    )

    verb: Annotated[str, by(WordRule(_VERBS, ""))]
    """The action. arm: trade, as far as the ceiling allows. closeOnly: open nothing new. halt: only protect positions.
    flatten: close everything. release: let a TitanPhase that is being deleted go with positions open. rebase:
    measure drawdown from the present equity on, where the account is flat and not armed; it needs a reason."""
    nonce: Annotated[str, by(_NONCE)]
    """Identifies this act; a new act needs a new nonce."""
    by: Annotated[str, by(_USER)]
    """The requesting user; admission refuses a name that is not the user's own."""
    reason: Annotated[str | None, by(_REASON)] = None
    """Reason, for the audit."""
    phase: Annotated[str | None, by(PHASE_NAME)] = None
    """TitanPhase to release; absent: every one that is being deleted."""


class Signature(Model):
    """A cosign signature over hash, account and sequence. The trust policy may require one."""

    bundle: Annotated[str, by(_BUNDLE)]
    """Bundle as `cosign sign-blob --bundle` writes it."""
    account: Annotated[str, by(_ACCOUNT)]
    """Trading account for which the policy was signed."""
    sequence: Annotated[int, by(IntegerRule(1, 2**53 - 1, ""))]
    """Number that grows with each policy of the account: an older one is refused after a newer one was in force."""


@dataclass(frozen=True)
class Act:
    """Value of a ``spec.act``; ``phase`` is only for a release (empty: all)."""

    verb: ActVerb
    nonce: str
    by: str
    reason: str = ""
    phase: str = ""
