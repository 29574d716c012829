"""Gates refuse before anything runs; a pass reports and makes the stack."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.stack.edits import DEMO, set_image
from support.stack.model import IMAGE, Model, installed, quickstart
from support.stack.rendered import STACK_ROLES
from titan.domain.enums import Posture
from titan_operator.reconcile.effects import Apply, RecordEvent, SetFinalizer
from titan_operator.supplychain.verdict import Verdict

OTHER_IMAGE = "registry.test/titan@sha256:" + "c" * 64


def test_an_install_settles_ready_closed_to_entries_and_costs_nothing_more() -> None:
    model = installed()
    assert {model.condition(name)["status"] for name in (*STACK_ROLES, DEMO)} == {"True"}
    assert model.in_force is Posture.CLOSE_ONLY
    assert model.ceiling is Posture.ARMED
    model.log.clear()
    model.settle()
    assert model.writes() == []


def test_a_policy_is_shown_of_what_enforces_one() -> None:
    model = installed()
    shown = {name: model.status(name).get("shortHash", "") for name in STACK_ROLES}
    assert shown == {"marketdata": "", "papervenue": ""} | dict.fromkeys(
        ("execution", "brain", "scavenger"), "3e1725d5"
    )


def test_the_first_pass_reports_only_that_it_has_observed() -> None:
    model = Model()
    model.create(*quickstart())
    model.step()
    # Its image is not verified, so nothing was made, and the status says which gate refused.
    assert not [key for key in model.objects if key[0] in ("Deployment", "StatefulSet")]
    assert model.condition("brain")["reason"] == "ImageVerified"
    assert model.status("brain")["observedGeneration"] == 1


GATES: list[tuple[str, Callable[[Model], None], str, str]] = [
    (
        "an image that nobody verified",
        lambda model: (
            model.verdicts.update({OTHER_IMAGE: Verdict(False, reason="Unlisted", message="not on the list")}),
            set_image(model, OTHER_IMAGE),
        ),
        "ImageVerified",
        "Unlisted: not on the list",
    ),
    (
        "admission that does not refuse strangers",
        lambda model: setattr(model, "admission", "the API server admits a stranger"),
        "AdmissionEnforced",
        "the API server admits a stranger",
    ),
    (
        "a pin whose hash is of other rules",
        lambda model: model.edit(
            "TitanPhase", "brain", lambda raw: raw["spec"]["policyRef"].update(hash="sha256:" + "0" * 64)
        ),
        "PolicyHashMatches",
        "sha256:3e1725d5f33bfa455113489a81f23f66d7141ebca05cc3ea20fe6060687b2ab5",
    ),
    (
        "a policy that is not there",
        lambda model: model.objects.pop(("RiskPolicy", DEMO)) and None,
        "PolicyFound",
        f"{DEMO} is not among the resources",
    ),
    (
        "a stack without a market",
        lambda model: model.objects.pop(("TitanPhase", "marketdata")) and None,
        "RolesComplete",
        "the stack lacks marketdata",
    ),
    (
        "rules that were edited under their hash",
        lambda model: model.edit("RiskPolicy", DEMO, lambda raw: raw["spec"]["rules"].update(maxAccountLeverage="11")),
        "SpecValid",
        "the rules hash to sha256:",
    ),
    (
        "live without an approval",
        lambda model: (
            [
                model.edit("TitanPhase", name, lambda raw: raw["spec"].update(mode="live"))
                for name in ("execution", "brain", "scavenger")
            ]
            and None
        ),
        "LiveApproved",
        "mode: live",
    ),
]


@pytest.mark.parametrize(("what", "spoil", "reason", "says"), GATES, ids=[case[0] for case in GATES])
def test_a_gate_that_refuses_makes_nothing_and_says_why(
    what: str, spoil: Callable[[Model], None], reason: str, says: str
) -> None:
    model = Model(verdicts={IMAGE: Verdict(True, "a")})
    model.create(*quickstart())
    spoil(model)
    model.settle()
    assert not [key for key in model.objects if key[0] in ("Deployment", "StatefulSet")], what
    ready = model.condition("brain")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert says in ready["message"]
    assert model.condition("brain", reason)["status"] == "False"


LATER = [case for case in GATES if case[0] != "a stack without a market"]


@pytest.mark.parametrize(("what", "spoil", "reason", "says"), LATER, ids=[case[0] for case in LATER])
def test_a_gate_that_refuses_later_leaves_what_runs(
    what: str, spoil: Callable[[Model], None], reason: str, says: str
) -> None:
    model = installed(latch=Posture.ARMED)
    pods = dict(model.pods)
    spoil(model)
    model.settle()
    assert model.pods == pods, what
    assert model.condition("brain")["reason"] == reason


def test_a_child_deleted_by_hand_comes_back() -> None:
    model = installed()
    del model.objects["Service", "brain"]
    model.log.clear()
    model.settle()
    assert ("Service", "brain") in model.objects
    assert [effect.name for effect in model.writes() if isinstance(effect, Apply)] == ["brain"]


def test_finalizers_come_before_anything_is_made() -> None:
    model = Model(verdicts={IMAGE: Verdict(True, "a")})
    model.create(*quickstart())
    model.step()
    kinds = [type(effect) for effect in model.log]
    assert kinds.index(SetFinalizer) < kinds.index(Apply)


def test_events_are_recorded_once() -> None:
    model = installed()
    model.admission = "the API server admits a stranger"
    model.log.clear()
    for _ in range(5):
        model.step()
    told = [effect for effect in model.log if isinstance(effect, RecordEvent)]
    assert len(told) == len(STACK_ROLES)


def test_missing_peers_and_tables_are_reported() -> None:
    model = installed()
    assert model.condition("brain", "DependenciesReady")["status"] == "True"
    assert model.condition("brain", "StorageMigrated")["status"] == "Unknown"
    for pod in model.pods.values():
        if model.phase_of(pod["metadata"]["name"]) == "brain":
            pod["status"]["initContainerStatuses"] = [
                {"name": "migrate", "state": {"terminated": {"exitCode": 1}}, "restartCount": 0}
            ]
        if model.phase_of(pod["metadata"]["name"]) == "execution":
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    model.step()
    assert model.condition("brain", "StorageMigrated")["status"] == "False"
    assert "needs execution, not ready yet" in model.condition("brain", "DependenciesReady")["message"].replace(
        "marketdata, ", ""
    )
    assert model.condition("marketdata", "StorageMigrated") == {}
