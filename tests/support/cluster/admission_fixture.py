"""A stack's objects as the operator leaves them, guarded by chart titan-admission, and people with different rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.as_user import OPERATOR, Answer, AsUser, until

ROOT = Path(__file__).resolve().parents[3]
CHARTS = ROOT / "charts"
STACK, HOME, DATA = "titan", "titan-system", "titan-data"
LISTED = "sha256:" + "a" * 64
STRANGER = "sha256:" + "b" * 64
OPERATORS = "sha256:" + "c" * 64
DATAS = "sha256:" + "d" * 64
# May write everything in the cluster, but has none of the custom verbs.
BOB = "bob"
# Like bob, and bound to titan-trader and to titan-debugger in the stack's namespace.
TESS, DORA = "tess", "dora"
# Like bob, and bound to titan-risk-officer in the stack's namespace.
OLAF = "olaf"
NODE, NODES = "system:node:one", ("system:nodes", "system:authenticated")

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def image(digest: str) -> str:
    """An image by that digest."""
    return f"registry.example/titan@{digest}"


def container(reference: str, name: str = "main", **more: Any) -> dict[str, Any]:
    """A container that restricted Pod Security admits."""
    return {"name": name, "image": reference, "securityContext": _RESTRICTED, **more}


def pod_spec(reference: str, **more: Any) -> dict[str, Any]:
    """A pod's spec with one container."""
    return {"containers": [container(reference)], "automountServiceAccountToken": False, **more}


def workload(kind: str, spec: Mapping[str, Any], name: str = "new", **metadata: Any) -> dict[str, Any]:
    """A manifest of any kind that runs pods of ``spec``."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": dict(spec)}
    selector = {"matchLabels": labels}
    group, body = {
        "Pod": ("v1", {"spec": dict(spec)}),
        "PodTemplate": ("v1", {"template": template}),
        "ReplicationController": ("v1", {"spec": {"replicas": 1, "selector": labels, "template": template}}),
        "Deployment": ("apps/v1", {"spec": {"replicas": 1, "selector": selector, "template": template}}),
        "ReplicaSet": ("apps/v1", {"spec": {"replicas": 1, "selector": selector, "template": template}}),
        "DaemonSet": ("apps/v1", {"spec": {"selector": selector, "template": template}}),
        "StatefulSet": (
            "apps/v1",
            {"spec": {"replicas": 1, "serviceName": name, "selector": selector, "template": template}},
        ),
        "Job": ("batch/v1", {"spec": {"template": _ending(template)}}),
        "CronJob": (
            "batch/v1",
            {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": _ending(template)}}}},
        ),
    }[kind]
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "labels": labels, **metadata}, **body}


def _ending(template: dict[str, Any]) -> dict[str, Any]:
    return {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}


def path_of(kind: str, namespace: str = STACK, name: str = "", subresource: str = "") -> str:
    """Where the API server serves it."""
    group = {
        "deployments": "apps/v1",
        "replicasets": "apps/v1",
        "daemonsets": "apps/v1",
        "statefulsets": "apps/v1",
        "controllerrevisions": "apps/v1",
        "jobs": "batch/v1",
        "cronjobs": "batch/v1",
        "riskpolicies": "titan.trading/v1alpha1",
        "titanphases": "titan.trading/v1alpha1",
        "verifiedimages": "titan.trading/v1alpha1",
        "validatingadmissionpolicybindings": "admissionregistration.k8s.io/v1",
        "customresourcedefinitions": "apiextensions.k8s.io/v1",
    }.get(kind)
    inside = f"namespaces/{namespace}/" if namespace else ""
    root = f"/apis/{group}" if group else "/api/v1"
    return "/".join(part for part in (f"{root}/{inside}{kind}", name, subresource) if part)


def plural(kind: str) -> str:
    """The resource of a workload's kind."""
    return kind.lower() + "s"


