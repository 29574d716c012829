"""Permissions of the operator, by the ServiceAccount of chart titan, and of people."""

from __future__ import annotations

from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.admission_fixture import CHARTS, HOME, OPERATORS, ROOT, STACK
from support.cluster.as_user import OPERATOR, AsUser
from titan_operator.admission.rules.policies import ADMISSION_POLICIES
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import from_kubeconfig
from titan_operator.cluster.errors import ApiError
from titan_operator.cluster.resource_kinds import CONFIG_MAP, SECRET
from titan_operator.controller.gather import read_listing

OTHER = "default"
PEOPLE = {
    "vera": "view",
    "edith": "edit",
    "adam": "admin",
    "tess": "titan-trader",
    "olaf": "titan-risk-officer",
    "dora": "titan-debugger",
}

# verbs, group, resource, namespace ("" for the whole cluster), name
ALLOWED = [
    ("get list watch patch", "titan.trading", "titanphases", STACK, ""),
    ("get list watch patch", "titan.trading", "riskpolicies", STACK, ""),
    ("patch", "titan.trading", "titanphases/status", STACK, "brain"),
    ("patch", "titan.trading", "riskpolicies/status", STACK, "demo"),
    ("get list watch create patch delete", "", "configmaps", STACK, ""),
    ("get list create patch delete", "", "secrets", STACK, ""),
    ("get list watch create patch delete", "", "services", STACK, ""),
    ("list create patch delete", "", "serviceaccounts", STACK, ""),
    ("list create patch", "", "persistentvolumeclaims", STACK, ""),
    ("list watch delete", "", "pods", STACK, ""),
    ("list watch create patch delete", "apps", "deployments", STACK, ""),
    ("list watch create patch delete", "apps", "statefulsets", STACK, ""),
    ("list create patch delete", "batch", "jobs", STACK, ""),
    ("list create patch delete", "networking.k8s.io", "networkpolicies", STACK, ""),
    ("create patch", "events.k8s.io", "events", STACK, ""),
    ("get update", "coordination.k8s.io", "leases", HOME, "titan-operator"),
    ("create", "coordination.k8s.io", "leases", HOME, ""),
    ("get patch", "", "secrets", HOME, f"authority-{STACK}"),
    ("create", "", "secrets", HOME, ""),
    ("get", "", "pods", HOME, ""),
    ("get patch", "titan.trading", "verifiedimages", "", "titan"),
    ("create", "titan.trading", "verifiedimages", "", ""),
    ("get patch", "", "namespaces", STACK, STACK),
    *(
        ("get", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "", name)
        for name in ADMISSION_POLICIES
    ),
    *(("get", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", name) for name in ADMISSION_POLICIES),
]
FORBIDDEN = [
    ("get list watch create patch delete", "", "secrets", OTHER, ""),
    ("list watch delete", "", "secrets", HOME, ""),
    ("get", "", "secrets", HOME, "another"),
    ("get list", "", "secrets", "", ""),
    ("get list create patch", "", "configmaps", OTHER, ""),
    ("create patch", "", "pods", STACK, ""),
    ("create get", "", "pods/exec", STACK, ""),
    ("create", "", "pods/portforward", STACK, ""),
    ("patch update", "", "pods/ephemeralcontainers", STACK, ""),
    ("create", "", "serviceaccounts/token", STACK, "brain"),
    ("create", "", "serviceaccounts/token", HOME, "titan-operator"),
    ("delete", "", "persistentvolumeclaims", STACK, ""),
    ("list create patch delete", "apps", "replicasets", STACK, ""),
    ("create list patch delete", "apps", "deployments", OTHER, ""),
    ("create patch delete", "apps", "deployments", HOME, ""),
    ("patch", "apps", "deployments/scale", STACK, "brain"),
    ("create update delete", "titan.trading", "titanphases", STACK, ""),
    ("create update delete", "titan.trading", "riskpolicies", STACK, ""),
    ("arm loosen release rebase debug", "titan.trading", "riskpolicies", STACK, ""),
    ("delete", "titan.trading", "verifiedimages", "", "titan"),
    ("get patch", "titan.trading", "verifiedimages", "", "other"),
    ("get list patch delete", "", "namespaces", OTHER, OTHER),
    ("list delete create", "", "namespaces", "", ""),
    ("get list create patch", "rbac.authorization.k8s.io", "roles", STACK, ""),
    ("bind escalate", "rbac.authorization.k8s.io", "clusterroles", "", ""),
    ("impersonate", "", "users", "", "admin"),
    ("create patch delete", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "", ""),
    ("create patch delete", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", ""),
    ("create patch delete", "apiextensions.k8s.io", "customresourcedefinitions", "", ""),
    ("get list", "", "nodes", "", ""),
    ("get create", "", "nodes/proxy", "", ""),
    ("get", "coordination.k8s.io", "leases", HOME, "another"),
    ("patch update", "coordination.k8s.io", "leases", "kube-system", ""),
]
# who, verbs, resource, may
OF_PEOPLE = [
    ("vera", "get list watch", "titanphases", True),
    ("vera", "create patch", "titanphases", False),
    ("vera", "arm loosen release rebase debug", "riskpolicies", False),
    ("edith", "create update patch delete", "titanphases", True),
    ("edith", "create patch", "riskpolicies", True),
    ("edith", "arm loosen release rebase debug", "riskpolicies", False),
    ("adam", "create patch delete", "riskpolicies", True),
    ("adam", "arm loosen release rebase debug", "riskpolicies", False),
    ("tess", "get patch arm loosen release", "riskpolicies", True),
    ("tess", "rebase debug create delete", "riskpolicies", False),
    ("olaf", "get patch rebase", "riskpolicies", True),
    ("olaf", "arm loosen release debug create delete", "riskpolicies", False),
    ("dora", "debug", "riskpolicies", True),
    ("dora", "arm loosen release rebase patch", "riskpolicies", False),
]


@pytest.fixture(scope="module")
def installed(module_cluster: ControlPlane) -> ControlPlane:
    plane = module_cluster
    plane.helm("install", "titan", str(CHARTS / "titan"), "--namespace", HOME, "--create-namespace",
               "--set", f"image.digest={OPERATORS}")  # fmt: skip
    for who, role in PEOPLE.items():
        plane.kubectl("create", "rolebinding", who, f"--clusterrole={role}", f"--user={who}", "-n", STACK)
    return plane


@pytest.fixture(scope="module")
def api(installed: ControlPlane) -> AsUser:
    return AsUser(installed)


def _may(api: AsUser, user: str, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
    plain, _, subresource = resource.partition("/")
    asked: dict[str, Any] = {"verb": verb, "group": group, "resource": plain, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{HOME}"],
            "resourceAttributes": asked | {"namespace": namespace, "name": name},
        },
    }
    answer = api.must("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def _id(row: tuple[str, ...]) -> str:
    verbs, _, resource, namespace, name = row
    return f"{verbs} {resource} {name} in {namespace or 'the cluster'}"


@pytest.mark.parametrize("row", ALLOWED, ids=_id)
def test_the_operator_may(api: AsUser, row: tuple[str, str, str, str, str]) -> None:
    verbs, *what = row
    assert [verb for verb in verbs.split() if not _may(api, OPERATOR, verb, *what)] == []


@pytest.mark.parametrize("row", FORBIDDEN, ids=_id)
def test_the_operator_may_not(api: AsUser, row: tuple[str, str, str, str, str]) -> None:
    verbs, *what = row
    assert [verb for verb in verbs.split() if _may(api, OPERATOR, verb, *what)] == []


@pytest.mark.parametrize(("who", "verbs", "resource", "may"), OF_PEOPLE)
def test_people_may_what_they_were_given(api: AsUser, who: str, verbs: str, resource: str, may: bool) -> None:
    answers = {verb: _may(api, who, verb, "titan.trading", resource, STACK, "") for verb in verbs.split()}
    assert answers == dict.fromkeys(answers, may)


def test_no_rule_of_the_operator_has_a_wildcard(api: AsUser) -> None:
    for namespace in (STACK, HOME, OTHER):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        answer = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review, user=OPERATOR)
        rules = answer.body["status"]["resourceRules"]
        assert rules
        assert [
            rule for rule in rules if any("*" in rule.get(part, ()) for part in ("verbs", "apiGroups", "resources"))
        ] == []


async def test_with_its_own_token_it_reads_its_stack_and_no_other_secret(installed: ControlPlane) -> None:
    connection = from_kubeconfig({"KUBECONFIG": str(installed.service_account(HOME, "titan-operator"))})
    async with Cluster(connection) as cluster:
        found = await read_listing(cluster, STACK)  # all that a pass of the operator reads
        assert found.empty
        assert found.namespace["metadata"]["name"] == STACK
        for kind, namespace in ((SECRET, OTHER), (SECRET, HOME), (CONFIG_MAP, "kube-system")):
            with pytest.raises(ApiError) as refused:
                await cluster.list(kind, namespace)
            assert refused.value.status == 403


def test_a_second_stack_is_given_by_its_name_only(installed: ControlPlane, api: AsUser) -> None:
    assert not _may(api, OPERATOR, "create", "apps", "deployments", "second", "")
    installed.helm("upgrade", "titan", str(ROOT / "charts" / "titan"), "--namespace", HOME, "--reuse-values",
                   "--set", f"stackNamespaces={{{STACK},second}}")  # fmt: skip
    assert _may(api, OPERATOR, "create", "apps", "deployments", "second", "")
    assert _may(api, OPERATOR, "get", "", "secrets", HOME, "authority-second")
