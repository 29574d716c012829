"""ServiceAccounts of tests, with the rights that they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testcluster.controlplane import ControlPlane

from support.cluster.as_user import until

_RBAC = "/apis/rbac.authorization.k8s.io/v1"


def token_of_new(
    plane: ControlPlane, namespace: str, name: str, cluster_role: str = "", rules: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Make a ServiceAccount with a ClusterRole and with rules of its own, both in its namespace; its token.

    Returns once the authorizer, which learns of a binding a moment later, allows what the rules do.
    """
    plane.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    if cluster_role:
        _bind(plane, namespace, name, "ClusterRole", cluster_role)
    if rules:
        role = {"metadata": {"name": f"{name}-own"}, "rules": list(rules)}
        plane.call("POST", f"{_RBAC}/namespaces/{namespace}/roles", role)
        _bind(plane, namespace, name, "Role", f"{name}-own")
    # Every ClusterRole that a test gives reads ConfigMaps.
    asked = [*rules, *([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}] if cluster_role else ())]
    until(lambda: all(_may(plane, namespace, name, rule) for rule in asked), f"{name} may do what it was given")
    return plane.token(namespace, name)


def _may(plane: ControlPlane, namespace: str, name: str, rule: Mapping[str, Any]) -> bool:
    attributes = {"namespace": namespace, "group": rule["apiGroups"][0], "resource": rule["resources"][0]}
    user = f"system:serviceaccount:{namespace}:{name}"
    spec = {"user": user, "resourceAttributes": {**attributes, "verb": rule["verbs"][0]}}
    review = plane.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    return bool(review["status"]["allowed"])


def _bind(plane: ControlPlane, namespace: str, name: str, kind: str, role: str) -> None:
    binding = {
        "metadata": {"name": f"{name}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    plane.call("POST", f"{_RBAC}/namespaces/{namespace}/rolebindings", binding)
