"""A person arms a stack and another halts it; then nothing but a person with the verb arms it again.

With all processes: the API server, the operator, and the stack's own, whose latches on their disks are the truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import yaml

from support.cluster import processes
from support.cluster.installation import IMAGE, ROOT, SYSTEM, Installation, installation
from support.cluster.processes import operator_pod, passes, samples, total
from support.cluster.running_stack import EAGER, Life
from titan.domain.kinds import Posture
from titan.runtime.topology import ROLES

DESK = "desk"
CHART = str(ROOT / "charts" / "titan-stack")
# ana writes resources; tom may arm besides.
PEOPLE = (("ana", "titan-author"), ("tom", "titan-trader"))
# In this time a phase that holds for a second and waits for two enters again, and again.
ENTERS_AGAIN_S = 8.0


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The charts, and two people."""
    with installation(tmp_path_factory.mktemp("halted"), [DESK]) as made:
        for person, role in PEOPLE:
            flags = (f"--clusterrole={role}", f"--user={person}")
            made.plane.kubectl("create", "rolebinding", f"{person}-{role}", *flags, "-n", DESK)
        yield made


@pytest.fixture(scope="module")
def desk(at: Installation) -> Iterator[Life]:
    """A stack by Helm whose phase trades without a pause."""
    life = Life(at, DESK)
    values = {"image": IMAGE, "phases": {"scavenger": {"parameters": EAGER | {"holdMs": 1000}}}}
    (at.folder / "values.json").write_text(json.dumps(values))
    _helm(at, "install", "quickstart", CHART, "-f", str(at.folder / "values.json"), "--wait", "--timeout", "90s")
    yield life
    life.end()


def _helm(at: Installation, *arguments: str) -> None:
    at.plane.helm(*arguments, "-n", DESK)


def _entries(life: Life) -> float:
    """Orders that open, as Execution has counted them since it runs."""
    address = life.pods()["execution"]["status"]["podIP"]
    return total(samples(address, ROLES["execution"].http_port), "titan_place_taken_total", position_effect="OPENING")


def _armed(life: Life) -> None:
    """Have tom arm, whatever was before, until orders have been filled since."""
    life.at.titan("arm", "--reason", "go", namespace=DESK, user="tom")
    assert life.latch() is Posture.ARMED
    before = life.venue().last_trade_sequence
    life.at.wait("a fill", lambda: life.venue().last_trade_sequence > before)


def _halted(life: Life) -> None:
    """Have ana halt."""
    life.at.titan("halt", "--reason", "news", namespace=DESK, user="ana")
    assert (life.latch("execution"), life.latch("brain")) == (Posture.HALTED, Posture.HALTED)


def _acts(at: Installation) -> list[tuple[str, str, datetime]]:
    """Who has written which act and when, as the audit log has it."""
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


def test_orders_are_filled_when_armed_and_none_opens_once_halted(desk: Life) -> None:
    at = desk.at
    assert (at.posture(DESK), desk.venue().trades) == ("CLOSE_ONLY", [])
    _armed(desk)
    at.wait("another entry", lambda: _entries(desk) >= 2)
    at.wait("the posture in the status", lambda: at.posture(DESK) == "ARMED")

    done = at.titan("halt", "--reason", "news", namespace=DESK, user="ana")
    assert "HALTED" in done.stdout
    assert "acknowledged by Execution" in done.stdout
    entries = _entries(desk)
    person, verb, asked = _acts(at)[-1]
    assert (person, verb) == ("ana", "halt")
    obeyed_s = (at.folder / "run" / "claims" / DESK / "state-execution-0" / "latch.json").stat().st_mtime
    assert obeyed_s >= asked.timestamp()
    # Long enough for several more, had nobody halted it.
    passes(at, DESK, more=int(ENTERS_AGAIN_S))
    assert _entries(desk) == entries
    posture = at.policy(DESK)["status"]["posture"]
    assert (posture["inForce"], posture["acknowledgedBy"], posture["ceiling"]) == ("HALTED", "execution", "ARMED")


def test_what_people_are_shown_of_a_halted_stack(desk: Life) -> None:
    _halted(desk)
    at = desk.at
    at.wait("the posture in the status", lambda: at.posture(DESK) == "HALTED")
    status = at.titan("status", namespace=DESK, user="ana").stdout
    assert "HALTED: ceiling ARMED, latch HALTED, acknowledged by execution" in status
    why = at.titan("why", "scavenger", namespace=DESK, user="ana").stdout
    assert "HALTED" in why
    assert "kubectl titan arm" in why


def _rendered(life: Life) -> str:
    """What is in Git."""
    values = str(life.at.folder / "values.json")
    return life.at.plane.helm("template", "quickstart", CHART, "-n", DESK, "-f", values).stdout


