"""The posture in force, and the preconditions of arming. Source: domain.md section 4."""

from __future__ import annotations

import msgspec

from titan.domain.enums import Posture, RiskLevel
from titan.domain.equity import Equity
from titan.domain.posture import FLATTENED, resolve_flatten
from titan.domain.truth import TruthSnapshot

TWO_PERSONS = "policy: twoPersonArm is true; one person alone cannot arm"
EXECUTION_AWAY = "execution: not connected; arming needs its stream"

_OF_LEVEL = {
    RiskLevel.NORMAL: Posture.ARMED,
    RiskLevel.CAUTIOUS: Posture.ARMED,
    RiskLevel.DEFENSIVE: Posture.CLOSE_ONLY,
    RiskLevel.EMERGENCY: Posture.FLATTEN,
}


def level_posture(level: RiskLevel) -> Posture:
    """The highest posture that a risk level allows."""
    return _OF_LEVEL[level]


def posture_in_force(ceiling: Posture, latch: Posture, level: RiskLevel) -> Posture:
    """Combine the three sources: the lowest is in force, so none can raise what another lowers.

    The latch carries out a FLATTEN: it goes to FLATTEN, then to HALTED when the account is flat. EMERGENCY and a
    ceiling of FLATTEN therefore add FLATTEN only until the latch has moved: a finished one must not begin again.
    """
    return resolve_flatten(min(ceiling, latch, _OF_LEVEL[level]), finished=latch is FLATTENED)


class ArmingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The preconditions of arming. Hashes as ``sha256:…``; an empty ``execution_hash`` is unknown."""

    ceiling: Posture
    risk_level: RiskLevel
    equity: Equity
    truth: TruthSnapshot
    min_truth_score: int
    reconciled: bool
    execution_connected: bool
    policy_hash: str
    execution_hash: str
    mode_problem: str | None
    two_person_arm: bool


def arming_problems(facts: ArmingFacts) -> list[str]:
    """List every precondition of arming that does not hold, each as a sentence."""
    problems = []
    if facts.two_person_arm:
        problems.append(TWO_PERSONS)
    if facts.ceiling is not Posture.ARMED:
        problems.append(f"ceiling: {facts.ceiling.name} in the RiskPolicy resource; arming needs ARMED")
    if facts.mode_problem is not None:
        problems.append(facts.mode_problem)
    if facts.risk_level >= RiskLevel.DEFENSIVE:
        problems.append(f"risk level: {facts.risk_level.name}; arming needs NORMAL or CAUTIOUS")
    if not facts.execution_connected:
        problems.append(EXECUTION_AWAY)
    elif facts.execution_hash != facts.policy_hash:
        problems.append(f"policy hash: Brain {facts.policy_hash}, Execution {facts.execution_hash}; they must be equal")
    if not facts.reconciled:
        problems.append("orders: not all of those open at start are resolved with the venue yet")
    if not facts.equity.known:
        problems.append(f"equity: unknown ({facts.equity.reason or 'not reported yet'}); arming needs it known")
    if not facts.truth.known:
        problems.append("truth: unknown, no clean reconciliation yet; arming needs one")
    elif facts.truth.score < facts.min_truth_score:
        problems.append(f"truth: score {facts.truth.score}; arming needs {facts.min_truth_score} or more")
    if facts.truth.unresolved:
        problems.append(f"truth: {facts.truth.unresolved} unresolved drifts; arming needs none")
    return problems
