"""``why``: the first obstacle that keeps the stack from trading now, and the next step. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from titan.cli.obstacles import Obstacle
from titan.cli.output import age, counted, time_of_day, truth_score, word
from titan.domain.equity import EQUITY_MAX_AGE_NS

if TYPE_CHECKING:
    from titan.v1 import brain_pb2 as b
    from titan.v1 import execution_pb2 as e
    from titan.v1 import market_pb2 as m


@dataclass(frozen=True)
class Observed:
    """Observed state of a stack.

    ``not_ready`` maps a process to the reasons why it is not ready, ``since`` one to the UTC time of its state.
    """

    brain: b.GetBrainResponse
    execution: e.GetExecutionResponse
    market: m.GetMarketResponse
    not_ready: Mapping[str, Sequence[str]]
    since: Mapping[str, str] = field(default_factory=dict)


def obstacles(observed: Observed) -> list[Obstacle]:
    """List every obstacle, the first one on the order path first."""
    return [obstacle for check in _CHECKS for obstacle in check(observed)]


def _market(observed: Observed) -> list[Obstacle]:
    if observed.market.ended:
        return [
            Obstacle("market", "the market has ended, so nothing more will happen", "start another with `titan up`")
        ]
    waiting = list(observed.market.waiting_for)
    away = [name for name in waiting if name in observed.not_ready]
    if away:
        sentence = f"market time stands still: it waits for {', '.join(away)}"
        return [Obstacle("market", sentence, f"`titan logs {away[0]}` shows why it is not ready")]
    return []


def _readiness(observed: Observed) -> list[Obstacle]:
    return not_ready_obstacles(observed.not_ready, observed.since)


def not_ready_obstacles(not_ready: Mapping[str, Sequence[str]], since: Mapping[str, str]) -> list[Obstacle]:
    """Name every process that is not ready, since when, and why."""
    return [
        Obstacle(
            "process",
            f"{name} is not ready{f' since {since[name]} UTC' if since.get(name) else ''}: "
            f"{'; '.join(reasons) or 'it gives no reason'}",
            f"`titan logs {name}` shows more",
        )
        for name, reasons in not_ready.items()
    ]


def _posture(observed: Observed) -> list[Obstacle]:
    from titan.v1 import common_pb2 as c

    posture = observed.brain.posture
    if posture.in_force == c.POSTURE_ARMED:
        return []
    name = word(c.Posture, posture.in_force, "POSTURE_")
    if posture.ceiling < c.POSTURE_ARMED:
        ceiling = word(c.Posture, posture.ceiling, "POSTURE_")
        sentence = f"posture is {name}: the RiskPolicy's ceiling is {ceiling}"
        return [Obstacle("posture", sentence, "raise spec.posture of the RiskPolicy, then arm")]
    if posture.latch < c.POSTURE_ARMED:
        if posture.latch_never_set:
            return [Obstacle("posture", f"posture is {name}: this stack was never armed", "`titan arm` arms it")]
        latch = f"latch {word(c.Posture, posture.latch, 'POSTURE_')} "
        # Brain names the latch, its author and the reason; the posture in force is named already.
        set_by = posture.reason.removeprefix(latch)
        if set_by == posture.reason:
            sentence = f"posture is {name}: {posture.reason or 'no reason given'}"
        else:
            sentence = f"posture is {name}, set {set_by}"
        return [Obstacle("posture", sentence, "`titan arm` arms it again, when that is right")]
    return []


def _risk_level(observed: Observed) -> list[Obstacle]:
    from titan.v1 import common_pb2 as c

    posture = observed.brain.posture
    if posture.risk_level not in (c.RISK_LEVEL_DEFENSIVE, c.RISK_LEVEL_EMERGENCY):
        return []
    level = word(c.RiskLevel, posture.risk_level, "RISK_LEVEL_")
    remedy = "it rises by itself after ten minutes below the bound"
    if posture.risk_level == c.RISK_LEVEL_EMERGENCY:
        remedy = "look at what happened, then `titan arm`"
        if observed.brain.equity.drawdown not in ("", "0"):
            # A flat account's drawdown does not shrink.
            remedy = (
                "look at what happened; `titan rebase --reason TEXT` ends a flat account's drawdown, then `titan arm`"
            )
    return [Obstacle("risk level", f"risk level is {level}: {posture.reason or 'no reason given'}", remedy)]


def _policy(observed: Observed) -> list[Obstacle]:
    ours = observed.brain.policy_hash
    others = {"execution": observed.brain.execution_policy_hash or observed.execution.policy_hash}
    others |= {phase.phase_id: phase.policy_hash for phase in observed.brain.phases}
    return [
        Obstacle(
            "policy",
            f"{name} enforces {theirs}, brain {ours}",
            "restart the stack with one policy: `titan down`, then `titan up`",
        )
        for name, theirs in others.items()
        if theirs and theirs != ours
    ]


def _links(observed: Observed) -> list[Obstacle]:
    if not observed.brain.execution_connected:
        return [Obstacle("links", "brain has no stream to execution", "`titan logs execution` shows why")]
    if not observed.execution.venue_connected:
        return [Obstacle("links", "execution has no stream to the venue", "`titan logs papervenue` shows why")]
    if not observed.execution.lease_held:
        sentence = "execution does not hold the lease: another one may be writing"
        return [Obstacle("links", sentence, "`titan logs execution` shows who holds it")]
    return []


def _knowledge(observed: Observed) -> list[Obstacle]:
    blocking = []
    truth = observed.brain.truth
    if not truth.known:
        sentence = "truth is unknown: execution has not had a clean comparison with the venue yet"
        blocking.append(Obstacle("truth", sentence, "wait for it; `titan logs execution` shows what it compares"))
    elif truth.unresolved:
        differences = counted(truth.unresolved, "unresolved difference")
        sentence = f"{differences} between journal and venue, {truth_score(truth.score)}"
        blocking.append(Obstacle("truth", sentence, "`titan status -o json` shows them"))
    brain = observed.brain
    if brain.equity_as_of_ns and brain.market_time_ns - brain.equity_as_of_ns > EQUITY_MAX_AGE_NS:
        sentence = f"equity and truth are {age(brain.equity_as_of_ns, brain.market_time_ns)}: execution reports nothing"
        blocking.append(Obstacle("equity", sentence, "`titan logs execution` shows why"))
    if not observed.brain.equity.known:
        sentence = f"equity is unknown: {observed.brain.equity.reason or 'no reason given'}"
        blocking.append(
            Obstacle("equity", sentence, "it is known once the venue has answered and each position has a price")
        )
    return blocking


def _phases(observed: Observed) -> list[Obstacle]:
    from titan.v1 import brain_pb2 as b

    blocking = []
    for phase in observed.brain.phases:
        budget = phase.budget
        if not phase.connected:
            sentence = f"{phase.phase_id} has no stream to brain"
            blocking.append(Obstacle("phase", sentence, f"`titan logs {phase.phase_id}` shows why"))
        elif phase.paused_until_ns > observed.brain.market_time_ns:
            until = time_of_day(phase.paused_until_ns)[:5]
            sentence = f"{phase.phase_id} pauses after losses in a row until {until} UTC of the market's time"
            blocking.append(Obstacle("phase", sentence, "it goes on by itself when the pause is over"))
        elif budget.state in (b.BUDGET_STATE_CLOSE_ONLY, b.BUDGET_STATE_HALTED):
            state = word(b.BudgetState, budget.state, "BUDGET_STATE_")
            sentence = f"{phase.phase_id}'s budget is {state}: {budget.reason or 'no reason given'}"
            blocking.append(Obstacle("budget", sentence, "`titan status` shows equity and allocation"))
    return blocking


def _setups(observed: Observed) -> list[Obstacle]:
    from titan.v1 import common_pb2 as c

    brain = observed.brain
    if brain.intents == 0:
        return [Obstacle("setups", "no phase has seen a setup since brain started", "wait; a quiet market gives none")]
    last = brain.last_decision
    if last.intent_id and not last.approved:
        sentence = f"the last intent was refused: {last.message or word(c.Reason, last.reason, 'REASON_')}"
        return [Obstacle("decision", sentence, f"`titan explain {last.intent_id}` shows every guard")]
    return []


# In the order of an order's path.
_CHECKS: tuple[Callable[[Observed], list[Obstacle]], ...] = (
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
