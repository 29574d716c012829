"""Ceilings, acts and two policies in one stack: tightening is instant, and nothing raises a posture by itself."""

from __future__ import annotations

from support.stack.edits import DEMO, pin, second_policy
from support.stack.model import installed
from titan.domain.enums import Posture
from titan_operator.reconcile.effects import ForwardAct, RecordActResult, SetCeiling, Tighten


def test_a_ceiling_that_is_lowered_acts_at_once_and_one_that_is_raised_arms_nothing() -> None:
    model = installed(latch=Posture.ARMED)
    assert model.in_force is Posture.ARMED
    model.log.clear()
    model.edit("RiskPolicy", DEMO, lambda raw: raw["spec"].update(posture="HALTED"))
    model.step()
    assert model.log[0] == Tighten(Posture.HALTED, "the ceiling is HALTED")
    model.settle()
    assert (model.in_force, model.ceiling) == (Posture.HALTED, Posture.HALTED)
    model.edit("RiskPolicy", DEMO, lambda raw: raw["spec"].update(posture="ARMED"))
    model.settle()
    assert (model.in_force, model.ceiling) == (Posture.HALTED, Posture.ARMED)


def test_an_act_is_sent_once() -> None:
    model = installed()
    model.act("arm", "nonce-0001")
    model.settle()
    assert model.in_force is Posture.ARMED
    model.latch = Posture.HALTED  # somebody halted it by another way
    model.settle()
    assert model.in_force is Posture.HALTED
    assert len([effect for effect in model.log if isinstance(effect, ForwardAct)]) == 1


def test_a_rebase_is_sent_once_and_moves_no_posture() -> None:
    model = installed(latch=Posture.HALTED)
    model.act("rebase", "nonce-0005", reason="after the crash")
    model.settle()
    assert model.in_force is Posture.HALTED
    assert len([effect for effect in model.log if isinstance(effect, ForwardAct)]) == 1


def test_a_rebase_under_a_policy_that_nothing_pins_is_refused() -> None:
    model = installed(latch=Posture.HALTED)
    other = second_policy()
    model.create(other)
    act = {"verb": "rebase", "nonce": "nonce-0006", "by": "ana", "reason": "why not"}
    model.edit("RiskPolicy", other["metadata"]["name"], lambda raw: raw["spec"].update(act=act))
    model.settle()
    (refused,) = (effect for effect in model.log if isinstance(effect, RecordActResult))
    assert (refused.done, "it cannot rebase anything" in refused.message) == (False, True)
    assert not any(isinstance(effect, ForwardAct) for effect in model.log)


def test_a_halt_passes_though_a_gate_refuses() -> None:
    model = installed(latch=Posture.ARMED)
    model.admission = "the API server admits a stranger"
    model.act("halt", "nonce-0002")
    model.settle()
    assert model.in_force is Posture.HALTED


def test_two_policies_in_one_stack_close_it_at_the_lowest_ceiling() -> None:
    model = installed(latch=Posture.ARMED)
    other = second_policy()
    model.create(other)
    pin(model, other, "brain")
    decision = model.step()
    assert isinstance(decision.effects[0], Tighten)
    model.settle()
    assert model.in_force is Posture.CLOSE_ONLY
    message = model.condition("execution")["message"]
    assert "brain pins standard-96134a07" in message
    assert f"pins {DEMO}" in message


def test_a_ceiling_is_not_raised_for_a_policy_that_brain_does_not_enforce() -> None:
    model = installed()
    model.edit("RiskPolicy", DEMO, lambda raw: raw["spec"].update(posture="HALTED"))
    model.settle()
    model.lies = "sha256:" + "f" * 64
    model.edit("RiskPolicy", DEMO, lambda raw: raw["spec"].update(posture="ARMED"))
    model.log.clear()
    for _ in range(3):
        model.step()
    assert not [effect for effect in model.log if isinstance(effect, SetCeiling)]
