"""Changes of trust in an image: new images wait, running ones go on, revoked ones are revoked."""

from __future__ import annotations

import pytest

from support.stack.edits import DEMO, set_image
from support.stack.model import IMAGE, NEXT_IMAGE, Model, documents, installed, quickstart
from support.stack.rendered import STACK_ROLES
from titan.domain.enums import Posture
from titan_operator.api.names import POLICY_SEQUENCE
from titan_operator.reconcile.effects import Certificate, RecordEvent
from titan_operator.supplychain.verdict import REVOKED, Verdict

DIGEST, NEXT_DIGEST = IMAGE.rpartition("@")[2], NEXT_IMAGE.rpartition("@")[2]
WHY = f"{DIGEST} is in revokedDigests of the trust policy sha256:00"


def _revoke(model: Model, *, drain: bool = False) -> None:
    model.verdicts[IMAGE] = Verdict(False, DIGEST, REVOKED, WHY)
    model.revoked[DIGEST] = WHY
    model.drain_revoked = drain


def _announced(model: Model, reason: str) -> list[RecordEvent]:
    return [effect for effect in model.log if isinstance(effect, RecordEvent) and effect.reason == reason]


@pytest.mark.parametrize("reason", ["KeyExpired", "RegistryUnreachable", "NoTrustPolicy"])
def test_an_image_that_runs_goes_on_when_it_could_not_be_verified_anew(reason: str) -> None:
    model = installed(latch=Posture.ARMED)
    pods = dict(model.pods)
    model.verdicts[IMAGE] = Verdict(False, DIGEST, reason, "so it is")
    model.log.clear()
    model.settle()
    assert model.pods == pods
    assert model.condition("execution")["status"] == "True"
    verified = model.condition("execution", "ImageVerified")
    assert (verified["status"], verified["reason"]) == ("True", "VerifiedBefore")
    assert f"{reason}: so it is" in verified["message"]
    # Without certificates that are renewed, a stack ends by itself.
    assert {effect.role for effect in model.log if isinstance(effect, Certificate)} == set(STACK_ROLES)


def test_an_image_that_runs_goes_on_under_another_risk_policy_when_it_could_not_be_verified_anew() -> None:
    model = installed()
    model.verdicts[IMAGE] = Verdict(False, DIGEST, "RegistryUnreachable", "no answer")
    model.create(*quickstart("micro"))
    model.settle()
    micro = documents("policies/micro.yaml")[0]["spec"]["hash"]
    assert model.condition("brain")["status"] == "True"
    assert model.status("brain")["policyHash"] == micro


@pytest.mark.parametrize(
    ("reason", "stalled"), [("KeyExpired", "True"), ("NoTrustPolicy", "True"), ("RegistryUnreachable", None)]
)
def test_a_new_image_waits_and_says_by_which_reason(reason: str, stalled: str | None) -> None:
    model = installed()
    pods = dict(model.pods)
    model.verdicts[NEXT_IMAGE] = Verdict(False, NEXT_DIGEST, reason, "so it is")
    # Nobody asked for it before: it is on no list.
    model.ever_listed.discard(NEXT_DIGEST)
    set_image(model, NEXT_IMAGE)
    model.settle()
    assert model.pods == pods
    verified = model.condition("execution", "ImageVerified")
    assert (verified["status"], verified["reason"]) == ("False", reason)
    assert model.condition("execution", "Stalled").get("status") == stalled
    assert "goes on" in model.condition("execution")["message"]


def test_a_phase_goes_back_to_what_the_stack_runs_though_it_could_not_be_verified_anew() -> None:
    model = installed()
    model.edit("TitanPhase", "brain", lambda raw: raw["spec"].update(image=NEXT_IMAGE))
    model.settle()
    model.verdicts[IMAGE] = Verdict(False, DIGEST, "KeyExpired", "on 2026-01-01")
    model.edit("TitanPhase", "brain", lambda raw: raw["spec"].update(image=IMAGE))
    model.settle()
    assert {pod["image"] for pod in model.pods.values()} == {IMAGE}
    assert model.condition("brain")["status"] == "True"


def test_an_image_that_is_listed_but_runs_nowhere_waits_too() -> None:
    model = installed()
    assert NEXT_DIGEST in model.ever_listed
    model.verdicts[NEXT_IMAGE] = Verdict(False, NEXT_DIGEST, "KeyExpired", "on 2026-01-01")
    set_image(model, NEXT_IMAGE)
    model.settle()
    assert model.condition("brain", "ImageVerified")["reason"] == "KeyExpired"


