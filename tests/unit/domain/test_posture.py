"""The posture in force at Execution: the lowest input wins, and a silent Brain allows no more than CLOSE_ONLY."""

from __future__ import annotations

import itertools

import pytest

from titan.domain.enums import Posture
from titan.domain.posture import PostureInputs, lowers_latch
from titan.domain.reasons import Reason

P = Posture


def inputs(latch: Posture, brain: Posture | None, silent: bool = False) -> PostureInputs:
    return PostureInputs(latch=latch, latch_by="ann", latch_reason="test", brain=brain, brain_silent=silent)


@pytest.mark.parametrize(("latch", "brain"), [*itertools.product(Posture, Posture)])
def test_the_lower_of_latch_and_brain_is_in_force(latch: Posture, brain: Posture) -> None:
    assert inputs(latch, brain).in_force is min(latch, brain)
    assert inputs(latch, brain, silent=True).in_force is min(latch, P.CLOSE_ONLY)
    assert inputs(latch, None).in_force is min(latch, P.CLOSE_ONLY)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (inputs(P.HALTED, P.ARMED), "latch HALTED by ann: test"),
        (inputs(P.CLOSE_ONLY, P.CLOSE_ONLY), "latch CLOSE_ONLY by ann: test"),
        (PostureInputs(latch=P.HALTED), "latch HALTED by nobody: no reason"),
        (inputs(P.ARMED, P.ARMED, silent=True), "Brain is silent"),
        (inputs(P.ARMED, None), "Brain has not reported its posture yet"),
        (inputs(P.ARMED, P.HALTED), "Brain reported HALTED: no reason"),
    ],
)
def test_the_cause_names_the_lowest_input(given: PostureInputs, cause: str) -> None:
    assert given.cause == cause


def test_opening_is_refused_unless_armed() -> None:
    assert inputs(P.ARMED, P.ARMED).opening_refusal() is None
    refusal = inputs(P.ARMED, P.ARMED, silent=True).opening_refusal()
    assert refusal is not None
    assert refusal.reason is Reason.BRAIN_AWAY
    # With a latch that is not armed, Brain's return would not help.
    refusal = inputs(P.HALTED, P.ARMED, silent=True).opening_refusal()
    assert refusal is not None
    assert refusal.reason is Reason.POSTURE


def test_brains_flatten_lowers_every_latch_but_one_that_finished_it() -> None:
    lowered = {(latch, brain) for latch in Posture for brain in (*Posture, None) if lowers_latch(latch, brain)}
    assert lowered == {(P.ARMED, P.FLATTEN), (P.CLOSE_ONLY, P.FLATTEN)}
