"""Refusals by chart titan-admission, without a running operator. Each policy is also removed once."""

from __future__ import annotations

import os
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.admission_fixture import BOB, HOME, STACK, STRANGER, AdmissionFixture, install
from support.cluster.admission_requests import PROTECT, AdmissionRequest
from support.cluster.admission_rows import ADMITTED, DENIED
from support.cluster.as_user import OPERATOR, until

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
SAMPLE = ("titan-loosening", "titan-images")


@pytest.fixture(scope="module")
def fixture(module_cluster: ControlPlane) -> AdmissionFixture:
    found = install(module_cluster)
    # As the operator does while a position may be open.
    found.api.must("PATCH", f"/api/v1/namespaces/{STACK}", PROTECT, user=OPERATOR)
    return found


@pytest.mark.parametrize(
    ("policy", "names", "request_"), [row[1:] for row in DENIED], ids=[f"{row[1]}: {row[0]}" for row in DENIED]
)
def test_refused_with_who_or_what_and_by_which_policy(
    fixture: AdmissionFixture, policy: str, names: str, request_: AdmissionRequest
) -> None:
    answer = request_.on(fixture)
    assert answer.denied_by(policy), f"{answer.code} {answer.message}"
    assert names in answer.message
    assert "resulted in error" not in answer.message, "an expression failed: a refusal, but for no reason of ours"


@pytest.mark.parametrize("request_", [row[1] for row in ADMITTED], ids=[row[0] for row in ADMITTED])
def test_admitted(fixture: AdmissionFixture, request_: AdmissionRequest) -> None:
    answer = request_.on(fixture)
    assert answer.admitted, f"{answer.code} {answer.message}"


def test_every_policy_type_checks_against_the_kinds_that_it_matches(fixture: AdmissionFixture) -> None:
    def checked() -> list[dict[str, Any]]:
        answer = fixture.api.must("GET", POLICIES)
        return list(answer["items"])

    until(lambda: all(item.get("status", {}).get("observedGeneration") for item in checked()), "all are checked")
    warnings = {item["metadata"]["name"]: item["status"].get("typeChecking") for item in checked()}
    assert warnings == {name: {} for name in warnings}, warnings
    assert {policy for _, policy, _, _ in DENIED} == set(warnings), "each policy has a row"


def test_a_namespace_keeps_the_label_that_it_is_bound_by(fixture: AdmissionFixture) -> None:
    strip = {"metadata": {"labels": None}}
    fixture.api.must("PATCH", f"/api/v1/namespaces/{STACK}", strip, user=BOB)
    labels = fixture.api.must("GET", f"/api/v1/namespaces/{STACK}")["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": STACK}
    assert not fixture.admits(STRANGER)


def _policies(fixture: AdmissionFixture) -> dict[str, list[dict[str, Any]]]:
    items = fixture.api.must("GET", POLICIES)["items"]
    return {item["metadata"]["name"]: item["spec"]["validations"] for item in items}


def test_without_any_one_rule_some_of_these_acts_passes(fixture: AdmissionFixture) -> None:
    """Every rule with TITAN_CHAOS=1, else those of two policies: a rule changed is in force after a second or two."""
    for policy, rules in _policies(fixture).items():
        if policy not in SAMPLE and "TITAN_CHAOS" not in os.environ:
            continue
        for number, rule in enumerate(rules):
            without = [*rules[:number], {**rule, "expression": "true"}, *rules[number + 1 :]]
            _becomes(fixture, policy, without, f"a row fails without rule {number}: {rule['message']}", whole=False)
            _becomes(fixture, policy, rules, "all is refused again", whole=True)


def _becomes(fixture: AdmissionFixture, policy: str, rules: list[dict[str, Any]], what: str, *, whole: bool) -> None:
    """Give a policy these rules, and wait until all of its acts are refused, or some is not."""
    fixture.api.must("PATCH", f"{POLICIES}/{policy}", {"spec": {"validations": rules}})
    acts = [request_ for _, name, _, request_ in DENIED if name == policy]
    until(lambda: all(act.on(fixture).denied_by(policy) for act in acts) is whole, f"{policy}: {what}")


def test_without_its_policy_each_of_these_acts_passes(fixture: AdmissionFixture) -> None:
    """Last, for it takes the policies away: what the table shows refused is refused by them and by nothing else."""
    fixture.plane.helm("uninstall", "titan-admission", "--namespace", HOME)
    for description, _, _, request_ in DENIED:
        until(lambda act=request_: act.on(fixture).admitted, f"admitted without policies: {description}")
