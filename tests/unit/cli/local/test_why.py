from __future__ import annotations

from collections.abc import Callable

import pytest

from titan.cli.local.why import Observed, obstacles
from titan.domain.enums import Posture
from titan.domain.posture import latch_cause
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.v1 import order_pb2 as o

HASH = "sha256:aa"


def trading() -> Observed:
    """Make the observed state of a stack without an obstacle."""
    return Observed(
        brain=b.GetBrainResponse(
            posture=b.PostureState(
                in_force=c.POSTURE_ARMED,
                ceiling=c.POSTURE_ARMED,
                latch=c.POSTURE_ARMED,
                risk_level=c.RISK_LEVEL_NORMAL,
            ),
            equity=o.Equity(known=True, equity="200"),
            truth=o.TruthSnapshot(known=True, score=100),
            phases=[
                b.PhaseState(
                    phase_id="scavenger",
                    connected=True,
                    policy_hash=HASH,
                    budget=b.Budget(state=b.BUDGET_STATE_ACTIVE),
                )
            ],
            execution_connected=True,
            execution_policy_hash=HASH,
            policy_hash=HASH,
            intents=3,
            market_time_ns=10,
            last_decision=b.Decision(intent_id="0190", approved=True),
        ),
        execution=e.GetExecutionResponse(policy_hash=HASH, lease_held=True, venue_connected=True),
        market=m.GetMarketResponse(),
        not_ready={},
        since={},
    )


def _never_armed(observed: Observed) -> None:
    posture = observed.brain.posture
    posture.in_force = posture.latch = c.POSTURE_CLOSE_ONLY
    posture.latch_never_set = True


def _drawdown(observed: Observed) -> None:
    observed.brain.posture.risk_level = c.RISK_LEVEL_EMERGENCY
    observed.brain.equity.drawdown = "0.2"


def _frozen(observed: Observed) -> None:
    observed.brain.equity_as_of_ns = 88_000_000_000
    observed.brain.market_time_ns = 100_000_000_000


def _halted(observed: Observed) -> None:
    posture = observed.brain.posture
    posture.in_force = posture.latch = c.POSTURE_HALTED
    posture.by, posture.reason = "anna (cli)", latch_cause(Posture.HALTED, "anna (cli)", "looks odd")


def _halted_without_a_reason(observed: Observed) -> None:
    _halted(observed)
    observed.brain.posture.reason = latch_cause(Posture.HALTED, "root (cli)", "")


def _ceiling(observed: Observed) -> None:
    posture = observed.brain.posture
    posture.in_force = posture.ceiling = c.POSTURE_CLOSE_ONLY


def _defensive(observed: Observed) -> None:
    posture = observed.brain.posture
    posture.in_force, posture.risk_level, posture.reason = c.POSTURE_CLOSE_ONLY, c.RISK_LEVEL_DEFENSIVE, "drawdown 0.11"


def _set(path: str, value: object) -> Callable[[Observed], None]:
    def change(observed: Observed) -> None:
        target = observed
        *parents, last = path.split(".")
        for name in parents:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        setattr(target, last, value)

    return change


def _not_ready(observed: Observed) -> None:
    observed.not_ready["brain"] = ("execution is away",)


def _frozen_process(observed: Observed) -> None:
    observed.not_ready["brain"] = ("does not answer",)
    observed.since["brain"] = "01:15:43"


def _market_waits(observed: Observed) -> None:
    observed.market.waiting_for.append("scavenger")
    observed.not_ready["scavenger"] = ("does not listen",)


def _refused(observed: Observed) -> None:
    last = observed.brain.last_decision
    last.approved, last.reason, last.message = False, c.REASON_EDGE_TOO_SMALL, "EDGE_TOO_SMALL: min=0.001, edge=0.0004"


@pytest.mark.parametrize(
    ("description", "change", "where", "sentence", "remedy"),
    [
        ("market over", _set("market.ended", True), "market", "has ended", "titan up"),
        ("market waits", _market_waits, "market", "waits for scavenger", "titan logs scavenger"),
        ("a process is not ready", _not_ready, "process", "brain is not ready: execution is away", "titan logs brain"),
        ("never armed", _never_armed, "posture", "CLOSE_ONLY: this stack was never armed", "titan arm"),
        ("halted by a person", _halted, "posture", "posture is HALTED, set by anna (cli): looks odd", "titan arm"),
        (
            "halted without a reason",
            _halted_without_a_reason,
            "posture",
            "posture is HALTED, set by root (cli): no reason",
            "titan arm",
        ),
        (
            "not ready since",
            _frozen_process,
            "process",
            "brain is not ready since 01:15:43 UTC: does not answer",
            "logs",
        ),
        ("ceiling", _ceiling, "posture", "the RiskPolicy's ceiling is CLOSE_ONLY", "spec.posture"),
        ("risk level", _defensive, "risk level", "DEFENSIVE: drawdown 0.11", "by itself"),
        ("another hash", _set("brain.execution_policy_hash", "sha256:bb"), "policy", "sha256:bb, brain", "one policy"),
        ("phase's hash", _set("brain.phases.0.policy_hash", "sha256:cc"), "policy", "scavenger enforces sha256:cc", ""),
        ("no stream", _set("brain.execution_connected", False), "links", "brain has no stream to execution", ""),
        ("no venue", _set("execution.venue_connected", False), "links", "no stream to the venue", "papervenue"),
        ("no lease", _set("execution.lease_held", False), "links", "does not hold the lease", ""),
        ("truth unknown", _set("brain.truth.known", False), "truth", "truth is unknown", ""),
        ("drift", _set("brain.truth.unresolved", 2), "truth", "2 unresolved differences", "status"),
        ("an emergency of a flat account", _drawdown, "risk level", "EMERGENCY", "titan rebase --reason TEXT"),
        ("execution is frozen", _frozen, "equity", "equity and truth are 12.0 s old", "titan logs execution"),
        ("equity unknown", _set("brain.equity.known", False), "equity", "equity is unknown", ""),
        ("phase away", _set("brain.phases.0.connected", False), "phase", "scavenger has no stream", "titan logs"),
        (
            "loss streak",
            _set("brain.phases.0.paused_until_ns", 11),
            "phase",
            "losses in a row until 00:00 UTC",
            "by itself",
        ),
        (
            "budget",
            _set("brain.phases.0.budget.state", b.BUDGET_STATE_CLOSE_ONLY),
            "budget",
            "budget is CLOSE_ONLY",
            "allocation",
        ),
        ("no setup yet", _set("brain.intents", 0), "setups", "no phase has seen a setup since brain started", "wait"),
        ("last refused", _refused, "decision", "EDGE_TOO_SMALL: min=0.001", "titan explain 0190"),
    ],
)
def test_first_obstacle(
    description: str, change: Callable[[Observed], None], where: str, sentence: str, remedy: str
) -> None:
    observed = trading()
    change(observed)
    first = obstacles(observed)[0]
    assert first.where == where
    assert sentence in first.sentence
    assert remedy in first.remedy


def test_nothing_in_the_way() -> None:
    assert obstacles(trading()) == []


def test_the_nearest_to_the_market_comes_first() -> None:
    observed = trading()
    _refused(observed)
    _never_armed(observed)
    _not_ready(observed)
    assert [obstacle.where for obstacle in obstacles(observed)] == ["process", "posture", "decision"]


def test_a_pause_that_is_over_is_no_obstacle() -> None:
    observed = trading()
    observed.brain.phases[0].paused_until_ns = 10
    assert obstacles(observed) == []