def test_a_revoked_image_is_reported_of_what_runs_and_ends_nothing_by_itself() -> None:
    model = installed(latch=Posture.ARMED, positions=1)
    pods = dict(model.pods)
    _revoke(model)
    model.log.clear()
    model.settle()
    assert model.pods == pods
    assert {effect.role for effect in model.log if isinstance(effect, Certificate)} == set(STACK_ROLES)
    verified = model.condition("execution", "ImageVerified")
    assert (verified["status"], verified["reason"]) == ("False", "Revoked")
    assert (model.condition("execution")["status"], model.in_force) == ("False", Posture.ARMED)
    events = _announced(model, "Revoked")
    assert len(events) == len(STACK_ROLES)
    assert all(DIGEST in event.note for event in events)


def test_a_revoked_image_that_runs_is_reported_while_an_untrusted_one_is_asked_for() -> None:
    model = installed()
    _revoke(model)
    model.verdicts[NEXT_IMAGE] = Verdict(False, NEXT_DIGEST, "NoSignature", "none is there")
    set_image(model, NEXT_IMAGE)
    model.settle()
    verified = model.condition("brain", "ImageVerified")
    assert (verified["status"], verified["reason"]) == ("False", "Revoked")
    assert WHY in verified["message"]
    assert "NoSignature: none is there" in verified["message"]


def test_a_trusted_image_takes_the_place_of_a_revoked_one() -> None:
    for drain in (False, True):
        model = installed()
        _revoke(model, drain=drain)
        set_image(model, NEXT_IMAGE)
        model.settle()
        assert {pod["image"] for pod in model.pods.values()} == {NEXT_IMAGE}
        assert model.condition("execution", "ImageVerified")["reason"] == "Verified"


def test_nothing_goes_back_to_a_revoked_image() -> None:
    model = installed()
    _revoke(model)
    model.broken.add(NEXT_IMAGE)
    model.waited_s = 1e6
    set_image(model, NEXT_IMAGE)
    model.settle()
    assert IMAGE not in {pod["image"] for name, pod in model.pods.items() if model.phase_of(name) == "execution"}
    assert model.condition("execution")["status"] == "False"


def test_a_revoked_image_is_drained_where_the_trust_policy_says_so() -> None:
    model = installed(latch=Posture.ARMED, positions=1)
    _revoke(model, drain=True)
    model.log.clear()
    model.settle()
    # Closed to entries, and everything is there until nothing is open.
    assert model.in_force is Posture.CLOSE_ONLY
    assert {effect.role for effect in model.log if isinstance(effect, Certificate)} == set(STACK_ROLES)
    assert {model.phase_of(name) for name in model.pods} == set(STACK_ROLES)
    assert model.status("execution")["phase"] == "Draining"
    assert model.condition("execution", "ImageVerified")["reason"] == "Revoked"
    model.positions = 0
    model.settle()
    assert model.pods == {}
    assert model.condition("execution", "ImageVerified")["reason"] == "Revoked"


def test_a_revoked_image_is_drained_also_while_the_stack_is_refused() -> None:
    model = installed(admission="the API server admits a stranger")
    model.admission = ""
    model.settle()
    assert len(model.pods) == len(STACK_ROLES)
    model.admission = "the API server admits a stranger"
    model.log.clear()
    model.settle()
    assert {effect.role for effect in model.log if isinstance(effect, Certificate)} == set(STACK_ROLES)
    _revoke(model, drain=True)
    model.settle()
    assert model.pods == {}


def test_a_signed_policy_that_was_in_force_outlives_its_key() -> None:
    resources = quickstart()
    resources[0]["spec"]["signature"] = {"bundle": '{"mediaType":"x"}', "account": "paper-1", "sequence": 7}
    model = Model(verdicts={IMAGE: Verdict(True, DIGEST)}, signatures_required=True)
    model.policy_verdicts[DEMO] = Verdict(True)
    model.create(*resources)
    model.settle()
    assert ("ConfigMap", POLICY_SEQUENCE) in model.objects
    model.policy_verdicts[DEMO] = Verdict(False, reason="KeyExpired", message="on 2026-01-01")
    model.settle()
    assert model.condition("brain")["status"] == "True"
    model.policy_verdicts[DEMO] = Verdict(False, reason=REVOKED, message="its key is revoked")
    model.settle()
    assert model.condition("brain")["reason"] == "PolicySigned"
