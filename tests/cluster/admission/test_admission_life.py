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
    AdmissionFixture,
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
def charts(module_cluster: ControlPlane) -> AdmissionFixture:
    fixture = install_charts(module_cluster)
    until(lambda: not fixture.admits(LISTED), "the images policy is in force")
    return fixture


@pytest.fixture
def fixture(charts: AdmissionFixture) -> Iterator[AdmissionFixture]:
    """One listed image, and the stack's namespace, empty."""
    charts.publish(LISTED)
    until(lambda: charts.admits(LISTED) and not charts.admits(STRANGER), "admission follows the list")
    yield charts
    charts.api.call("DELETE", NAMESPACE)
    until(lambda: charts.api.call("GET", NAMESPACE).code == 404, "the namespace is gone")
    charts.plane.helm("upgrade", "titan", "charts/titan", "--reuse-values", "--namespace", HOME)


def binding(fixture: AdmissionFixture, path: str = BINDING) -> dict[str, Any]:
    """A binding as it is, to be made anew."""
    found = dict(fixture.api.must("GET", path))
    return {**found, "metadata": {"name": found["metadata"]["name"], "labels": found["metadata"]["labels"]}}


def test_without_a_list_no_image_runs(charts: AdmissionFixture) -> None:
    answer = charts.probe(LISTED)
    assert answer.denied_by("titan-images"), answer.message
    assert "no params found" in answer.message


def test_binding_away_for_seconds_while_an_image_is_revoked(fixture: AdmissionFixture) -> None:
    fixture.publish(LISTED, STRANGER)
    until(lambda: fixture.admits(STRANGER), "both are listed")
    bound = binding(fixture)
    fixture.api.must("DELETE", BINDING)
    until(lambda: fixture.admits(image("sha256:" + "9" * 64).rpartition("@")[2]), "nothing is guarded")
    # What must not happen needs this time: a ConfigMap's informer would have stopped (kubernetes #130887).
    time.sleep(5)
    fixture.publish(LISTED)
    fixture.api.must("POST", BINDING.rpartition("/")[0], bound)
    until(lambda: not fixture.admits("sha256:" + "9" * 64), "bound again")
    for _ in range(20):
        answer = fixture.probe(STRANGER)
        assert answer.denied_by("titan-images"), "a revoked digest was admitted"
        assert fixture.admits(LISTED)


def test_a_revocation_lets_what_runs_be_finished_and_cleaned_up(fixture: AdmissionFixture) -> None:
    job = workload("Job", pod_spec(GOOD), "migration")
    fixture.api.must("POST", path_of("jobs"), job, user=OPERATOR)
    pod = fixture.named("pods")
    fixture.publish(STRANGER)
    until(lambda: not fixture.admits(LISTED), "revoked")
    done = {"status": {"phase": "Succeeded", "conditions": []}}
    assert fixture.api.call(
        "PATCH", path_of("pods", name=pod, subresource="status"), done, user=NODE, groups=NODES
    ).admitted
    until(lambda: _complete(fixture, "migration"), "the Job is complete: its pod gave its finalizer back")
    again = workload("Job", pod_spec(GOOD), "another")
    assert fixture.api.call("POST", path_of("jobs"), again, user=OPERATOR).denied_by("titan-images")
    fixture.api.must("DELETE", NAMESPACE)
    until(lambda: fixture.api.call("GET", NAMESPACE).code == 404, "the namespace is gone")


def _complete(fixture: AdmissionFixture, name: str) -> bool:
    conditions = fixture.api.must("GET", path_of("jobs", name=name)).get("status", {}).get("conditions", ())
    return any(item["type"] == "Complete" and item["status"] == "True" for item in conditions)


def test_a_protected_namespace_keeps_all_its_processes_until_it_is_drained(fixture: AdmissionFixture) -> None:
    for name in ("brain", "papervenue"):
        fixture.api.must("POST", path_of("deployments"), workload("Deployment", pod_spec(GOOD), name), user=OPERATOR)
    execution = workload("StatefulSet", pod_spec(GOOD), "execution", annotations=PROTECT["metadata"]["annotations"])
    fixture.api.must("POST", path_of("statefulsets"), execution, user=OPERATOR)
    until(lambda: len(_pods(fixture)) == 3, "all run")
    fixture.api.must("PATCH", NAMESPACE, PROTECT, user=OPERATOR)
    before = _pods(fixture)
    assert fixture.api.call("DELETE", NAMESPACE, user=BOB).denied_by("titan-protected")
    # Whoever may release may say that it is to go; the operator still drains it first.
    fixture.plane.kubectl("create", "clusterrolebinding", "tess", "--clusterrole=titan-trader", f"--user={TESS}")
    until(lambda: fixture.api.call("DELETE", NAMESPACE, user=TESS).admitted, "the binding is in force")
    until(lambda: "waits until the operator has drained" in _trouble(fixture), "the namespace says what it waits for")
    assert _pods(fixture) == before
    drained = {"metadata": {"annotations": {"titan.trading/protected": None}}}
    fixture.api.must("PATCH", path_of("statefulsets", name="execution"), drained, user=OPERATOR)
    fixture.api.must("PATCH", NAMESPACE, drained, user=OPERATOR)
    until(lambda: fixture.api.call("GET", NAMESPACE).code == 404, "drained, it goes by itself")


def _pods(fixture: AdmissionFixture) -> set[str]:
    pods = fixture.api.must("GET", path_of("pods"))["items"]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def _trouble(fixture: AdmissionFixture) -> str:
    conditions = fixture.api.must("GET", NAMESPACE)["status"].get("conditions", ())
    return " ".join(item["message"] for item in conditions if item["status"] == "True")


async def test_the_probe_sees_within_a_minute_that_a_binding_was_taken_away(fixture: AdmissionFixture) -> None:
    connection = from_kubeconfig({"KUBECONFIG": str(fixture.plane.service_account(HOME, "titan-operator"))})
    now_s = 0.0
    async with Cluster(connection) as cluster:
        probe = AdmissionProbe(cluster, STACK, 60.0, lambda: now_s)
        for policy in ("titan-images", *ADMISSION_POLICIES):
            assert await probe.check({LISTED: GOOD}) == ""
            path = path_of("validatingadmissionpolicybindings", "", policy)
            bound = binding(fixture, path)
            fixture.api.must("DELETE", path)
            if policy == "titan-images":
                until(lambda: fixture.admits(STRANGER), "nothing is guarded")
            now_s += 59.0
            assert await probe.check({LISTED: GOOD}) == "", "it trusts its answer for a minute"
            now_s += 2.0
            assert "titan-admission" in await probe.check({LISTED: GOOD})
            fixture.api.must("POST", path.rpartition("/")[0], bound)
            until(lambda: not fixture.admits(STRANGER), "bound again")
