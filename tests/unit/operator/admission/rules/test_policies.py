"""The probe's checks of policies and bindings; the rows start from the chart's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from titan_operator.admission.rules.policies import policy_problem

NAME = "titan-writers"
POLICY: dict[str, Any] = {"spec": {"failurePolicy": "Fail"}}
IN_TITAN = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["titan", "second"]}
BINDING: dict[str, Any] = {
    "spec": {
        "policyName": NAME,
        "validationActions": ["Deny"],
        # As the API server completes it.
        "matchResources": {
            "matchPolicy": "Equivalent",
            "objectSelector": {},
            "namespaceSelector": {"matchExpressions": [IN_TITAN]},
        },
    }
}


def test_a_binding_by_the_namespaces_name_guards_it() -> None:
    assert policy_problem(NAME, POLICY, BINDING, "titan") == ""
    assert policy_problem(NAME, POLICY, {"spec": {**BINDING["spec"], "matchResources": None}}, "titan") == ""


def _selector(binding: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = binding["spec"]["matchResources"]["namespaceSelector"]
    return found


TAMPERED: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("it audits only", lambda it: it["spec"].update(validationActions=["Audit"]), "Audit; allowed is Deny"),
    ("it does nothing", lambda it: it["spec"].update(validationActions=[]), "none; allowed is Deny"),
    ("another policy", lambda it: it["spec"].update(policyName="mine"), "mine; allowed is titan-writers"),
    (
        "objects with a label only",
        lambda it: it["spec"]["matchResources"].update(objectSelector={"matchLabels": {"a": "b"}}),
        "objectSelector",
    ),
    (
        "not Deployments",
        lambda it: it["spec"]["matchResources"].update(excludeResourceRules=[{"resources": ["deployments"]}]),
        "excludeResourceRules",
    ),
    (
        "Deployments only",
        lambda it: it["spec"]["matchResources"].update(resourceRules=[{"resources": ["deployments"]}]),
        "resourceRules",
    ),
    (
        "other namespaces",
        lambda it: _selector(it).update(matchExpressions=[{**IN_TITAN, "values": ["x"]}]),
        "namespace titan",
    ),
    (
        "all namespaces but this",
        lambda it: _selector(it).update(matchExpressions=[{**IN_TITAN, "operator": "NotIn"}]),
        "namespace titan",
    ),
    (
        "namespaces by a label that can be taken off",
        lambda it: _selector(it).update(matchLabels={"guarded": "yes"}),
        "namespace titan",
    ),
]


@pytest.mark.parametrize(("description", "tamper", "says"), TAMPERED, ids=[row[0] for row in TAMPERED])
def test_a_binding_tampered_with(description: str, tamper: Callable[[dict[str, Any]], Any], says: str) -> None:
    binding = copy.deepcopy(BINDING)
    tamper(binding)
    assert says in policy_problem(NAME, POLICY, binding, "titan")


def test_a_binding_or_a_policy_that_is_gone() -> None:
    assert "its binding is gone" in policy_problem(NAME, POLICY, None, "titan")
    assert "policy titan-writers is gone" in policy_problem(NAME, None, BINDING, "titan")


def test_a_policy_that_lets_pass_what_it_cannot_judge() -> None:
    problem = policy_problem(NAME, {"spec": {"failurePolicy": "Ignore"}}, BINDING, "titan")
    assert problem == "policy titan-writers has failurePolicy Ignore; allowed is Fail"
