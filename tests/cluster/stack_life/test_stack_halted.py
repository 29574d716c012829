"""A person arms a stack and another halts it; then nothing but a person with the verb arms it again.

With all processes: the API server, the operator, and the stack's own, whose latches on their disks are the truth.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

import pytest
import yaml

from support.cluster import processes
from support.cluster.installation import IMAGE, ROOT, SYSTEM, Installation
from support.cluster.processes import operator_pod, passes, samples, total
from support.cluster.running_stack import EAGER, RunningStack
from titan.domain.enums import Posture
from titan.domain.policy_hash import policy_hash, short_hash
from titan.runtime.topology import ROLES

NEWS = "news"
# ana writes resources; tom may arm besides.
PEOPLE = (("ana", "titan-author"), ("tom", "titan-trader"))
# In this time a phase that holds for a second and waits for two enters again, and again.
ENTERS_AGAIN_S = 8.0
# Long enough to see a position protected, and short enough to wait for its end.
SHORT_MS = 12_000


@pytest.fixture(scope="module")
def stack(at: Installation) -> Iterator[RunningStack]:
    """A stack by Helm whose phase trades without a pause, and two people."""
    for person, role in PEOPLE:
        flags = (f"--clusterrole={role}", f"--user={person}")
        at.plane.kubectl("create", "rolebinding", f"{person}-{role}", *flags, "-n", NEWS)
    stack = RunningStack(at, NEWS)
    values = {"image": IMAGE, "phases": {"scavenger": {"parameters": EAGER | {"holdMs": 1000}}}}
    (at.folder / "values.json").write_text(json.dumps(values))
    _helm(at, "install", "quickstart", _chart(at), "-f", str(at.folder / "values.json"), "--wait", "--timeout", "180s")
    yield stack
    stack.end()


def _chart(at: Installation) -> str:
    """A copy of the chart whose demo policy lets a phase lose a hundred times: a slow halt takes many trades."""
    chart = at.folder / "titan-stack"
    if not chart.exists():
        shutil.copytree(ROOT / "charts" / "titan-stack", chart)
        file = chart / "policies" / "demo.yaml"
        policy = yaml.safe_load(file.read_text())
        policy["spec"]["rules"]["lossStreakCount"] = 100
        policy["spec"]["hash"] = policy_hash(policy["spec"]["rules"])
        policy["metadata"]["name"] = f"demo-{short_hash(policy['spec']['hash'])}"
        file.write_text(yaml.safe_dump(policy))
    return str(chart)


def _helm(at: Installation, *arguments: str) -> None:
    at.plane.helm(*arguments, "-n", NEWS)


def _entries(stack: RunningStack) -> float:
    """Orders that open, as Execution has counted them since it runs."""
    address = stack.pods()["execution"]["status"]["podIP"]
    return total(samples(address, ROLES["execution"].http_port), "titan_place_taken_total", lane="OPENING")


def _armed(stack: RunningStack) -> None:
    """Have tom arm, whatever was before, until orders have been filled since."""
    stack.arm("go", "tom")
    assert stack.latch() is Posture.ARMED
    before = stack.venue().last_trade_sequence
    stack.at.wait("a fill", lambda: stack.venue().last_trade_sequence > before)


def _halted(stack: RunningStack) -> None:
    """Have ana halt."""
    stack.at.titan("halt", "--reason", "news", namespace=NEWS, user="ana")
    assert (stack.latch("execution"), stack.latch("brain")) == (Posture.HALTED, Posture.HALTED)


def _acts(at: Installation) -> list[tuple[str, str, datetime]]:
    """Return users, acts and times of the writes in the audit log."""
    return [
        (
            event["user"]["username"],
            event["requestObject"]["spec"]["act"]["verb"],
            datetime.fromisoformat(event["requestReceivedTimestamp"]),
        )
        for event in at.plane.audit()
        if event["objectRef"]["resource"] == "riskpolicies"
        and event["verb"] == "patch"
        and event["user"]["username"] in dict(PEOPLE)
        and event["responseStatus"]["code"] == 200
        and "act" in event.get("requestObject", {}).get("spec", {})
    ]


def test_orders_are_filled_when_armed_and_none_opens_once_halted(stack: RunningStack) -> None:
    at = stack.at
    assert (at.posture(NEWS), stack.venue().trades) == ("CLOSE_ONLY", [])
    _armed(stack)
    at.wait("another entry", lambda: _entries(stack) >= 2)
    at.wait("the posture in the status", lambda: at.posture(NEWS) == "ARMED")

    done = at.titan("halt", "--reason", "news", namespace=NEWS, user="ana")
    assert "HALTED" in done.stdout
    assert "acknowledged by Execution" in done.stdout
    entries = _entries(stack)
    person, verb, asked = _acts(at)[-1]
    assert (person, verb) == ("ana", "halt")
    obeyed_s = (at.folder / "run" / "claims" / NEWS / "state-execution-0" / "latch.json").stat().st_mtime
    assert obeyed_s >= asked.timestamp()
    # Long enough for several more, had nobody halted it.
    passes(at, NEWS, more=int(ENTERS_AGAIN_S))
    assert _entries(stack) == entries
    posture = at.policy(NEWS)["status"]["posture"]
    assert (posture["inForce"], posture["acknowledgedBy"], posture["ceiling"]) == ("HALTED", "execution", "ARMED")


def test_what_people_are_shown_of_a_halted_stack(stack: RunningStack) -> None:
    _halted(stack)
    at = stack.at
    at.wait("the posture in the status", lambda: at.posture(NEWS) == "HALTED")
    status = at.titan("status", namespace=NEWS, user="ana").stdout
    assert "HALTED: ceiling ARMED, latch HALTED, acknowledged by execution" in status
    why = at.titan("why", "scavenger", namespace=NEWS, user="ana").stdout
    assert "HALTED" in why
    assert "kubectl titan arm" in why


def _rendered(stack: RunningStack) -> str:
    """Return the manifests in Git."""
    values = str(stack.at.folder / "values.json")
    return stack.at.plane.helm("template", "quickstart", _chart(stack.at), "-n", NEWS, "-f", values).stdout


def self_heal(stack: RunningStack) -> None:
    """Apply as Flux does each interval: server-side apply with force, by a manager of its own."""
    flags = ("--server-side", "--force-conflicts", "--field-manager=kustomize-controller")
    stack.at.plane.kubectl("apply", *flags, "-n", NEWS, "-f", "-", stdin=_rendered(stack))


def sync(stack: RunningStack) -> None:
    """Apply as Argo CD does without server-side apply: a client's three-way merge."""
    stack.at.plane.kubectl("apply", "-n", NEWS, "-f", "-", stdin=_rendered(stack))


