"""``kubectl titan`` against a real API server with the admission chart; the operator's part is played by the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.cluster.kubectl_desk import DEMO, DESK, HALTED, Run, Stage, conditions, policy_manifest
from support.cluster.objects import HASH, RULES, condition


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
