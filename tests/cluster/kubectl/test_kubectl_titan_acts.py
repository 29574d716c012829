"""Acts by ``kubectl titan``: who may write them, how often they are written, who answers them."""

from __future__ import annotations

import json
import threading
import time

from support.cluster.kubectl_desk import ACKNOWLEDGED, DEMO, DESK, HALTED, Run, Stage, phase_manifest, policy_manifest


def test_halt_is_written_once_by_its_person_and_waits_for_who_obeyed(stage: Stage, titan: Run) -> None:
    stage.say("riskpolicy", DEMO, posture={"ceiling": "CLOSE_ONLY", "latch": "ARMED", "inForce": "CLOSE_ONLY"})
    with stage.answering("Done", ACKNOWLEDGED, HALTED):
        assert titan("ana", "halt", "--reason", "storm") == (0, f"halt: {ACKNOWLEDGED}; posture is HALTED\n", "")
    act = stage.get("riskpolicy", DEMO)["spec"]["act"]
    assert {key: act[key] for key in ("verb", "by", "reason")} == {"verb": "halt", "by": "ana", "reason": "storm"}
    written = [
        one
        for one in stage.plane.audit()
        if one["user"]["username"] == "ana" and one["verb"] == "patch" and one["responseStatus"]["code"] == 200
    ]
    assert written[-1]["requestObject"]["spec"]["act"]["nonce"] == act["nonce"]
    assert written[-1]["userAgent"] == "kubectl-titan"


def test_an_act_belongs_to_a_field_manager_of_its_own(stage: Stage, titan: Run) -> None:
    with stage.answering("Done", ACKNOWLEDGED, HALTED):
        titan("ana", "halt")
    managers = {one["manager"]: one["fieldsV1"] for one in stage.get("riskpolicy", DEMO)["metadata"]["managedFields"]}
    assert set(managers["titan-kubectl"]["f:spec"]) == {"f:act"}


def test_nothing_of_an_earlier_act_stays(stage: Stage, titan: Run) -> None:
    for reason in ("storm", ""):
        with stage.answering("Done", ACKNOWLEDGED, HALTED):
            assert titan("ana", "halt", "--reason", reason)[0] == 0
    assert "reason" not in stage.get("riskpolicy", DEMO)["spec"]["act"]


def test_arming_takes_the_verb_and_the_api_server_says_so(stage: Stage, titan: Run) -> None:
    code, out, err = titan("ana", "arm")
    assert (code, out) == (1, "")
    assert err == (
        "titan: refused by admission: ana may not arm: "
        "that takes the verb arm on riskpolicies.titan.trading in namespace desk\n"
    )
    assert "act" not in stage.get("riskpolicy", DEMO)["spec"]
    armed = {"ceiling": "CLOSE_ONLY", "latch": "ARMED", "inForce": "CLOSE_ONLY"}
    stage.say("riskpolicy", DEMO, posture=HALTED)
    with stage.answering("Done", "latch is ARMED", armed):
        assert titan("tom", "arm") == (0, "arm: latch is ARMED; posture is CLOSE_ONLY\n", "")


def test_brain_may_refuse_to_arm(stage: Stage, titan: Run) -> None:
    with stage.answering("Refused", "the truth is unknown", HALTED):
        code, out, err = titan("tom", "arm")
    assert (code, out) == (1, "")
    assert err == f"titan: arm: refused by the stack under RiskPolicy {DEMO}: the truth is unknown\n"


def test_releasing_takes_the_verb_and_names_the_phase(stage: Stage, titan: Run) -> None:
    assert "ana may not release" in titan("ana", "release", "execution")[2]
    with stage.answering("Done", "released by tom: no reason given", HALTED):
        assert titan("tom", "release", "execution")[0] == 0
    assert stage.get("riskpolicy", DEMO)["spec"]["act"]["phase"] == "execution"
    assert "has no TitanPhase hunter; there are brain, execution, marketdata" in titan("tom", "release", "hunter")[2]


def test_rebasing_takes_the_verb_and_a_reason(stage: Stage, titan: Run) -> None:
    assert "tom may not rebase: that takes the verb rebase" in titan("tom", "rebase", "--reason", "a drill")[2]
    assert "Missing option '--reason'" in titan("olaf", "rebase")[2]
    stage.say("riskpolicy", DEMO, posture=HALTED)
    with stage.answering("Done", "the peak is 200, it was 250", HALTED):
        code, out, err = titan("olaf", "rebase", "--reason", "after the crash")
    assert (code, out, err) == (0, "rebase: the peak is 200, it was 250; posture is HALTED\n", "")
    assert stage.get("riskpolicy", DEMO)["spec"]["act"]["reason"] == "after the crash"


def test_an_act_that_nobody_answers_stays_written(stage: Stage, titan: Run) -> None:
    code, out, err = titan("ana", "flatten", "--timeout", "1")
    assert (code, out) == (3, "")
    assert err.startswith(f"titan: flatten is written to RiskPolicy {DEMO}, but the operator has not answered in 1 s")
    assert stage.get("riskpolicy", DEMO)["spec"]["act"]["verb"] == "flatten"
    assert "flatten by ana: not acknowledged yet" in titan("ana", "status")[1]


def test_an_act_that_another_overtakes_is_not_waited_for(stage: Stage, titan: Run) -> None:
    second = json.dumps({"spec": {"act": {"verb": "flatten", "nonce": "n-2222222", "by": "ana"}}})

    def overtake() -> None:
        deadline = time.monotonic() + 30
        while stage.get("riskpolicy", DEMO)["spec"].get("act", {}).get("verb") != "halt":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        patch = ("patch", "riskpolicy", DEMO, "-n", DESK, "--type=merge", "-p", second)
        stage.plane.kubectl(*patch, kubeconfig=stage.plane.kubeconfig("ana"))

    overtaking = threading.Thread(target=overtake)
    overtaking.start()
    code, _, err = titan("ana", "halt", "--timeout", "30")
    overtaking.join()
    assert code == 1
    assert f"halt was overtaken: RiskPolicy {DEMO} now requests flatten by ana" in err


def test_halting_reaches_every_policy_of_a_stack_that_is_torn(stage: Stage, titan: Run) -> None:
    stage.apply(policy_manifest("other-3e1725d5"), phase_manifest("execution", "other-3e1725d5"))
    with stage.answering("Done", "one", HALTED), stage.answering("Done", "two", HALTED, "other-3e1725d5"):
        code, out, _ = titan("ana", "halt", "-o", "json")
    acts = json.loads(out)["acts"]
    assert code == 0
    assert {one["policy"]: one["answered"]["message"] for one in acts} == {DEMO: "one", "other-3e1725d5": "two"}
    assert len({one["asked"]["nonce"] for one in acts}) == 2
    assert "pins differ" in titan("tom", "arm")[2]