def apply_armed(stack: RunningStack) -> None:
    """Apply a file with posture ARMED as a person who may loosen."""
    policy = next(item for item in yaml.safe_load_all(_rendered(stack)) if item and item["kind"] == "RiskPolicy")
    policy["spec"]["posture"] = "ARMED"
    flags = ("--server-side", "--force-conflicts", "--field-manager=tom")
    stack.at.plane.kubectl("apply", *flags, "-n", NEWS, "-f", "-", stdin=yaml.safe_dump(policy))


def lower_and_raise(stack: RunningStack) -> None:
    """The ceiling goes down and up again."""
    name = stack.at.policy(NEWS)["metadata"]["name"]
    for posture in ("CLOSE_ONLY", "ARMED"):
        stack.patch(name, {"posture": posture}, "riskpolicy")


def upgrade(stack: RunningStack) -> None:
    """A setting of the market changes: that process is rolled."""
    changed = "phases.marketdata.parameters.seed=2"
    _helm(stack.at, "upgrade", "quickstart", _chart(stack.at), "--reuse-values", "--force-conflicts", "--set", changed)


def roll_back(stack: RunningStack) -> None:
    """Helm's first revision again."""
    _helm(stack.at, "rollback", "quickstart", "1", "--force-conflicts")


def kill_operator(stack: RunningStack) -> None:
    """``kill -9``: its pod starts it again."""
    processes.kill_operator(stack.at)


