"""``kubectl titan`` against a real API server with the admission chart; the operator's part is played by the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.objects import HASH, IMAGE, RULES, condition
from support.stack.local_processes import REPOSITORY
from titan.cli.cluster.app import app
from titan.cli.root import run_app

DESK = "desk"
DEMO = "demo-3e1725d5"
CRDS = REPOSITORY / "crds"
OPERATOR = "system:serviceaccount:titan-system:titan-operator"
# Who is there: ana writes stacks, tom trades too, pia may reach processes, dee may enter them too, eve may nothing.
PEOPLE = {
    "ana": ("author",),
    "tom": ("author", "trader"),
    "olaf": ("author", "risk-officer"),
    "pia": ("author", "proxy"),
    "dee": ("author", "proxy", "debugger"),
    "eve": (),
}
ROLES = {
    "author": [("titan.trading", ["riskpolicies", "titanphases"], ["get", "list", "patch"])],
    "trader": [("titan.trading", ["riskpolicies"], ["arm", "loosen", "release"])],
    "risk-officer": [("titan.trading", ["riskpolicies"], ["rebase"])],
    "debugger": [("titan.trading", ["riskpolicies"], ["debug"])],
    "proxy": [("", ["services/proxy"], ["get"])],
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def plane(module_cluster: ControlPlane) -> ControlPlane:
    """A control plane with our CRDs, the admission chart over namespace desk, and people."""
    module_cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
    module_cluster.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(CRDS))
    for name in (DESK, "titan-system"):
        module_cluster.kubectl("create", "namespace", name)
    chart = REPOSITORY / "charts" / "titan-admission"
    module_cluster.helm(
        "install",
        "titan-admission",
        str(chart),
        "-n",
        "titan-system",
        "--skip-crds",
        "--set",
        f"stackNamespaces={{{DESK}}}",
    )
    roles = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": DESK},
            "rules": [{"apiGroups": [group], "resources": kinds, "verbs": verbs} for group, kinds, verbs in rules],
        }
        for name, rules in ROLES.items()
    ]
    module_cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(roles))
    for person, given in PEOPLE.items():
        for role in given:
            module_cluster.kubectl(
                "create", "rolebinding", f"{person}-{role}", f"--role={role}", f"--user={person}", "-n", DESK
            )
    return module_cluster


def policy_manifest(name: str = DEMO, posture: str = "CLOSE_ONLY", rules: dict[str, Any] = RULES) -> dict[str, Any]:
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "RiskPolicy",
        "metadata": {"name": name, "namespace": DESK},
        "spec": {"rules": rules, "hash": HASH, "posture": posture},
    }


def phase_manifest(role: str, pin: str | None = DEMO) -> dict[str, Any]:
    spec: dict[str, Any] = {"role": role, "image": IMAGE}
    if pin is None:
        spec |= {"symbols": ["BTC/USDT"], "parameters": {"source": "simulated", "seed": 1}}
    else:
        spec |= {"policyRef": {"name": pin, "hash": HASH}, "mode": "paper"}
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "TitanPhase",
        "metadata": {"name": role, "namespace": DESK},
        "spec": spec,
    }


class Stage:
    """The namespace, and the operator's hand in it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self._operator = plane.kubeconfig(OPERATOR, ("system:masters",))

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def clear(self) -> None:
        self.plane.kubectl("delete", "titanphases,riskpolicies", "--all", "-n", DESK)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.plane.kubectl("get", kind, name, "-n", DESK, "-o", "json", "--show-managed-fields").stdout
        document: dict[str, Any] = json.loads(found)
        return document

    def say(self, kind: str, name: str, **status: Any) -> None:
        """Write a status as the operator does."""
        live = self.get(kind, name)
        body = {"status": {"observedGeneration": live["metadata"]["generation"], **status}}
        self.plane.kubectl(
            "patch", kind, name, "-n", DESK, "--subresource=status", "--type=merge", "-p", json.dumps(body),
            kubeconfig=self._operator,
        )  # fmt: skip

    @contextmanager
    def answering(self, outcome: str, message: str, posture: dict[str, Any], name: str = DEMO) -> Iterator[None]:
        """Answer the next new act on a policy: the act first and the posture a moment after, as the operator does."""
        stop, before = threading.Event(), self._nonce(name)

        def operator() -> None:
            while not stop.is_set():
                act = self.get("riskpolicy", name)["spec"].get("act", {})
                if act.get("nonce", before) != before:
                    answer = {"nonce": act["nonce"], "verb": act["verb"], "outcome": outcome, "message": message}
                    self.say("riskpolicy", name, act=answer)
                    self.say("riskpolicy", name, posture=posture)
                    return
                stop.wait(0.05)

        thread = threading.Thread(target=operator)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _nonce(self, name: str) -> str | None:
        nonce: str | None = self.get("riskpolicy", name)["spec"].get("act", {}).get("nonce")
        return nonce


