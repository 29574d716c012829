"""Images and policies change under an open position: drained, rolled one by one, never raised, and back if it fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from support.cluster.installation import BROKEN, IMAGE, NEXT, PHASES, ROOT, SYSTEM, Installation
from support.cluster.running_stack import RunningStack, eager
from support.podrunner.runner import PodRunnerError
from titan.domain.enums import Posture
from titan.domain.policy_hash import policy_hash
from titan_operator.planning.roles import ROLL_ORDER

UNLISTED = "titan/titan@sha256:" + "9" * 64
DESK, SMALL = "desk", "small"


@pytest.fixture(scope="module")
def stack(at: Installation) -> Iterator[RunningStack]:
    """A stack with a position that only a person ends."""
    stack = RunningStack(at, DESK)
    stack.start(eager())
    yield stack
    stack.end()


def set_images(stack: RunningStack, image: str, *names: str) -> None:
    """Change images as `kubectl apply` of a commit does."""
    for name in names or ROLL_ORDER:
        stack.patch(name, {"image": image})


def settled(stack: RunningStack) -> None:
    """Wait until every phase is Ready again; then nothing but a person may loosen."""
    stack.at.wait_ready(stack.namespace)
    stack.at.wait("the posture", lambda: stack.at.posture(stack.namespace) == "CLOSE_ONLY")


def one_at_a_time(stack: RunningStack) -> None:
    """Each pod was made after its forerunner of the order ran."""
    pods = stack.pods()
    times = [
        (pods[role]["metadata"]["creationTimestamp"], pods[role]["status"]["containerStatuses"][0]["state"]["running"])
        for role in ROLL_ORDER
    ]
    for (_, running), (created, _) in pairwise(times):
        assert created >= running["startedAt"], times


def test_a_new_image_is_drained_rolled_and_reconciled_with_the_position_kept(stack: RunningStack) -> None:
    stack.trade()
    held, before = stack.held(), stack.pods()
    with stack.watched() as watch:
        set_images(stack, NEXT)
        stack.at.wait("no entries", lambda: {stack.latch(), stack.latch("brain")} == {Posture.CLOSE_ONLY})
        with stack.watched(cap=Posture.CLOSE_ONLY):
            settled(stack)
    assert (stack.held(), stack.covered, watch.most) == (held, True, 1)
    after = stack.pods()
    for role in PHASES:
        assert after[role]["metadata"]["uid"] != before[role]["metadata"]["uid"]
        assert after[role]["spec"]["containers"][0]["image"] == NEXT
    one_at_a_time(stack)
    for phase in stack.phases():
        revision = phase["status"]["revision"]
        assert (revision["current"], phase["status"]["imageDigest"]) == (revision["lastVerified"], NEXT.split("@")[1])


def test_an_image_that_nobody_listed_is_refused_while_the_old_goes_on_trading(stack: RunningStack) -> None:
    stack.trade()
    before = stack.pods()["execution"]
    running = before["spec"]["containers"][0]["image"]
    set_images(stack, UNLISTED, "execution")
    stack.at.wait("the refusal", lambda: stack.condition("execution", "ImageVerified").get("status") == "False")
    ready = stack.condition("execution", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ImageVerified")
    assert UNLISTED in ready["message"]
    assert "goes on" in ready["message"]
    assert stack.pods()["execution"]["metadata"]["uid"] == before["metadata"]["uid"]
    assert stack.latch() is Posture.ARMED
    stack.stays_protected(1.0)
    set_images(stack, running, "execution")
    stack.at.wait_ready(DESK)
    assert stack.pods()["execution"]["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_broken_image_is_returned_from_without_a_person(stack: RunningStack) -> None:
    stack.trade()
    held = stack.held()
    good = stack.at.get("titanphase", "execution", DESK)["status"]["revision"]["lastVerified"]
    running = stack.pods()["execution"]["spec"]["containers"][0]["image"]
    brain = stack.pods()["brain"]["metadata"]["uid"]
    with stack.watched():
        set_images(stack, BROKEN, "execution")
        stack.at.wait("the end of the old one", lambda: not stack.processes("execution-0"))
        stack.at.wait("the return", lambda: stack.condition("execution", "Stalled").get("reason") == "RollFailed")
        stack.at.wait("Execution", lambda: stack.at.posture(DESK) == "CLOSE_ONLY" and stack.protected())
    status = stack.at.get("titanphase", "execution", DESK)["status"]
    assert status["revision"]["lastVerified"] == good
    assert status["revision"]["failed"] != good
    assert stack.pods()["execution"]["spec"]["containers"][0]["image"] == running
    assert (stack.held(), stack.latch()) == (held, Posture.CLOSE_ONLY)
    # The others have gone on all the while, and a new spec is a new try.
    assert stack.pods()["brain"]["metadata"]["uid"] == brain
    stack.at.wait("Brain", lambda: stack.condition("brain", "Ready")["status"] == "True")
    set_images(stack, running, "execution")
    settled(stack)
    assert not stack.condition("execution", "Stalled")


def test_the_operator_is_killed_and_a_person_halts_in_the_middle_of_a_roll(stack: RunningStack) -> None:
    stack.trade()
    at, held, before = stack.at, stack.held(), stack.pods()
    old = before["execution"]["spec"]["containers"][0]["image"]
    wanted = NEXT if old == IMAGE else IMAGE

    def other(role: str) -> bool:
        pod = stack.pods().get(role)
        return pod is not None and pod["metadata"]["uid"] != before[role]["metadata"]["uid"]

    points = (
        ("entries are closed", lambda: stack.latch() < Posture.ARMED),
        ("Execution has ended", lambda: not stack.processes("execution-0") or other("execution")),
        ("Execution is another", lambda: other("execution") and stack.processes("execution-0")),
        ("Brain is another", lambda: other("brain")),
        ("the phase is another", lambda: other("scavenger")),
    )
    with ExitStack() as watches:
        watch = watches.enter_context(stack.watched())
        set_images(stack, wanted)
        for what, reached in points:
            at.wait(what, reached)
            kill_operator(at)
            if what == "entries are closed":
                watches.enter_context(stack.watched(cap=Posture.CLOSE_ONLY))
            if what == "Execution is another":
                at.titan("halt", "--reason", "in the middle", namespace=DESK)
                watches.enter_context(stack.watched(cap=Posture.HALTED))
        at.wait_ready(DESK)
        at.wait("the posture", lambda: at.posture(DESK) == "HALTED")
    assert watch.most == 1
    assert (stack.held(), stack.covered) == (held, True)
    assert {pod["spec"]["containers"][0]["image"] for pod in stack.pods().values()} == {wanted}
    one_at_a_time(stack)


def kill_operator(at: Installation) -> None:
    """``kill -9``; its pod starts it again."""
    (pod,) = (pod for pod in at.list("pods", SYSTEM) if pod["status"].get("phase") != "Succeeded")

    def killed() -> bool:
        try:
            at.runner.kill(SYSTEM, pod["metadata"]["name"])
        except PodRunnerError:
            # The one before has not been started again yet.
            return False
        return True

    at.wait("an operator to kill", killed)


def test_a_newer_chart_adds_a_rule_and_is_rolled_back(stack: RunningStack, tmp_path: Path) -> None:
    stack.trade()
    at, before = stack.at, stack.pods()
    chart = tmp_path / "titan"
    shutil.copytree(ROOT / "charts" / "titan", chart)
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(described | {"version": "99.0.0"}))
    file = chart / "crds" / "titan.trading_riskpolicies.yaml"
    definition = yaml.safe_load(file.read_text())
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["rules"]["properties"]["maxWeeklyLoss"] = {"type": "string", "maxLength": 20}
    file.write_text(yaml.safe_dump(definition))
    policy = at.policy(DESK)

    # As the docs say: first the definitions, then the chart; a rollback touches the chart only.
    at.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
    helm = ("-n", SYSTEM, "--wait", "--timeout", "180s")
    at.plane.helm("upgrade", "titan", str(chart), "--reuse-values", *helm)
    assert at.policy(DESK)["spec"]["rules"] == policy["spec"]["rules"]
    at.plane.helm("rollback", "titan", *helm)

    after = at.policy(DESK)
    assert (after["spec"]["rules"], after["spec"]["hash"]) == (policy["spec"]["rules"], policy["spec"]["hash"])
    assert policy_hash(after["spec"]["rules"]) == after["spec"]["hash"] == after["status"]["inForce"]["execution"]
    at.wait_ready(DESK)
    uids = {role: pod["metadata"]["uid"] for role, pod in stack.pods().items()}
    assert uids == {role: pod["metadata"]["uid"] for role, pod in before.items()}
    at.titan("halt", "--reason", "after a rollback", namespace=DESK)
    assert stack.latch() is Posture.HALTED
    assert stack.covered


def test_a_new_policy_is_in_force_by_a_pin_with_the_position_kept(stack: RunningStack) -> None:
    stack.trade()
    at, held = stack.at, stack.held()
    old = at.policy(DESK)["metadata"]["name"]
    changed = ("--set", "maxEntryOrdersPerSymbol=4", "--posture", "ARMED", "--name", "demo")
    new = yaml.safe_load(at.titan("policy", "new", "--from", old, *changed, namespace=DESK).stdout)
    at.apply(DESK, [new])
    name, wanted = new["metadata"]["name"], new["spec"]["hash"]
    assert wanted != at.get("riskpolicy", old, DESK)["spec"]["hash"]

    with stack.watched():
        at.titan("policy", "pin", name, namespace=DESK)
        at.wait("no entries", lambda: stack.latch() is Posture.CLOSE_ONLY)
        with stack.watched(cap=Posture.CLOSE_ONLY):
            at.wait(
                "both on the new policy",
                lambda: (
                    (at.get("riskpolicy", name, DESK)["status"].get("inForce") or {})
                    == {"brain": wanted, "execution": wanted}
                ),
            )
            settled_on(stack, name)
    assert (stack.held(), stack.covered) == (held, True)
    pods = stack.pods()
    assert pods["execution"]["metadata"]["creationTimestamp"] <= pods["brain"]["metadata"]["creationTimestamp"]
    at.wait("one policy's rules", lambda: len(rules_of(stack)) == 1)
    (file,) = rules_of(stack)
    assert wanted.removeprefix("sha256:").startswith(file.removeprefix("policy-"))
    # Nothing is armed again, but what reduces passes: a phase whose time is over closes under CLOSE_ONLY.
    stack.patch("scavenger", {"parameters": {"holdMs": 1000}})
    at.wait("the end of the position", lambda: not stack.venue().positions)
    assert stack.latch() is Posture.CLOSE_ONLY
    stack.patch("scavenger", {"parameters": {"holdMs": 600_000}})
    at.plane.kubectl("delete", "riskpolicy", old, "-n", DESK)


def settled_on(stack: RunningStack, policy: str) -> None:
    """Wait until every phase is Ready again on a policy that is in force at CLOSE_ONLY."""
    stack.at.wait_ready(stack.namespace)
    posture = stack.at.get("riskpolicy", policy, stack.namespace)["status"]["posture"]
    assert (posture["ceiling"], posture["latch"], posture["inForce"]) == ("ARMED", "CLOSE_ONLY", "CLOSE_ONLY")


def rules_of(stack: RunningStack) -> list[str]:
    """ConfigMaps that hold a policy's rules."""
    names = [item["metadata"]["name"] for item in stack.at.list("configmaps", stack.namespace)]
    return [name for name in names if name.startswith("policy-")]


