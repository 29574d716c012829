"""Admission over time: before a list, after a revocation, without its binding, and at the end of a namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.admission_fixture import (
    BOB,
    HOME,
    LISTED,
    NODE,
    NODES,
    STACK,
    STRANGER,
    TESS,
    Scene,
    image,
    install_charts,
    path_of,
    pod_spec,
    workload,
)
from support.cluster.admission_requests import GOOD, PROTECT
from support.cluster.as_user import OPERATOR, until
from titan_operator.admission.probe import AdmissionProbe
from titan_operator.admission.rules.policies import ADMISSION_POLICIES
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import from_kubeconfig

NAMESPACE = f"/api/v1/namespaces/{STACK}"
BINDING = path_of("validatingadmissionpolicybindings", "", "titan-images")


@pytest.fixture(scope="module")
def charts(module_cluster: ControlPlane) -> Scene:
    scene = install_charts(module_cluster)
    until(lambda: not scene.admits(LISTED), "the images policy is in force")
    return scene


@pytest.fixture
def scene(charts: Scene) -> Iterator[Scene]:
    """One listed image, and the stack's namespace, empty."""
    charts.publish(LISTED)
    until(lambda: charts.admits(LISTED) and not charts.admits(STRANGER), "admission follows the list")
    yield charts
    charts.api.call("DELETE", NAMESPACE)
    until(lambda: charts.api.call("GET", NAMESPACE).code == 404, "the namespace is gone")
    charts.plane.helm("upgrade", "titan", "charts/titan", "--reuse-values", "--namespace", HOME)


def binding(scene: Scene, path: str = BINDING) -> dict[str, Any]:
    """A binding as it is, to be made anew."""
    found = dict(scene.api.must("GET", path))
    return {**found, "metadata": {"name": found["metadata"]["name"], "labels": found["metadata"]["labels"]}}


def test_without_a_list_no_image_runs(charts: Scene) -> None:
    answer = charts.probe(LISTED)
    assert answer.denied_by("titan-images"), answer.message
    assert "no params found" in answer.message


def test_binding_away_for_seconds_while_an_image_is_revoked(scene: Scene) -> None:
    scene.publish(LISTED, STRANGER)
    until(lambda: scene.admits(STRANGER), "both are listed")
    bound = binding(scene)
    scene.api.must("DELETE", BINDING)
    until(lambda: scene.admits(image("sha256:" + "9" * 64).rpartition("@")[2]), "nothing is guarded")
    # What must not happen needs this time: a ConfigMap's informer would have stopped (kubernetes #130887).
    time.sleep(5)
    scene.publish(LISTED)
    scene.api.must("POST", BINDING.rpartition("/")[0], bound)
    until(lambda: not scene.admits("sha256:" + "9" * 64), "bound again")
    for _ in range(20):
        answer = scene.probe(STRANGER)
        assert answer.denied_by("titan-images"), "a revoked digest was admitted"
        assert scene.admits(LISTED)


def test_a_revocation_lets_what_runs_be_finished_and_cleaned_up(scene: Scene) -> None:
    job = workload("Job", pod_spec(GOOD), "migration")
    scene.api.must("POST", path_of("jobs"), job, user=OPERATOR)
    pod = scene.named("pods")
    scene.publish(STRANGER)
    until(lambda: not scene.admits(LISTED), "revoked")
    done = {"status": {"phase": "Succeeded", "conditions": []}}
    assert scene.api.call(
        "PATCH", path_of("pods", name=pod, subresource="status"), done, user=NODE, groups=NODES
    ).admitted
    until(lambda: _complete(scene, "migration"), "the Job is complete: its pod gave its finalizer back")
    again = workload("Job", pod_spec(GOOD), "another")
    assert scene.api.call("POST", path_of("jobs"), again, user=OPERATOR).denied_by("titan-images")
    scene.api.must("DELETE", NAMESPACE)
    until(lambda: scene.api.call("GET", NAMESPACE).code == 404, "the namespace is gone")


def _complete(scene: Scene, name: str) -> bool:
    conditions = scene.api.must("GET", path_of("jobs", name=name)).get("status", {}).get("conditions", ())
    return any(item["type"] == "Complete" and item["status"] == "True" for item in conditions)


def test_a_protected_namespace_keeps_all_its_processes_until_it_is_drained(scene: Scene) -> None:
    for name in ("brain", "papervenue"):
        scene.api.must("POST", path_of("deployments"), workload("Deployment", pod_spec(GOOD), name), user=OPERATOR)
    execution = workload("StatefulSet", pod_spec(GOOD), "execution", annotations=PROTECT["metadata"]["annotations"])
    scene.api.must("POST", path_of("statefulsets"), execution, user=OPERATOR)
    until(lambda: len(_pods(scene)) == 3, "all run")
    scene.api.must("PATCH", NAMESPACE, PROTECT, user=OPERATOR)
    before = _pods(scene)
    assert scene.api.call("DELETE", NAMESPACE, user=BOB).denied_by("titan-protected")
    # Whoever may release may say that it is to go; the operator still drains it first.
    scene.plane.kubectl("create", "clusterrolebinding", "tess", "--clusterrole=titan-trader", f"--user={TESS}")
    until(lambda: scene.api.call("DELETE", NAMESPACE, user=TESS).admitted, "the binding is in force")
    until(lambda: "waits until the operator has drained" in _trouble(scene), "the namespace says what it waits for")
    assert _pods(scene) == before
    drained = {"metadata": {"annotations": {"titan.trading/protected": None}}}
    scene.api.must("PATCH", path_of("statefulsets", name="execution"), drained, user=OPERATOR)
    scene.api.must("PATCH", NAMESPACE, drained, user=OPERATOR)
    until(lambda: scene.api.call("GET", NAMESPACE).code == 404, "drained, it goes by itself")


def _pods(scene: Scene) -> set[str]:
    pods = scene.api.must("GET", path_of("pods"))["items"]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def _trouble(scene: Scene) -> str:
    conditions = scene.api.must("GET", NAMESPACE)["status"].get("conditions", ())
    return " ".join(item["message"] for item in conditions if item["status"] == "True")


async def test_the_canary_sees_within_a_minute_that_a_binding_was_taken_away(scene: Scene) -> None:
    connection = from_kubeconfig({"KUBECONFIG": str(scene.plane.service_account(HOME, "titan-operator"))})
    now_s = 0.0
    async with Cluster(connection) as cluster:
        canary = AdmissionProbe(cluster, STACK, 60.0, lambda: now_s)
        for policy in ("titan-images", *ADMISSION_POLICIES):
            assert await canary.check({LISTED: GOOD}) == ""
            path = path_of("validatingadmissionpolicybindings", "", policy)
            bound = binding(scene, path)
            scene.api.must("DELETE", path)
            if policy == "titan-images":
                until(lambda: scene.admits(STRANGER), "nothing is guarded")
            now_s += 59.0
            assert await canary.check({LISTED: GOOD}) == "", "it trusts its answer for a minute"
            now_s += 2.0
            assert "titan-admission" in await canary.check({LISTED: GOOD})
            scene.api.must("POST", path.rpartition("/")[0], bound)
            until(lambda: not scene.admits(STRANGER), "bound again")