def conditions(*found: dict[str, str]) -> list[dict[str, Any]]:
    return [{**one, "lastTransitionTime": "2026-01-01T00:00:00Z"} for one in found]


@pytest.fixture
def stage(plane: ControlPlane) -> Iterator[Stage]:
    """A whole stack of resources that nothing has looked at."""
    made = Stage(plane)
    made.apply(
        policy_manifest(), phase_manifest("marketdata", None), phase_manifest("brain"), phase_manifest("execution")
    )
    yield made
    made.clear()


@pytest.fixture
def titan(stage: Stage, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(person: str, *arguments: str) -> tuple[int, str, str]:
        where = ("-n", DESK, "--kubeconfig", str(stage.plane.kubeconfig(person)))
        capsys.readouterr()
        code = run_app(app, "kubectl titan", [*arguments, *where])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "-o" in arguments or all(len(line) <= 100 for line in captured.out.splitlines())
        return code, captured.out, captured.err

    return run


HALTED = {"ceiling": "CLOSE_ONLY", "latch": "HALTED", "inForce": "HALTED", "workingOrders": 2, "openPositions": 1}
ACKNOWLEDGED = "acknowledged by Execution: HALTED, 2 working orders, 1 open positions"


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


@pytest.mark.parametrize("arguments", [["status"], ["why"], ["halt"], ["policy", "pin", DEMO]], ids=" ".join)
def test_who_may_nothing_is_told_so(titan: Run, arguments: list[str]) -> None:
    code, out, err = titan("eve", *arguments)
    assert (code, out) == (1, "")
    assert 'User "eve" cannot list resource' in err
    assert len(err.splitlines()) == 1


def test_status_of_a_stack_that_nobody_has_looked_at(titan: Run) -> None:
    code, out, err = titan("ana", "status")
    assert (code, err) == (0, "")
    assert "posture   unknown: ceiling CLOSE_ONLY, latch unknown; unknown working orders" in out
    assert [line.split()[:5] for line in out.splitlines()[-3:]] == [
        ["brain", "brain", "paper", "Unknown", "NotSeen"],
        ["execution", "execution", "paper", "Unknown", "NotSeen"],
        ["marketdata", "marketdata", "–", "Unknown", "NotSeen"],
    ]


def test_status_and_why_of_what_the_operator_wrote(stage: Stage, titan: Run) -> None:
    refused = "spec.image: it has not been verified: NoSignature: nothing that could be one is attached"
    for role in ("brain", "execution"):
        stage.say("titanphase", role, conditions=conditions(condition("Ready", "True", "Ready")), phase="Ready")
    stage.say(
        "titanphase",
        "marketdata",
        phase="Failed",
        conditions=conditions(
            condition("Ready", "False", "ImageVerified", refused), condition("ImageVerified", "False", message=refused)
        ),
    )
    stage.say("riskpolicy", DEMO, posture=HALTED, equity="199.5", drawdown="0.0025", truthScore=100, riskLevel="NORMAL")
    _, out, _ = titan("ana", "status")
    assert "equity    199.5 USDT, drawdown 0.25 %" in out
    code, out, _ = titan("ana", "why", "-o", "yaml")
    first, second = yaml.safe_load(out)["obstacles"]
    assert (code, first["where"], first["what"]) == (0, "TitanPhase marketdata", f"ImageVerified is False: {refused}")
    assert (second["where"], second["what"]) == (f"RiskPolicy {DEMO}", "posture is HALTED: the ceiling is CLOSE_ONLY")
    _, shown, _ = titan("ana", "why", "marketdata")
    assert shown.startswith("TitanPhase marketdata: ImageVerified is False: ")
    assert "  → use an image that a key of the trust policy has signed" in shown


def test_documents_are_whole(stage: Stage, titan: Run) -> None:
    found = json.loads(titan("ana", "status", "-o", "json")[1])
    assert [one["name"] for one in found["phases"]] == ["brain", "execution", "marketdata"]
    assert found["policies"][0]["pinned_by"] == ["brain", "execution"]
    assert found["policies"][0]["equity"] is None
    assert yaml.safe_load(titan("ana", "status", "-o", "yaml")[1]) == found


def test_pin_binds_every_phase_that_trades(stage: Stage, titan: Run) -> None:
    _, made, _ = titan("ana", "policy", "new", "--from", DEMO, "--set", "maxOrderNotional=5000")
    document = yaml.safe_load(made)
    name = document["metadata"]["name"]
    stage.apply({**document, "metadata": {"name": name, "namespace": DESK}})
    _, shown, _ = titan("ana", "policy", "diff", DEMO, name)
    assert shown.splitlines()[1].split() == ["maxOrderNotional", "10000", "5000", "tighter"]

    code, out, _ = titan("ana", "policy", "pin", name, "--dry-run")
    assert (code, out) == (0, f"titanphase/brain would pin {name}\ntitanphase/execution would pin {name}\n")
    assert stage.get("titanphase", "brain")["spec"]["policyRef"]["name"] == DEMO

    code, out, _ = titan("ana", "policy", "pin", name)
    assert (code, out.splitlines()[:2]) == (0, [f"titanphase/brain pins {name}", f"titanphase/execution pins {name}"])
    for role in ("brain", "execution"):
        assert stage.get("titanphase", role)["spec"]["policyRef"] == {"name": name, "hash": document["spec"]["hash"]}
    assert "policyRef" not in stage.get("titanphase", "marketdata")["spec"]
    assert titan("ana", "policy", "pin", name)[1] == f"every phase of namespace {DESK} pins {name} already\n"


def test_pin_refuses_a_policy_that_is_not_what_it_says(stage: Stage, titan: Run) -> None:
    # The API server cannot hash rules; whoever reads them does.
    stage.apply(policy_manifest("false-3e1725d5", rules={**RULES, "equityFloor": "100"}))
    code, out, err = titan("ana", "policy", "pin", "false-3e1725d5")
    assert (code, out) == (1, "")
    assert "the rules hash to sha256:" in err
    assert f"spec.hash says {HASH}" in err
    assert stage.get("titanphase", "brain")["spec"]["policyRef"]["name"] == DEMO
    assert "has no RiskPolicy gone; there are demo-3e1725d5, false-3e1725d5" in titan("ana", "policy", "pin", "gone")[2]


def test_kubectl_itself_finds_the_plugin(stage: Stage) -> None:
    environment = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "HOME": str(stage.plane.folder),
        "KUBECONFIG": str(stage.plane.kubeconfig("ana")),
    }
    done = subprocess.run(
        [stage.plane.tools["kubectl"], "titan", "status", "-n", DESK],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"stack     namespace {DESK}, policy {DEMO}\n")


def test_explaining_takes_the_verb_debug(titan: Run) -> None:
    assert 'User "ana" cannot get resource "services/proxy"' in titan("ana", "explain")[2]
    code, out, err = titan("pia", "explain")
    assert (code, out) == (1, "")
    assert "pia may not use services/proxy here: that takes the verb debug" in err
    assert titan("dee", "explain")[2] == "titan: namespace desk has no Service brain\n"
