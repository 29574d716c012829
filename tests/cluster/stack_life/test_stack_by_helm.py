"""By Helm alone, with all pods running: operator, its test, a stack that is waited for, an upgrade, an end."""

from __future__ import annotations

from typing import Any

import pytest

from support.cluster.as_user import OPERATOR
from support.cluster.charts import ROOT
from support.cluster.installation import DIGEST, IMAGE, PHASES, SYSTEM, Installation

STACK = "helmed"
CHART = str(ROOT / "charts" / "titan-stack")


def _pods(at: Installation, namespace: str) -> dict[str, str]:
    """UIDs of what runs, by name; Helm leaves its test's pod for its log."""
    pods = [pod["metadata"] for pod in at.list("pods", namespace)]
    return {pod["name"]: pod["uid"] for pod in pods if pod["name"] != "titan-operator-test"}


@pytest.mark.slow
def test_helm_waits_until_the_stack_is_ready_with_its_equity(at: Installation) -> None:
    at.plane.helm("test", "titan", "--namespace", SYSTEM, "--timeout", "180s")
    at.plane.helm("install", "quickstart", CHART, "--namespace", STACK, "--wait", "--timeout", "180s",
                    "--set", f"image={IMAGE}")  # fmt: skip
    # At once, with no more waiting.
    policy = at.policy(STACK)
    assert policy["status"]["equity"] == "200"
    assert policy["status"]["posture"]["inForce"] == "CLOSE_ONLY"
    assert {at.ready(name, STACK)["status"] for name in PHASES} == {"True"}
    shown = at.plane.kubectl("get", "titan", "-n", STACK).stdout
    assert shown.count("True") == 6, shown


@pytest.mark.slow
def test_an_upgraded_operator_restarts_no_pod_of_the_stack(at: Installation) -> None:
    before, operator = _pods(at, STACK), _pods(at, SYSTEM)
    wait = ("--namespace", SYSTEM, "--wait", "--timeout", "180s")
    changed = ("--reuse-values", "--set", "settings.resyncSeconds=30")
    at.plane.helm("upgrade", "titan", str(ROOT / "charts" / "titan"), *wait, *changed)
    assert set(_pods(at, SYSTEM).values()).isdisjoint(operator.values())
    at.wait_ready(STACK)
    assert _pods(at, STACK) == before
    assert at.get("deployment", "titan-operator", SYSTEM)["status"]["readyReplicas"] == 1
    at.plane.helm("rollback", "titan", *wait)


@pytest.mark.slow
def test_a_namespace_that_is_deleted_goes_when_its_stack_is_drained(at: Installation) -> None:
    """By an administrator, who may release: the operator keeps its rights in it until its last finalizer is off."""
    at.plane.kubectl("delete", "namespace", STACK, "--wait=false")
    at.wait("the namespace is gone", lambda: STACK not in at.all_namespaces())
    left: list[dict[str, Any]] = at.list("secrets", SYSTEM)
    assert f"authority-{STACK}" in {secret["metadata"]["name"] for secret in left}
    assert (
        DIGEST in at.get("deployment", "titan-operator", SYSTEM)["spec"]["template"]["spec"]["containers"][0]["image"]
    )


@pytest.mark.slow
def test_the_rights_of_the_chart_were_enough(at: Installation) -> None:
    """Over all of the above: the operator lacked no right. A new binding takes its time to reach the authorizer.

    The rights in a namespace go with it: there, what was allowed before is forbidden at the very end.
    """
    by_operator = [event for event in at.plane.audit() if event["user"]["username"] == OPERATOR]
    assert len(by_operator) > 50
    forbidden: set[tuple[str, str]] = set()
    allowed: set[tuple[str, str]] = set()
    for event in by_operator:
        request = (event["verb"], event["requestURI"].partition("?")[0])
        if event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid":
            allowed.add(request)
            forbidden.discard(request)
        elif request not in allowed or f"/namespaces/{STACK}/" not in request[1]:
            forbidden.add(request)
    assert forbidden == set()
    at.restore()