@dataclass
class AdmissionFixture:
    """The cluster of the tables of admission, with the names that fill in their rows."""

    plane: ControlPlane
    api: AsUser
    names: dict[str, str] = field(default_factory=dict)

    def publish(self, *digests: str) -> None:
        """List these digests, as the operator."""
        pinned = [{"digest": DATAS, "image": image(DATAS)}]
        images = [{"digest": digest, "image": image(digest)} for digest in digests]
        body = {"spec": {"images": images, "infrastructure": pinned}}
        answer = self.api.call("PATCH", path_of("verifiedimages", "", "titan"), body, user=OPERATOR)
        if answer.code == 404:
            manifest = {"apiVersion": "titan.trading/v1alpha1", "kind": "VerifiedImages", "metadata": {"name": "titan"}}
            self.api.must("POST", path_of("verifiedimages", ""), {**manifest, **body}, user=OPERATOR)

    def probe(self, digest: str) -> Answer:
        """Return the answer to the operator's dry run of a Deployment of that digest."""
        manifest = workload("Deployment", pod_spec(image(digest)), "probe")
        return self.api.call("POST", path_of("deployments"), manifest, user=OPERATOR, dry_run=True)

    def admits(self, digest: str) -> bool:
        """Whether it would pass."""
        return self.probe(digest).admitted

    def named(self, kind: str) -> str:
        """The only object of a kind in the stack, as soon as it is there."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [item["metadata"]["name"] for item in self.api.must("GET", path_of(kind))["items"]]
            return bool(found)

        until(there, f"there is one of {kind} in {STACK}")
        return found[0]


def install_charts(plane: ControlPlane) -> AdmissionFixture:
    """Both charts and the people; nothing of the operator runs, and no image is listed."""
    crds = ROOT / "crds"
    plane.kubectl("apply", "--server-side", "-f", str(crds))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(crds))
    plane.kubectl("create", "namespace", DATA)
    plane.helm(
        "install", "titan-admission", str(CHARTS / "titan-admission"), "--namespace", HOME, "--create-namespace",
        "--set", f"operator.imageDigests={{{OPERATORS}}}", "--set", f"data.namespaces={{{DATA}}}",
        "--set", "guard.scope=cluster",
    )  # fmt: skip
    plane.helm("install", "titan", str(CHARTS / "titan"), "--namespace", HOME, "--set", f"image.digest={OPERATORS}")
    fixture = AdmissionFixture(plane, AsUser(plane))
    _people(fixture)
    return fixture


def install(plane: ControlPlane) -> AdmissionFixture:
    """Charts, people, one listed image, and a stack's objects as the operator leaves them."""
    fixture = install_charts(plane)
    fixture.publish(LISTED)
    until(lambda: fixture.admits(LISTED) and not fixture.admits(STRANGER), "admission follows the list")
    _stack(fixture)
    return fixture


def _people(fixture: AdmissionFixture) -> None:
    ordinary = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
    groups = ["", "apps", "batch", "titan.trading", "apiextensions.k8s.io"]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "writes-everything"},
        "rules": [{"apiGroups": groups, "resources": ["*"], "verbs": ordinary}],
    }
    fixture.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(role))
    people = [f"--user={name}" for name in (BOB, TESS, DORA, OLAF, NODE)]
    fixture.plane.kubectl("create", "clusterrolebinding", "people", "--clusterrole=writes-everything", *people)
    for who, clusterrole in ((TESS, "titan-trader"), (DORA, "titan-debugger"), (OLAF, "titan-risk-officer")):
        fixture.plane.kubectl(
            "create", "rolebinding", who, f"--clusterrole={clusterrole}", f"--user={who}", "-n", STACK
        )


def _stack(fixture: AdmissionFixture) -> None:
    api = fixture.api
    protected = {"annotations": {"titan.trading/protected": "true"}}
    owned = {"labels": {"app.kubernetes.io/managed-by": "titan-operator"}}
    core = {"apiVersion": "v1"}
    policy = yaml.safe_load((ROOT / "policies" / "demo.yaml").read_text())
    policy["spec"]["posture"] = "CLOSE_ONLY"
    api.must("POST", path_of("riskpolicies"), policy, user=BOB)
    fixture.names["policy"] = policy["metadata"]["name"]
    phase = next(
        document
        for document in yaml.safe_load_all((ROOT / "examples" / "quickstart.yaml").read_text())
        if document["spec"]["role"] == "brain"
    )
    api.must("POST", path_of("titanphases"), phase, user=BOB)
    drain = {"metadata": {"finalizers": ["titan.trading/drain"]}}
    api.must("PATCH", path_of("titanphases", name="brain"), drain, user=OPERATOR)
    for kind, manifest in (
        ("configmaps", {**core, "kind": "ConfigMap", "metadata": {"name": "brain-live", **owned}, "data": {"a": "b"}}),
        ("secrets", {**core, "kind": "Secret", "metadata": {"name": "account", **protected}}),
        ("secrets", {**core, "kind": "Secret", "metadata": {"name": "brain-tls", **owned, **protected}}),
        ("deployments", workload("Deployment", pod_spec(image(LISTED)), "brain")),
        ("statefulsets", workload("StatefulSet", pod_spec(image(LISTED)), "execution", **protected)),
    ):
        api.must("POST", path_of(kind), manifest, user=OPERATOR)
    fixture.names |= {kind: fixture.named(kind) for kind in ("replicasets", "controllerrevisions", "pods")}
