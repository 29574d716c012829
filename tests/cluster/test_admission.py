"""What the API server refuses by chart titan-admission, while no operator runs. Each policy is also taken away once."""

from __future__ import annotations

from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.admission_acts import PROTECT, Act
from support.cluster.admission_rows import ADMITTED, DENIED
from support.cluster.admission_scene import BOB, HOME, STACK, STRANGER, Scene, install
from support.cluster.as_user import OPERATOR, until


@pytest.fixture(scope="module")
def scene(module_cluster: ControlPlane) -> Scene:
    found = install(module_cluster)
    # As the operator does while a position may be open.
    found.api.must("PATCH", f"/api/v1/namespaces/{STACK}", PROTECT, user=OPERATOR)
    return found


@pytest.mark.parametrize(
    ("policy", "names", "request_"), [row[1:] for row in DENIED], ids=[f"{row[1]}: {row[0]}" for row in DENIED]
)
def test_refused_with_who_or_what_and_by_which_policy(scene: Scene, policy: str, names: str, request_: Act) -> None:
    answer = request_.on(scene)
    assert answer.denied_by(policy), f"{answer.code} {answer.message}"
    assert names in answer.message
    assert "resulted in error" not in answer.message, "an expression failed: a refusal, but for no reason of ours"


@pytest.mark.parametrize("request_", [row[1] for row in ADMITTED], ids=[row[0] for row in ADMITTED])
def test_admitted(scene: Scene, request_: Act) -> None:
    answer = request_.on(scene)
    assert answer.admitted, f"{answer.code} {answer.message}"


def test_every_policy_type_checks_against_the_kinds_that_it_matches(scene: Scene) -> None:
    def checked() -> list[dict[str, Any]]:
        answer = scene.api.must("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies")
        return list(answer["items"])

    until(lambda: all(item.get("status", {}).get("observedGeneration") for item in checked()), "all are checked")
    warnings = {item["metadata"]["name"]: item["status"].get("typeChecking") for item in checked()}
    assert warnings == {name: {} for name in warnings}, warnings
    assert {policy for _, policy, _, _ in DENIED} == set(warnings), "each policy has a row"


def test_a_namespace_keeps_the_label_that_it_is_bound_by(scene: Scene) -> None:
    strip = {"metadata": {"labels": None}}
    scene.api.must("PATCH", f"/api/v1/namespaces/{STACK}", strip, user=BOB)
    labels = scene.api.must("GET", f"/api/v1/namespaces/{STACK}")["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": STACK}
    assert not scene.admits(STRANGER)


def test_without_its_policy_each_of_these_acts_passes(scene: Scene) -> None:
    """Last, for it takes the policies away: what the table shows refused is refused by them and by nothing else."""
    scene.plane.helm("uninstall", "titan-admission", "--namespace", HOME)
    for description, _, _, request_ in DENIED:
        until(lambda act=request_: act.on(scene).admitted, f"admitted without policies: {description}")