def restart_operator(stack: RunningStack) -> None:
    """Its pod is deleted: another one takes over."""
    stack.at.plane.kubectl("delete", "pod", operator_pod(stack.at)["metadata"]["name"], "-n", SYSTEM)


def kill_execution(stack: RunningStack) -> None:
    """``kill -9``: it reads its latch again."""
    stack.at.runner.kill(NEWS, "execution-0")


SAMPLE = (apply_armed, upgrade, roll_back, kill_operator, kill_execution)
# gitops/test_halt_stays.py has the like of these always, on a stack that only answers.
SWEEP = (self_heal, sync, lower_and_raise, restart_operator)
MEANWHILE = [*SAMPLE, *(pytest.param(act, marks=pytest.mark.chaos) for act in SWEEP)]


@pytest.mark.parametrize("act", MEANWHILE, ids=lambda act: act.__name__)
def test_nothing_that_happens_meanwhile_ends_a_halt(stack: RunningStack, act: Callable[[RunningStack], None]) -> None:
    at = stack.at
    _halted(stack)
    with stack.watched(cap=Posture.HALTED):
        act(stack)
        passes(at, NEWS)
        at.wait_ready(NEWS)
    posture = at.policy(NEWS)["status"]["posture"]
    assert (posture["ceiling"], posture["latch"], posture["inForce"]) == ("ARMED", "HALTED", "HALTED")


FORGED: list[tuple[str, dict[str, Any], str]] = [
    ("in the own name", {"verb": "arm", "nonce": "anas-own-1", "by": "ana"}, "ana may not arm"),
    ("in another's name", {"verb": "arm", "nonce": "anas-own-2", "by": "tom"}, "spec.act.by is tom, and ana asks"),
]


@pytest.mark.parametrize(("act", "said"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_a_person_without_the_verb_is_refused_by_the_api_server(
    stack: RunningStack, act: dict[str, Any], said: str
) -> None:
    _halted(stack)
    name = stack.at.policy(NEWS)["metadata"]["name"]
    body = json.dumps({"spec": {"act": act}})
    patch = ("patch", "riskpolicy", name, "-n", NEWS, "--type=merge", "-p", body)
    refused = stack.at.plane.kubectl(*patch, kubeconfig=stack.at.plane.kubeconfig("ana"), check=False)
    assert refused.returncode != 0
    assert said in refused.stderr
    assert stack.latch() is Posture.HALTED


def test_a_person_with_the_verb_ends_it_and_the_audit_names_everybody(stack: RunningStack) -> None:
    at = stack.at
    _halted(stack)
    refused = at.titan("arm", namespace=NEWS, user="ana", check=False)
    assert refused.returncode == 1
    assert "ana may not arm: that takes the verb arm" in refused.stderr
    assert stack.latch() is Posture.HALTED
    _armed(stack)
    _halted(stack)
    # tom asks until it is not refused.
    acts = [one for one, _ in groupby((person, verb) for person, verb, _ in _acts(at))]
    assert acts[-3:] == [("ana", "halt"), ("tom", "arm"), ("ana", "halt")]
    assert {person for person, verb, _ in _acts(at) if verb == "arm"} == {"tom"}


def test_deleted_in_the_foreground_as_argo_does_it(stack: RunningStack) -> None:
    stack.patch("scavenger", {"parameters": {"holdMs": SHORT_MS}})
    _armed(stack)
    stack.at.wait("a position with its stop", lambda: stack.covered)
    with stack.watched():
        stack.delete("titanphases", "--all", "--cascade=foreground")
        stack.draining()
        stack.stays_protected()
        # The phase itself closes it when its time is over: reducing orders pass to the end.
        stack.at.wait("the end of the position", lambda: not stack.venue().positions)
    stack.at.wait("the end of all phases", lambda: not stack.phases() and not stack.processes(""))
    # No process reports a posture any longer; the operator writes that in its next pass.
    stack.at.wait("a status without a posture", lambda: stack.at.posture(stack.namespace) == "")
    stack.delete("riskpolicies", "--all")
    stack.at.wait("the end of the policy", stack.gone)
