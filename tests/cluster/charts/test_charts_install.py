"""By Helm alone, with all pods running: operator, its test, a stack that is waited for, an upgrade, an end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster.as_user import OPERATOR
from support.cluster.charts import ROOT
from support.cluster.installation import DIGEST, IMAGE, SYSTEM, Installation, installation

STACK = "titan"
CHART = str(ROOT / "charts" / "titan-stack")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("install")
    with installation(folder, [STACK]) as found:
        yield found


def _pods(made: Installation, namespace: str) -> dict[str, str]:
    """UIDs of what runs, by name; Helm leaves its test's pod for its log."""
    pods = [pod["metadata"] for pod in made.list("pods", namespace)]
    return {pod["name"]: pod["uid"] for pod in pods if pod["name"] != "titan-operator-test"}


@pytest.mark.slow
def test_helm_waits_until_the_stack_is_ready_with_its_equity(made: Installation) -> None:
    made.plane.helm("test", "titan", "--namespace", SYSTEM, "--timeout", "60s")
    made.plane.helm("install", "quickstart", CHART, "--namespace", STACK, "--wait", "--timeout", "120s",
                    "--set", f"image={IMAGE}")  # fmt: skip
    # At once, with no more waiting.
    policy = made.policy(STACK)
    assert policy["status"]["equity"] == "200"
    assert policy["status"]["posture"]["inForce"] == "CLOSE_ONLY"
    made.wait_ready(STACK, timeout_s=1.0)
    shown = made.plane.kubectl("get", "titan", "-n", STACK).stdout
    assert shown.count("True") == 6, shown


@pytest.mark.slow
def test_an_upgraded_operator_restarts_no_pod_of_the_stack(made: Installation) -> None:
    before, operator = _pods(made, STACK), _pods(made, SYSTEM)
    made.plane.helm(
        *("upgrade", "titan", str(ROOT / "charts" / "titan"), "--namespace", SYSTEM, "--wait", "--timeout", "60s"),
        *("--reuse-values", "--set", "settings.resyncSeconds=30"),
    )
    assert set(_pods(made, SYSTEM).values()).isdisjoint(operator.values())
    made.wait_ready(STACK)
    assert _pods(made, STACK) == before
    assert made.get("deployment", "titan-operator", SYSTEM)["status"]["readyReplicas"] == 1


@pytest.mark.slow
def test_a_namespace_that_is_deleted_goes_when_its_stack_is_drained(made: Installation) -> None:
    """By an administrator, who may release: the operator keeps its rights in it until its last finalizer is off."""
    made.plane.kubectl("delete", "namespace", STACK, "--wait=false")

    def gone() -> bool:
        return made.plane.kubectl("get", "namespace", STACK, check=False).returncode != 0

    made.wait("the namespace is gone", gone, timeout_s=90.0)
    left: list[dict[str, Any]] = made.list("secrets", SYSTEM)
    assert f"authority-{STACK}" in {secret["metadata"]["name"] for secret in left}
    assert (
        DIGEST in made.get("deployment", "titan-operator", SYSTEM)["spec"]["template"]["spec"]["containers"][0]["image"]
    )


@pytest.mark.slow
def test_the_rights_of_the_chart_were_enough(made: Installation) -> None:
    """Over all of the above: the operator lacked no right. A new binding takes its time to reach the authorizer."""
    by_operator = [event for event in made.plane.audit() if event["user"]["username"] == OPERATOR]
    assert len(by_operator) > 50
    forbidden: set[tuple[str, str]] = set()
    for event in by_operator:
        request = (event["verb"], event["requestURI"].partition("?")[0])
        if event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid":
            forbidden.add(request)
        else:
            forbidden.discard(request)
    assert forbidden == set()