def self_heal(life: Life) -> None:
    """What Flux does each interval: server-side apply with force, by a manager of its own."""
    flags = ("--server-side", "--force-conflicts", "--field-manager=kustomize-controller")
    life.at.plane.kubectl("apply", *flags, "-n", DESK, "-f", "-", stdin=_rendered(life))


def sync(life: Life) -> None:
    """What Argo CD does without server-side apply: a client's three-way merge."""
    life.at.plane.kubectl("apply", "-n", DESK, "-f", "-", stdin=_rendered(life))


def apply_armed(life: Life) -> None:
    """A file that says ARMED, applied by a person who may loosen."""
    policy = next(item for item in yaml.safe_load_all(_rendered(life)) if item and item["kind"] == "RiskPolicy")
    policy["spec"]["posture"] = "ARMED"
    flags = ("--server-side", "--force-conflicts", "--field-manager=tom")
    life.at.plane.kubectl("apply", *flags, "-n", DESK, "-f", "-", stdin=yaml.safe_dump(policy))


def lower_and_raise(life: Life) -> None:
    """The ceiling goes down and up again."""
    name = life.at.policy(DESK)["metadata"]["name"]
    for posture in ("CLOSE_ONLY", "ARMED"):
        life.patch(name, {"posture": posture}, "riskpolicy")


def upgrade(life: Life) -> None:
    """A setting of the market changes: that process is rolled."""
    changed = "phases.marketdata.parameters.seed=2"
    _helm(life.at, "upgrade", "quickstart", CHART, "--reuse-values", "--force-conflicts", "--set", changed)


def roll_back(life: Life) -> None:
    """Helm's first revision again."""
    _helm(life.at, "rollback", "quickstart", "1", "--force-conflicts")


def kill_operator(life: Life) -> None:
    """``kill -9``: its pod starts it again."""
    processes.kill_operator(life.at)


def restart_operator(life: Life) -> None:
    """Its pod is deleted: another one takes over."""
    life.at.plane.kubectl("delete", "pod", operator_pod(life.at)["metadata"]["name"], "-n", SYSTEM)


def kill_execution(life: Life) -> None:
    """``kill -9``: it reads its latch again."""
    life.at.runner.kill(DESK, "execution-0")


MEANWHILE: tuple[Callable[[Life], None], ...] = (
    self_heal, sync, apply_armed, lower_and_raise, upgrade, roll_back, kill_operator, restart_operator, kill_execution
)  # fmt: skip


@pytest.mark.parametrize("act", MEANWHILE, ids=[act.__name__ for act in MEANWHILE])
def test_nothing_that_happens_meanwhile_ends_a_halt(desk: Life, act: Callable[[Life], None]) -> None:
    at = desk.at
    _halted(desk)
    with desk.watched(cap=Posture.HALTED):
        act(desk)
        passes(at, DESK)
        at.wait_ready(DESK)
    posture = at.policy(DESK)["status"]["posture"]
    assert (posture["ceiling"], posture["latch"], posture["inForce"]) == ("ARMED", "HALTED", "HALTED")


FORGED: list[tuple[str, dict[str, Any], str]] = [
    ("in the own name", {"verb": "arm", "nonce": "anas-own-1", "by": "ana"}, "ana may not arm"),
    ("in another's name", {"verb": "arm", "nonce": "anas-own-2", "by": "tom"}, "spec.act.by is tom, and ana asks"),
]


@pytest.mark.parametrize(("act", "said"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_a_person_without_the_verb_is_refused_by_the_api_server(desk: Life, act: dict[str, Any], said: str) -> None:
    _halted(desk)
    name = desk.at.policy(DESK)["metadata"]["name"]
    body = json.dumps({"spec": {"act": act}})
    patch = ("patch", "riskpolicy", name, "-n", DESK, "--type=merge", "-p", body)
    refused = desk.at.plane.kubectl(*patch, kubeconfig=desk.at.plane.kubeconfig("ana"), check=False)
    assert refused.returncode != 0
    assert said in refused.stderr
    assert desk.latch() is Posture.HALTED


def test_a_person_with_the_verb_ends_it_and_the_audit_names_everybody(desk: Life) -> None:
    at = desk.at
    _halted(desk)
    refused = at.titan("arm", namespace=DESK, user="ana", check=False)
    assert refused.returncode == 1
    assert "ana may not arm: that takes the verb arm" in refused.stderr
    assert desk.latch() is Posture.HALTED
    _armed(desk)
    _halted(desk)
    assert [(person, verb) for person, verb, _ in _acts(at)][-3:] == [("ana", "halt"), ("tom", "arm"), ("ana", "halt")]
    assert {person for person, verb, _ in _acts(at) if verb == "arm"} == {"tom"}
