"""What the operator refuses or does not believe in a stack that was never armed, and a phase that pauses."""

from __future__ import annotations

import yaml

from support.cluster.installation import LYING, PHASES
from support.cluster.running_stack import QUICK, RunningStack
from titan.domain.enums import Posture


def refusal(stack: RunningStack, name: str, reason: str) -> str:
    """Wait until a gate refuses; return its message."""
    stack.at.wait(f"{reason} at {name}", lambda: stack.condition(name, reason).get("status") == "False")
    return str(stack.condition(name, reason)["message"])


def test_a_hash_of_other_bytes_and_two_policies_are_refused_with_both_values(quick: RunningStack) -> None:
    at, uids = quick.at, {role: pod["metadata"]["uid"] for role, pod in quick.pods().items()}
    policy = at.policy(QUICK)
    name, right = policy["metadata"]["name"], policy["spec"]["hash"]
    wrong = "sha256:" + "e" * 64
    quick.patch("brain", {"policyRef": {"name": name, "hash": wrong}})
    said = refusal(quick, "brain", "PolicyHashMatches")
    assert wrong in said
    assert right in said
    quick.patch("brain", {"policyRef": {"name": name, "hash": right}})
    at.wait_ready(QUICK)

    other = yaml.safe_load(
        at.titan("policy", "new", "--from", name, "--set", "maxEntryOrdersPerSymbol=3", namespace=QUICK).stdout
    )
    at.apply(QUICK, [other])
    pinned = {"name": other["metadata"]["name"], "hash": other["spec"]["hash"]}
    quick.patch("scavenger", {"policyRef": pinned})
    said = refusal(quick, "scavenger", "OnePolicyPerStack")
    assert f"pins {name}" in said
    assert f"scavenger pins {pinned['name']}" in said
    arming = at.titan("arm", namespace=QUICK, check=False)
    assert arming.returncode != 0
    assert quick.latch() is Posture.CLOSE_ONLY
    quick.patch("scavenger", {"policyRef": {"name": name, "hash": right}})
    at.wait_ready(QUICK)
    assert uids == {role: pod["metadata"]["uid"] for role, pod in quick.pods().items()}

    # Rules that are not those of the hash: a person who wrote them by hand.
    spec = policy["spec"] | {"rules": policy["spec"]["rules"] | {"maxEntryOrdersPerSymbol": 5}, "hash": wrong}
    forged = {"name": f"forged-{'e' * 8}"}
    at.apply(QUICK, [{"apiVersion": policy["apiVersion"], "kind": "RiskPolicy", "metadata": forged, "spec": spec}])
    for role in ("execution", "brain", "scavenger"):
        quick.patch(role, {"policyRef": forged | {"hash": wrong}})
    at.wait("the refusal", lambda: wrong in quick.condition("execution", "Ready").get("message", ""))
    assert right in quick.condition("execution", "Ready")["message"]
    for role in ("execution", "brain", "scavenger"):
        quick.patch(role, {"policyRef": {"name": name, "hash": right}})
    quick.delete("riskpolicy", forged["name"], pinned["name"])
    at.wait("one policy again", lambda: [item["metadata"]["name"] for item in at.list("riskpolicies", QUICK)] == [name])
    at.wait_ready(QUICK)
    assert uids == {role: pod["metadata"]["uid"] for role, pod in quick.pods().items()}


def test_a_pod_that_reports_another_hash_is_not_believed(quick: RunningStack) -> None:
    right = quick.at.policy(QUICK)["spec"]["hash"]
    right_image = quick.at.get("titanphase", "execution", QUICK)["spec"]["image"]
    verified = quick.at.get("titanphase", "execution", QUICK)["status"]["revision"]["lastVerified"]
    quick.patch("execution", {"image": LYING})
    quick.at.wait("its word", lambda: "enforces" in quick.condition("execution", "Stalled").get("message", ""))
    said = quick.condition("execution", "PolicyInForce")
    told = quick.at.policy(QUICK)["status"]["inForce"]["execution"]
    assert (said["status"], told != right) == ("False", True)
    assert right in said["message"]
    assert told in said["message"]
    assert quick.at.get("titanphase", "execution", QUICK)["status"]["revision"]["lastVerified"] == verified
    quick.at.titan("arm", namespace=QUICK, check=False)
    assert quick.latch() is Posture.CLOSE_ONLY
    quick.patch("execution", {"image": right_image})
    quick.at.wait_ready(QUICK)


def test_a_phase_is_suspended_and_comes_back(quick: RunningStack) -> None:
    before = {role: pod["metadata"]["uid"] for role, pod in quick.pods().items()}
    quick.patch("scavenger", {"suspend": True})
    quick.at.wait("its end", lambda: not quick.processes("scavenger"))
    quick.at.wait("Suspended", lambda: quick.condition("scavenger", "Ready").get("reason") == "Suspended")
    assert quick.condition("scavenger", "Ready")["status"] == "True"
    quick.patch("scavenger", {"suspend": False})
    quick.at.wait_ready(QUICK)
    after = {role: pod["metadata"]["uid"] for role, pod in quick.pods().items()}
    assert {role for role in PHASES if before[role] != after[role]} == {"scavenger"}
