"""Phases that are deleted, released, suspended or dormant: none leaves a position without Execution."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.stack.edits import DEMO, second_policy
from support.stack.model import IMAGE, Model, installed, quickstart
from support.stack.rendered import STACK_ROLES
from titan.domain.enums import Posture
from titan_operator.api.names import PROTECTED
from titan_operator.reconcile.effects import Delete
from titan_operator.supplychain.verdict import Verdict


def _delete_all(model: Model) -> None:
    for name in STACK_ROLES:
        model.delete("TitanPhase", name)
    model.delete("RiskPolicy", DEMO)


def test_a_stack_with_a_position_stays_until_it_is_flat() -> None:
    model = installed(latch=Posture.ARMED, positions=1, orders=2)
    _delete_all(model)
    model.settle()
    assert len(model.pods) == 5
    assert model.in_force is Posture.CLOSE_ONLY
    assert "1 open positions, 2 working orders" in model.condition("execution")["message"]
    assert model.condition(DEMO)["reason"] == "Pinned"
    assert model.namespace["metadata"]["annotations"] == {PROTECTED: "true"}
    model.positions = model.orders = 0
    model.settle()
    assert model.pods == {}
    # Volumes stay, unprotected: the journal is the person's.
    left = {key[0] for key in model.objects}
    assert left <= {"PersistentVolumeClaim"}
    assert not [raw for raw in model.objects.values() if raw["metadata"]["annotations"].get(PROTECTED)]
    assert model.namespace["metadata"]["annotations"] == {}


def test_on_delete_flatten_flattens() -> None:
    model = installed(latch=Posture.ARMED, positions=1)
    model.edit("TitanPhase", "execution", lambda raw: raw["spec"].update(onDelete="Flatten"))
    model.settle()
    model.delete("TitanPhase", "execution")
    model.step()
    assert model.latch is Posture.FLATTEN


def test_a_person_releases_what_cannot_drain() -> None:
    model = installed(positions=1)
    _delete_all(model)
    model.settle()
    model.act("release", "nonce-0003", reason="moving the account by hand")
    model.settle()
    assert model.pods == {}
    assert ("TitanPhase", "execution") not in model.objects


def test_a_release_of_what_is_not_going_is_refused_and_kept_for_nothing() -> None:
    model = installed(positions=1)
    model.act("release", "nonce-0004")
    model.settle()
    assert model.status(DEMO)["act"]["outcome"] == "Refused"
    _delete_all(model)
    model.settle()
    assert len(model.pods) == 5


def test_an_execution_that_does_not_answer_is_not_deleted() -> None:
    model = installed()
    model.answers = False
    model.delete("TitanPhase", "execution")
    model.settle()
    assert "execution-0" in model.pods
    assert "does not answer" in model.condition("execution")["message"]


@pytest.mark.parametrize("name", STACK_ROLES)
def test_a_phase_that_lost_its_finalizer_by_force_leaves_its_process_until_nothing_is_open(name: str) -> None:
    model = installed(latch=Posture.ARMED, positions=1)
    del model.objects["TitanPhase", name]
    model.settle()
    assert len(model.pods) == 5
    assert model.in_force is Posture.CLOSE_ONLY
    model.positions = 0
    model.settle()
    assert len(model.pods) == 4


def test_a_policy_goes_when_nothing_pins_it() -> None:
    model = installed()
    model.create(second_policy())
    model.settle()
    assert model.condition("standard-96134a07")["reason"] == "Unpinned"
    model.delete("RiskPolicy", "standard-96134a07")
    model.settle()
    assert ("RiskPolicy", "standard-96134a07") not in model.objects
    model.delete("RiskPolicy", DEMO)
    model.settle()
    assert ("RiskPolicy", DEMO) in model.objects


def test_a_phase_below_its_capital_is_drained_and_dormant() -> None:
    model = installed(positions=1)
    model.equity = Decimal(150)
    model.settle()
    assert model.condition("scavenger")["reason"] == "Running"
    model.equity = Decimal(149)
    model.settle()
    assert model.condition("scavenger")["reason"] == "Draining"
    model.positions = 0
    model.settle()
    ready = model.condition("scavenger")
    assert (ready["status"], ready["reason"]) == ("True", "Dormant")
    assert ("Deployment", "scavenger") not in model.objects
    assert model.condition("brain")["status"] == "True"
    model.equity = Decimal("149.99")
    model.settle()
    assert model.condition("scavenger")["reason"] == "Dormant"
    model.equity = Decimal(150)
    model.settle()
    assert model.condition("scavenger")["reason"] == "Running"


def test_unknown_equity_starts_nothing_that_needs_capital() -> None:
    model = Model(verdicts={IMAGE: Verdict(True, "a")}, equity=None)
    model.create(*quickstart())
    model.settle()
    assert ("Deployment", "scavenger") not in model.objects
    assert model.condition("scavenger")["status"] == "Unknown"
    assert model.condition("scavenger")["reason"] == "EquityUnknown"


def test_a_suspended_phase_steps_aside_and_rolls_nobody() -> None:
    model = installed()
    before = {name: pod for name, pod in model.pods.items() if not name.startswith("scavenger")}
    model.edit("TitanPhase", "scavenger", lambda raw: raw["spec"].update(suspend=True))
    model.settle()
    assert model.pods == before
    assert model.condition("scavenger")["reason"] == "Suspended"
    model.edit("TitanPhase", "scavenger", lambda raw: raw["spec"].update(suspend=False))
    model.settle()
    assert model.condition("scavenger")["reason"] == "Running"
    assert before.items() <= model.pods.items()


def test_execution_is_never_removed_while_its_state_is_unknown() -> None:
    """Whatever is deleted, in whatever order, with a position open: no Remove of Execution is ever decided."""
    for order in (STACK_ROLES, STACK_ROLES[::-1], ("execution", *STACK_ROLES[:2], *STACK_ROLES[3:])):
        model = installed(positions=1)
        model.delete("RiskPolicy", DEMO)
        for name in order:
            model.delete("TitanPhase", name)
            model.step()
        model.answers = False
        for _ in range(5):
            model.step()
        removed = [effect for effect in model.log if isinstance(effect, Delete)]
        assert removed == []
