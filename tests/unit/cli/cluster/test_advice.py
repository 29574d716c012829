"""``kubectl titan why``: the first obstacle in the operator's words, and the next step."""

from __future__ import annotations

from typing import Any

import pytest

from support.cluster.objects import condition, phase, policy
from titan.cli.cluster.advice import ADVICE, READY_ADVICE, obstacles
from titan.cli.cluster.stack_view import StackView
from titan.cli.errors import Refused
from titan_operator.planning.gates import GateReason

ARMED = {"posture": {"ceiling": "ARMED", "latch": "ARMED", "inForce": "ARMED"}}


def stack_view(*phases: dict[str, Any], status: dict[str, Any] | None = ARMED, **spec: Any) -> StackView:
    return StackView.of("desk", [policy("demo", status=status, **spec)], phases)


def sentences(view: StackView, name: str | None = None) -> list[tuple[str, str]]:
    return [(one.where, one.sentence) for one in obstacles(view, name)]


def test_every_gate_and_check_has_an_advice() -> None:
    assert {reason.value for reason in GateReason} <= set(ADVICE)
    assert all(text.strip() and text == text.strip() for text in (*ADVICE.values(), *READY_ADVICE.values()))


@pytest.mark.parametrize("kind", sorted(ADVICE))
@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_refusing_gate_is_listed_with_its_advice(kind: str, status: str) -> None:
    view = stack_view(phase("brain", conditions=[condition(kind, status, message="because")], ready=("False", kind)))
    found = obstacles(view, "brain")
    assert [(one.where, one.sentence, one.remedy) for one in found] == [
        ("TitanPhase brain", f"{kind} is {status}: because", ADVICE[kind])
    ]


def test_gates_are_listed_in_the_order_of_the_operator() -> None:
    late, early = condition("PolicyInForce", "False"), condition("SpecValid", "False")
    view = stack_view(phase("brain", conditions=[late, early], ready=("False", "SpecValid")))
    assert [sentence.split()[0] for _, sentence in sentences(view)] == ["SpecValid", "PolicyInForce"]


def test_passing_gates_are_not_listed() -> None:
    view = stack_view(phase("brain", conditions=[condition(kind, "True") for kind in ADVICE]))
    assert sentences(view) == []


@pytest.mark.parametrize(
    ("description", "raw", "sentence", "remedy"),
    [
        ("no status", phase("brain", status=None), "the operator has not seen it yet", "check that the operator"),
        (
            "the API server's own first status",
            phase("brain", status={"observedGeneration": -1, "conditions": []}),
            "the operator has not seen it yet",
            "check that the operator",
        ),
        ("an earlier spec", phase("brain", observed=False), "its status is of an earlier spec", "wait"),
        (
            "draining",
            phase("brain", ready=("False", "Draining")),
            "Ready is False (Draining): Ready says False",
            "wait until nothing is open",
        ),
        (
            "crashing",
            phase("brain", ready=("False", "Starting")),
            "Ready is False (Starting): Ready says False",
            "`kubectl describe titanphase brain` shows its Events",
        ),
        (
            "dormant",
            phase("brain", ready=("True", "Dormant")),
            "Ready is True (Dormant): Ready says True",
            "none is needed",
        ),
    ],
)
def test_a_phase_that_no_gate_refuses(description: str, raw: dict[str, Any], sentence: str, remedy: str) -> None:
    first = obstacles(stack_view(raw), None)[0]
    assert (first.where, first.sentence) == ("TitanPhase brain", sentence)
    assert first.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("description", "status", "sentence", "remedy"),
    [
        ("unknown", {}, "the posture in force is not known: Brain has not reported it", "see the obstacles above"),
        (
            "ceiling",
            {"posture": {"ceiling": "CLOSE_ONLY", "latch": "ARMED", "inForce": "CLOSE_ONLY"}},
            "posture is CLOSE_ONLY: the ceiling is CLOSE_ONLY",
            "raise spec.posture to ARMED",
        ),
        (
            "emergency",
            {"posture": {"ceiling": "ARMED", "latch": "HALTED", "inForce": "HALTED"}, "riskLevel": "EMERGENCY"},
            "posture is HALTED: the latch is HALTED, the risk level EMERGENCY",
            "`kubectl titan rebase --reason TEXT`",
        ),
        (
            "latch",
            {"posture": {"ceiling": "ARMED", "latch": "HALTED", "inForce": "HALTED"}},
            "posture is HALTED: the latch is HALTED",
            "`kubectl titan arm` arms it again",
        ),
        (
            "risk level",
            {"posture": {"ceiling": "ARMED", "latch": "ARMED", "inForce": "CLOSE_ONLY"}, "riskLevel": "DEFENSIVE"},
            "posture is CLOSE_ONLY though armed: risk level DEFENSIVE",
            "wait",
        ),
    ],
)
def test_posture(description: str, status: dict[str, Any], sentence: str, remedy: str) -> None:
    (only,) = obstacles(stack_view(phase("brain"), status=status), None)
    assert (only.where, only.sentence) == ("RiskPolicy demo", sentence)
    assert only.remedy.startswith(remedy)


def test_condition_of_a_policy_comes_before_its_posture() -> None:
    refused = condition("Ready", "False", "PolicyInForce", "brain enforces another")
    found = obstacles(stack_view(phase("brain"), status={**ARMED, "conditions": [refused]}), None)
    assert [(one.sentence, one.remedy) for one in found] == [
        ("Ready is False (PolicyInForce): brain enforces another", ADVICE["PolicyInForce"])
    ]


def test_unpinned_policy_is_no_obstacle() -> None:
    view = StackView.of("desk", [policy("demo", status=ARMED), policy("kept")], [phase("brain")])
    assert sentences(view) == []


def test_one_phase_only() -> None:
    view = stack_view(phase("brain", ready=("False", "Starting")), phase("execution"))
    assert sentences(view, "execution") == []
    with pytest.raises(Refused, match="namespace desk has no TitanPhase hunter; there are brain, execution"):
        obstacles(view, "hunter")