@pytest.mark.chaos
def test_a_phase_without_its_capital_is_dormant_and_ready(at: Installation) -> None:
    stack = RunningStack(at, SMALL)
    resources = eager()
    for item in resources:
        if item["spec"].get("role") == "papervenue":
            item["spec"]["parameters"]["initialBalance"] = "149"
    at.apply(SMALL, resources)
    at.wait("Dormant", lambda: stack.condition("scavenger", "Ready").get("reason") == "Dormant")
    at.wait_ready(SMALL)
    ready = stack.condition("scavenger", "Ready")
    assert (ready["status"], "149" in ready["message"], "150" in ready["message"]) == ("True", True, True)
    assert not stack.processes("scavenger")
    stack.end()


def test_its_namespace_is_deleted(stack: RunningStack) -> None:
    stack.trade()
    plane = stack.at.plane
    # Whoever may delete namespaces, and nothing of ours.
    plane.kubectl("create", "clusterrole", "janitor", "--verb=delete", "--resource=namespaces")
    plane.kubectl("create", "clusterrolebinding", "ana-janitor", "--clusterrole=janitor", "--user=ana")
    refused = plane.kubectl("delete", "namespace", DESK, kubeconfig=plane.kubeconfig("ana"), check=False)
    assert f"ana may not delete namespaces {DESK}" in refused.stderr
    assert "has the verb release" in refused.stderr

    with stack.watched():
        plane.kubectl("delete", "namespace", DESK, "--wait=false")
        stack.draining()
        stack.stays_protected()
        # All may be gone before the command has read the answer; that is an answer too.
        stack.at.titan("flatten", namespace=DESK)
        stack.at.wait("the end of the position", lambda: not stack.venue().positions)
    stack.at.wait("the end of all processes", lambda: not stack.processes(""))
    stack.at.wait("the end of its namespace", lambda: DESK not in stack.at.all_namespaces())


def test_nothing_is_stuck_for_good(at: Installation) -> None:
    """Last: the namespaces of all stacks that traded go, whatever was done in them, and the operator's rights too."""
    traded = {DESK, "news", "released", "orphaned"}
    at.plane.kubectl("delete", "namespace", *traded, "--ignore-not-found", "--wait=false")
    at.wait("the end of the namespaces", lambda: not at.all_namespaces() & traded)
    at.restore()
