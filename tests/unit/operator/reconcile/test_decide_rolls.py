"""Rolls over a model of a stack: Execution drained and first, one role at a time, and the way back."""

from __future__ import annotations

import pytest

from support.stack.edits import pin, second_policy, set_image
from support.stack.model import IMAGE, NEXT_IMAGE, Model, installed, quickstart
from support.stack.rendered import STACK_ROLES
from titan.domain.enums import Posture
from titan_operator.reconcile.effects import Apply
from titan_operator.reconcile.rollout import DEADLINE_S, revision_of
from titan_operator.supplychain.verdict import Verdict


def test_a_new_policy_closes_the_stack_drains_execution_and_rolls_it_first() -> None:
    model = installed(latch=Posture.ARMED, entries=2, orders=3, positions=1)
    other = second_policy()
    model.create(other)
    model.log.clear()
    pin(model, other, "execution", "brain", "scavenger")
    before = dict(model.pods)
    model.settle()
    # Two entries still work: closed, and nothing has rolled.
    assert model.in_force is Posture.CLOSE_ONLY
    assert model.pods == before
    assert model.condition("execution")["reason"] == "SafeToRoll"
    assert "2 working entries" in model.condition("execution")["message"]
    model.entries = 0
    model.settle()
    rolled = [
        effect.name
        for effect in model.log
        if isinstance(effect, Apply) and effect.kind in ("StatefulSet", "Deployment")
    ]
    assert rolled == ["execution", "brain", "scavenger"]
    assert {model.condition(name)["status"] for name in STACK_ROLES} == {"True"}
    assert model.status("standard-96134a07")["inForce"]["execution"] == other["spec"]["hash"]
    assert model.in_force is Posture.CLOSE_ONLY
    # The old rules are nobody's now.
    assert ("ConfigMap", "policy-3e1725d5f33bfa45") not in model.objects


@pytest.mark.parametrize(
    ("what", "field", "value", "says"),
    [
        ("an order of unknown state", "unresolved", 1, "1 orders of unknown state"),
        ("a journal that is not flushed", "journal_flushed", False, "a journal that is not flushed"),
    ],
)
def test_execution_is_not_replaced_before_it_is_drained(what: str, field: str, value: object, says: str) -> None:
    model = installed(**{field: value})
    set_image(model, NEXT_IMAGE)
    model.settle()
    assert model.pods["execution-0"]["image"] == IMAGE, what
    assert says in model.condition("execution")["message"]


def test_execution_that_does_not_answer_is_not_replaced_while_it_is_ready() -> None:
    model = installed()
    model.answers = False
    set_image(model, NEXT_IMAGE)
    model.settle()
    assert model.pods["execution-0"]["image"] == IMAGE
    assert "does not answer" in model.condition("execution")["message"]


def test_roles_roll_one_at_a_time() -> None:
    model = installed(broken={NEXT_IMAGE})
    set_image(model, NEXT_IMAGE)
    model.settle()
    # Execution's new pod does not come up: nobody else has moved.
    assert {pod["image"] for name, pod in model.pods.items() if name != "execution-0"} == {IMAGE}
    assert "waits until another workload" in model.condition("brain")["message"]


def test_execution_waits_for_a_roll_that_has_begun_and_no_longer_than_it_may_last() -> None:
    model = installed(broken={NEXT_IMAGE})
    other = IMAGE.replace("a" * 64, "c" * 64)
    model.verdicts[other] = Verdict(True, "c")
    model.edit("TitanPhase", "marketdata", lambda raw: raw["spec"].update(image=NEXT_IMAGE))
    model.settle()
    model.edit("TitanPhase", "execution", lambda raw: raw["spec"].update(image=other))
    model.settle()
    assert model.pods["execution-0"]["image"] == IMAGE
    assert "waits until another workload" in model.condition("execution")["message"]
    model.waited_s = DEADLINE_S + 1
    model.step()
    model.waited_s = 0
    model.settle()
    assert model.condition("marketdata", "Stalled")["reason"] == "RollFailed"
    assert model.pods["execution-0"]["image"] == other
    assert model.condition("execution")["status"] == "True"


def test_a_roll_that_fails_goes_back_by_itself_disarmed_and_is_not_tried_again() -> None:
    model = installed(latch=Posture.ARMED, broken={NEXT_IMAGE})
    good = model.status("execution")["revision"]["lastVerified"]
    set_image(model, NEXT_IMAGE)
    model.settle()
    model.waited_s = DEADLINE_S + 1
    model.settle()
    assert model.pods["execution-0"]["image"] == IMAGE
    assert model.in_force is Posture.CLOSE_ONLY
    stalled = model.condition("execution", "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "RollFailed")
    revision = model.status("execution")["revision"]
    assert revision["lastVerified"] == revision["current"] == good
    assert revision["failed"] not in ("", good)
    # A person changes the spec: it is tried again.
    model.broken.clear()
    model.waited_s = 0
    model.edit("TitanPhase", "execution", lambda raw: raw["spec"].update(image=IMAGE))
    model.settle()
    assert "failed" not in model.status("execution")["revision"]


def test_a_pod_that_reports_another_hash_is_never_verified() -> None:
    model = Model(verdicts={IMAGE: Verdict(True, "a")}, lies="sha256:" + "f" * 64)
    model.create(*quickstart())
    model.settle()
    in_force = model.condition("execution", "PolicyInForce")
    assert in_force["status"] == "False"
    assert "sha256:" + "f" * 64 in in_force["message"]
    assert "sha256:3e1725d5f33bfa455113489a81f23f66d7141ebca05cc3ea20fe6060687b2ab5" in in_force["message"]
    assert "lastVerified" not in model.status("execution").get("revision", {})


def test_an_upgraded_operator_restarts_no_pod() -> None:
    model = installed()
    before = dict(model.pods)
    templates = {
        key: raw["spec"]["template"] for key, raw in model.objects.items() if key[0] in ("Deployment", "StatefulSet")
    }
    model.version = "2.0.0"
    model.settle()
    assert model.pods == before
    for key, template in templates.items():
        assert revision_of(model.objects[key]) == template["metadata"]["annotations"]["titan.trading/revision"]
