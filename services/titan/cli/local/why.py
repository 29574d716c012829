"""``why``: the first thing that keeps the stack from trading now, and what to do about it. Pure but for the calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titan.cli.output import word

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m


@dataclass(frozen=True)
class Picture:
    """What ``why`` judges by. ``not_ready`` maps a process to why it is not ready."""

    brain: b.GetBrainResponse
    execution: e.GetExecutionResponse
    market: m.GetMarketResponse
    not_ready: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Obstacle:
    """One thing in the way: where it shows, what it is, and what to do."""

    where: str
    sentence: str
    remedy: str


def obstacles(picture: Picture) -> list[Obstacle]:
    """Everything in the way now, the first first."""
    return [obstacle for check in _CHECKS for obstacle in check(picture)]


def _market(picture: Picture) -> list[Obstacle]:
    if picture.market.ended:
        return [Obstacle("market", "the market has ended: nothing more will happen", "start another with `titan up`")]
    waiting = list(picture.market.waiting_for)
    away = [name for name in waiting if name in picture.not_ready]
    if away:
        said = f"market time stands still: it waits for {', '.join(away)}"
        return [Obstacle("market", said, f"`titan logs {away[0]}` says why it is not there")]
    return []


def _readiness(picture: Picture) -> list[Obstacle]:
    return [
        Obstacle("process", f"{name} is not ready: {'; '.join(reasons)}", f"`titan logs {name}` says more")
        for name, reasons in picture.not_ready.items()
    ]


def _posture(picture: Picture) -> list[Obstacle]:
    from titan.v1 import common_pb2 as c

    posture = picture.brain.posture
    if posture.in_force == c.POSTURE_ARMED:
        return []
    name = word(c.Posture, posture.in_force, "POSTURE_")
    if posture.ceiling < c.POSTURE_ARMED:
        ceiling = word(c.Posture, posture.ceiling, "POSTURE_")
        said = f"posture is {name}: the RiskPolicy's ceiling is {ceiling}"
        return [Obstacle("posture", said, "raise spec.posture of the RiskPolicy, then arm")]
    if posture.latch < c.POSTURE_ARMED:
        if posture.latch_never_set:
            return [Obstacle("posture", f"posture is {name}: this stack was never armed", "`titan arm` arms it")]
        said = f"posture is {name}, set by {posture.by or 'unknown'}: {posture.reason or 'no reason given'}"
        return [Obstacle("posture", said, "`titan arm` arms it again, when that is right")]
    return []


def _risk_level(picture: Picture) -> list[Obstacle]:
    from titan.v1 import common_pb2 as c

    posture = picture.brain.posture
    if posture.risk_level not in (c.RISK_LEVEL_DEFENSIVE, c.RISK_LEVEL_EMERGENCY):
        return []
    level = word(c.RiskLevel, posture.risk_level, "RISK_LEVEL_")
    remedy = "it rises by itself after ten minutes below the bound"
    if posture.risk_level == c.RISK_LEVEL_EMERGENCY:
        remedy = "look at what happened, then `titan arm`"
    return [Obstacle("risk level", f"risk level is {level}: {posture.reason or 'no reason given'}", remedy)]


def _policy(picture: Picture) -> list[Obstacle]:
    ours = picture.brain.policy_hash
    others = {"execution": picture.brain.execution_policy_hash or picture.execution.policy_hash}
    others |= {phase.phase_id: phase.policy_hash for phase in picture.brain.phases}
    return [
        Obstacle(
            "policy",
            f"{name} enforces {theirs}, brain {ours}",
            "restart the stack with one policy: `titan down`, then `titan up`",
        )
        for name, theirs in others.items()
        if theirs and theirs != ours
    ]


def _links(picture: Picture) -> list[Obstacle]:
    if not picture.brain.execution_connected:
        return [Obstacle("links", "brain has no stream to execution", "`titan logs execution` says why")]
    if not picture.execution.venue_connected:
        return [Obstacle("links", "execution has no stream to the venue", "`titan logs papervenue` says why")]
    if not picture.execution.lease_held:
        said = "execution does not hold the lease: another one may be writing"
        return [Obstacle("links", said, "`titan logs execution` says who holds it")]
    return []


def _knowledge(picture: Picture) -> list[Obstacle]:
    found = []
    truth = picture.brain.truth
    if not truth.known:
        said = "truth is unknown: execution has not had a clean comparison with the venue yet"
        found.append(Obstacle("truth", said, "wait for it; `titan logs execution` says what it compares"))
    elif truth.unresolved:
        said = f"{truth.unresolved} unresolved differences between journal and venue, truth score {truth.score}"
        found.append(Obstacle("truth", said, "`titan status -o json` shows them"))
    if not picture.brain.equity.known:
        said = f"equity is unknown: {picture.brain.equity.reason or 'no reason given'}"
        found.append(Obstacle("equity", said, "it is known once the venue has answered and each position has a price"))
    return found


def _phases(picture: Picture) -> list[Obstacle]:
    from titan.v1 import brain_pb2 as b

    found = []
    for phase in picture.brain.phases:
        budget = phase.budget
        if not phase.connected:
            said = f"{phase.phase_id} has no stream to brain"
            found.append(Obstacle("phase", said, f"`titan logs {phase.phase_id}` says why"))
        elif phase.paused_until_ns > picture.brain.market_time_ns:
            said = f"{phase.phase_id} pauses after losses in a row"
            found.append(Obstacle("phase", said, "it goes on by itself when the pause is over"))
        elif budget.state in (b.BUDGET_STATE_CLOSE_ONLY, b.BUDGET_STATE_HALTED):
            state = word(b.BudgetState, budget.state, "BUDGET_STATE_")
            said = f"{phase.phase_id}'s budget is {state}: {budget.reason or 'no reason given'}"
            found.append(Obstacle("budget", said, "`titan status` shows equity and allocation"))
    return found


def _setups(picture: Picture) -> list[Obstacle]:
    from titan.v1 import common_pb2 as c

    brain = picture.brain
    if brain.intents == 0:
        return [Obstacle("setups", "no phase has seen a setup yet", "wait; a quiet market gives none")]
    last = brain.last_decision
    if last.intent_id and not last.approved:
        said = f"the last intent was refused: {last.message or word(c.Reason, last.reason, 'REASON_')}"
        return [Obstacle("decision", said, f"`titan explain {last.intent_id}` shows every guard")]
    return []


# In the order of the way that an order takes.
_CHECKS: tuple[Callable[[Picture], list[Obstacle]], ...] = (
    _market,
    _readiness,
    _posture,
    _risk_level,
    _policy,
    _links,
    _knowledge,
    _phases,
    _setups,
)
