"""Common parts of all objects of a stack, and the objects that need no module of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from titan.domain.policy_hash import canonical_bytes
from titan_operator.api import names
from titan_operator.planning.plan import POLICY_FILE, Plan, Workload
from titan_operator.render.revision import content_name

Manifest = dict[str, Any]

# Objects of one stage need none of the same stage: guards and mounted objects exist before any process.
STAGE_GUARDS, STAGE_MOUNTED, STAGE_PROCESSES = 0, 1, 2


@dataclass(frozen=True)
class KubernetesOptions:
    """Places in which a plan runs.

    Attributes
    ----------
    version
        The operator's version, which it writes on each rendered object.
    dns_namespace
        Namespace of the cluster's name servers.
    data_namespace
        Namespace in which chart titan-data runs PostgreSQL, on port 5432. The owner of another database adds a
        NetworkPolicy for it: policies add up.
    metrics_namespaces
        Namespaces, besides the operator's, whose pods may read the HTTP pages. A node always reaches its own pods, so
        its probes need no rule. Source: Kubernetes, "Network Policies".
    """

    namespace: str
    operator_namespace: str
    version: str
    dns_namespace: str = "kube-system"
    data_namespace: str = "titan-data"
    metrics_namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Child:
    """Object to apply.

    ``phase`` is the TitanPhase that it belongs to, with its ``role`` (both empty: the stack's); ``stage`` orders,
    lowest first; ``protected`` may not be deleted before a drain; ``workload`` runs pods.
    """

    kind: str
    name: str
    manifest: Mapping[str, Any] = field(repr=False)
    phase: str
    role: str
    stage: int
    protected: bool = False
    workload: bool = False


def child(
    manifest: Manifest,
    options: KubernetesOptions,
    workload: Workload | None,
    stage: int,
    *,
    protected: bool = False,
    runs_pods: bool = False,
) -> Child:
    """Complete ``manifest`` (kind, metadata.name and content) with namespace, labels and annotations."""
    phase, role = (workload.name, workload.role) if workload else ("", "")
    annotations = {names.RENDERED_BY: options.version}
    if protected:
        annotations[names.PROTECTED] = "true"
    metadata = {
        "name": manifest["metadata"]["name"],
        "namespace": options.namespace,
        "labels": names.labels(phase, role) if workload else names.stack_labels(),
        "annotations": annotations,
    }
    complete = {**manifest, "metadata": metadata}
    return Child(
        complete["kind"], metadata["name"], complete, phase, role, stage, protected=protected, workload=runs_pods
    )


def policy_config(plan: Plan, options: KubernetesOptions) -> Child:
    """Render the rules under the name of their hash: other rules are another object, and an object never changes."""
    rules = next(item.files[POLICY_FILE] for item in plan.workloads if POLICY_FILE in item.files)
    # In the canonical form of the hash: every version of the operator writes the same content under one name.
    spelled = canonical_bytes(json.loads(rules)).decode()
    manifest = _config(names.policy_config(plan.policy_hash), {POLICY_FILE: spelled}, immutable=True)
    return child(manifest, options, None, STAGE_MOUNTED, protected=True)


def own_files(workload: Workload) -> dict[str, str]:
    """Return the files of this workload alone."""
    return {name: content for name, content in workload.files.items() if name != POLICY_FILE}


def parameters_name(workload: Workload) -> str:
    """Name the ConfigMap of its own files by their content: new content is a new object and a new template."""
    return f"{workload.name}-parameters-{content_name(own_files(workload))}"


def configs(workload: Workload, options: KubernetesOptions) -> list[Child]:
    """Render the mounted ConfigMaps: its own files, and its live settings."""
    manifests = []
    if own_files(workload):
        manifests.append(_config(parameters_name(workload), own_files(workload), immutable=True))
    if workload.live:
        manifests.append(_config(names.live_config(workload.name), dict(workload.live), immutable=False))
    return [child(manifest, options, workload, STAGE_MOUNTED) for manifest in manifests]


def service_account(workload: Workload, options: KubernetesOptions) -> Child:
    """Render an account without rights: no process of a stack calls the API server."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": workload.name},
        "automountServiceAccountToken": False,
    }
    return child(manifest, options, workload, STAGE_GUARDS)


def service(workload: Workload, options: KubernetesOptions) -> Child:
    """Render the address of its one pod."""
    ports = {"grpc": workload.grpc_port, "http": workload.http_port}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": workload.name},
        "spec": {
            "type": "ClusterIP",
            "selector": names.selector(workload.name),
            # Peers check each other's health themselves. An Execution that is not ready still accepts reducing orders,
            # and a node whose probes fail must not cut it off.
            "publishNotReadyAddresses": True,
            "ports": [
                {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
                for name, port in ports.items()
                if port
            ],
        },
    }
    return child(manifest, options, workload, STAGE_MOUNTED)


def state_claim(workload: Workload, options: KubernetesOptions) -> Child | None:
    """Render the volume claim of a process with state; Execution's StatefulSet makes its own."""
    if not workload.storage or workload.role == "execution":
        return None
    manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": names.volume_claim(workload.name, workload.role)},
        "spec": claim_spec(workload),
    }
    return child(manifest, options, workload, STAGE_MOUNTED)


def claim_spec(workload: Workload) -> Manifest:
    """Claim a volume for one writing pod, of the cluster's default storage class."""
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": workload.storage}}}


def _config(name: str, data: dict[str, str], *, immutable: bool) -> Manifest:
    manifest: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return {**manifest, "immutable": True} if immutable else manifest
