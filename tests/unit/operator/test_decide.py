"""One pass, and many, over a model of a stack: what is done, in which order, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from support.stack_model import IMAGE, NEXT_IMAGE, Model, documents, installed, quickstart
from titan.domain.kinds import Posture
from titan_operator.effects import Announce, Apply, Finalize, Relay, Remove, SetCeiling, Tighten
from titan_operator.names import PROTECTED
from titan_operator.rolls import DEADLINE_S, revision_of
from titan_operator.world import Verdict

PHASES = ("marketdata", "papervenue", "execution", "brain", "scavenger")
DEMO = "demo-d7413498"
OTHER_IMAGE = "registry.test/titan@sha256:" + "c" * 64


def _second_policy() -> dict[str, Any]:
    return documents("policies/standard.yaml")[0]


def _pin(model: Model, policy: dict[str, Any], *names: str) -> None:
    reference = {"name": policy["metadata"]["name"], "hash": policy["spec"]["hash"]}
    for name in names:
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(policyRef=reference))


def _image(model: Model, image: str, *names: str) -> None:
    for name in names or PHASES:
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(image=image))


def test_an_install_settles_ready_closed_to_entries_and_costs_nothing_more() -> None:
    model = installed()
    assert {model.condition(name)["status"] for name in (*PHASES, DEMO)} == {"True"}
    assert model.in_force is Posture.CLOSE_ONLY
    assert model.ceiling is Posture.ARMED
    model.log.clear()
    model.settle()
    assert model.writes() == []


def test_a_policy_is_shown_of_what_enforces_one() -> None:
    model = installed()
    shown = {name: model.status(name).get("shortHash", "") for name in PHASES}
    assert shown == {"marketdata": "", "papervenue": ""} | dict.fromkeys(
        ("execution", "brain", "scavenger"), "d7413498"
    )


def test_the_first_pass_says_only_that_it_has_seen() -> None:
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
            _image(model, OTHER_IMAGE),
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
        "sha256:d7413498773d57cab22eeb34ded1c952ff87b97338e83eae5ed0a75654b201fa",
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


def test_an_act_is_carried_once() -> None:
    model = installed()
    model.act("arm", "nonce-0001")
    model.settle()
    assert model.in_force is Posture.ARMED
    model.latch = Posture.HALTED  # somebody halted it by another way
    model.settle()
    assert model.in_force is Posture.HALTED
    assert len([effect for effect in model.log if isinstance(effect, Relay)]) == 1


def test_a_halt_passes_though_a_gate_refuses() -> None:
    model = installed(latch=Posture.ARMED)
    model.admission = "the API server admits a stranger"
    model.act("halt", "nonce-0002")
    model.settle()
    assert model.in_force is Posture.HALTED


def test_two_policies_in_one_stack_close_it_at_the_lowest_ceiling() -> None:
    model = installed(latch=Posture.ARMED)
    other = _second_policy()
    model.create(other)
    _pin(model, other, "brain")
    decision = model.step()
    assert isinstance(decision.effects[0], Tighten)
    model.settle()
    assert model.in_force is Posture.CLOSE_ONLY
    message = model.condition("execution")["message"]
    assert "brain pins standard-aca777d7" in message
    assert f"pins {DEMO}" in message


def test_a_new_policy_closes_the_stack_drains_execution_and_rolls_it_first() -> None:
    model = installed(latch=Posture.ARMED, entries=2, orders=3, positions=1)
    other = _second_policy()
    model.create(other)
    model.log.clear()
    _pin(model, other, "execution", "brain", "scavenger")
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
    assert {model.condition(name)["status"] for name in PHASES} == {"True"}
    assert model.status("standard-aca777d7")["inForce"]["execution"] == other["spec"]["hash"]
    assert model.in_force is Posture.CLOSE_ONLY
    # The old rules are nobody's now.
    assert ("ConfigMap", "policy-d7413498773d57ca") not in model.objects


@pytest.mark.parametrize(
    ("what", "field", "value", "says"),
    [
        ("an order of unknown state", "unresolved", 1, "1 orders of unknown state"),
        ("a journal that is not flushed", "journal_flushed", False, "a journal that is not flushed"),
    ],
)
def test_execution_is_not_replaced_before_it_is_drained(what: str, field: str, value: object, says: str) -> None:
    model = installed(**{field: value})
    _image(model, NEXT_IMAGE)
    model.settle()
    assert model.pods["execution-0"]["image"] == IMAGE, what
    assert says in model.condition("execution")["message"]


def test_execution_that_does_not_answer_is_not_replaced_while_it_is_ready() -> None:
    model = installed()
    model.answers = False
    _image(model, NEXT_IMAGE)
    model.settle()
    assert model.pods["execution-0"]["image"] == IMAGE
    assert "does not answer" in model.condition("execution")["message"]


def test_roles_roll_one_at_a_time() -> None:
    model = installed(broken={NEXT_IMAGE})
    _image(model, NEXT_IMAGE)
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
    _image(model, NEXT_IMAGE)
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


def test_a_pod_that_tells_another_hash_is_never_verified() -> None:
    model = Model(verdicts={IMAGE: Verdict(True, "a")}, lies="sha256:" + "f" * 64)
    model.create(*quickstart())
    model.settle()
    in_force = model.condition("execution", "PolicyInForce")
    assert in_force["status"] == "False"
    assert "sha256:" + "f" * 64 in in_force["message"]
    assert "sha256:d7413498773d57cab22eeb34ded1c952ff87b97338e83eae5ed0a75654b201fa" in in_force["message"]
    assert "lastVerified" not in model.status("execution").get("revision", {})


def _delete_all(model: Model) -> None:
    for name in PHASES:
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


@pytest.mark.parametrize("name", PHASES)
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
    model.create(_second_policy())
    model.settle()
    assert model.condition("standard-aca777d7")["reason"] == "Unpinned"
    model.delete("RiskPolicy", "standard-aca777d7")
    model.settle()
    assert ("RiskPolicy", "standard-aca777d7") not in model.objects
    model.delete("RiskPolicy", DEMO)
    model.settle()
    assert ("RiskPolicy", DEMO) in model.objects


def test_a_phase_below_its_capital_is_drained_and_dormant_with_hysteresis() -> None:
    model = installed(positions=1)
    model.equity = Decimal(181)
    model.settle()
    assert model.condition("scavenger")["reason"] == "Running"
    model.equity = Decimal(179)
    model.settle()
    assert model.condition("scavenger")["reason"] == "Draining"
    model.positions = 0
    model.settle()
    ready = model.condition("scavenger")
    assert (ready["status"], ready["reason"]) == ("True", "Dormant")
    assert ("Deployment", "scavenger") not in model.objects
    assert model.condition("brain")["status"] == "True"
    model.equity = Decimal(199)
    model.settle()
    assert model.condition("scavenger")["reason"] == "Dormant"
    model.equity = Decimal(200)
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
    assert kinds.index(Finalize) < kinds.index(Apply)


def test_execution_is_never_removed_while_its_state_is_unknown() -> None:
    """Whatever is deleted, in whatever order, with a position open: no Remove of Execution is ever decided."""
    for order in (PHASES, PHASES[::-1], ("execution", *PHASES[:2], *PHASES[3:])):
        model = installed(positions=1)
        model.delete("RiskPolicy", DEMO)
        for name in order:
            model.delete("TitanPhase", name)
            model.step()
        model.answers = False
        for _ in range(5):
            model.step()
        removed = [effect for effect in model.log if isinstance(effect, Remove)]
        assert removed == []


def test_events_are_told_once() -> None:
    model = installed()
    model.admission = "the API server admits a stranger"
    model.log.clear()
    for _ in range(5):
        model.step()
    told = [effect for effect in model.log if isinstance(effect, Announce)]
    assert len(told) == len(PHASES)


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


def test_what_a_role_needs_and_whether_its_tables_are_upgraded_is_said() -> None:
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
