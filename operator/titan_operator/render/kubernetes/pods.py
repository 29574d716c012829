"""Render pods: one container, restricted Pod Security, HTTP probes, and memory that fits a machine of 4 GB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan_operator.api import names
from titan_operator.planning.plan import POLICY_FILE, Plan, Workload
from titan_operator.planning.roles import PLANNED_ROLES
from titan_operator.render.kubernetes.objects import (
    KubernetesOptions,
    Manifest,
    own_files,
    parameters_name,
)
from titan_operator.render.revision import revision

# User of the image; it has no name there.
_USER = 10001
_STATE_WITHOUT_VOLUME = "64Mi"
_TEMPORARY_VOLUME: Mapping[str, Any] = {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}

MIGRATION = "migrate"
_CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_template(workload: Workload, plan: Plan, options: KubernetesOptions) -> Manifest:
    """Render the template of its one pod; Secret and live ConfigMap change their content without a new pod."""
    volumes = _volumes(workload, plan)
    spec: Manifest = {
        **_pod(workload),
        "terminationGracePeriodSeconds": PLANNED_ROLES[workload.role].grace_s,
        "containers": [_container(workload, plan, options, [mount for mount, _ in volumes])],
        # The state volume of Execution comes from the claim of its StatefulSet.
        "volumes": [volume for _, volume in volumes if volume is not None],
    }
    if PLANNED_ROLES[workload.role].has_tables and not workload.database:
        # On the process's own volume, which no Job could mount beside it.
        state = _mount(names.STATE_VOLUME, names.STATE_DIR, writable=True)
        spec["initContainers"] = [_migration(workload, {"state_dir": names.STATE_DIR}, [state])]
    if workload.role == "execution":
        spec["priorityClassName"] = names.PRIORITY_CLASS
    metadata = {
        "labels": names.labels(workload.name, workload.role),
        "annotations": {names.REVISION: revision(workload, plan)},
    }
    return {"metadata": metadata, "spec": spec}


def migration_template(workload: Workload) -> Manifest:
    """Render the template of a pod that upgrades the tables of ``workload`` in its database, with retries."""
    labels = names.migration_labels(workload.name)
    database, volume = _database(workload)
    container = _migration(workload, {"database_url_file": f"{names.DATABASE_DIR}/{names.DATABASE_KEY}"}, [database])
    spec: Manifest = {
        **_pod(workload),
        "restartPolicy": "OnFailure",
        "containers": [container],
        "volumes": [volume, _TEMPORARY_VOLUME],
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def _pod(workload: Workload) -> Manifest:
    # Without pull secrets the field is absent: an empty list would be another template, and a restart.
    secrets = {"imagePullSecrets": [{"name": name} for name in workload.pull_secrets]} if workload.pull_secrets else {}
    return {
        **secrets,
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _container(workload: Workload, plan: Plan, options: KubernetesOptions, mounts: list[Manifest]) -> Manifest:
    ports = {"grpc": workload.grpc_port, "http": workload.http_port}
    return {
        "name": workload.role,
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(workload.command),
        "env": _environment(workload, plan, options),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items() if port],
        "resources": _resources(workload),
        "securityContext": _CONTAINER_SECURITY,
        # The pages answer before the process works, so a long recovery does not get it killed.
        "startupProbe": _probe("/live", period_s=1, failures=120),
        "readinessProbe": _probe("/health", period_s=2, failures=3),
        # Nor does a busy machine: a process that trades is killed only when it is surely stuck.
        "livenessProbe": _probe("/live", period_s=10, failures=6),
        "volumeMounts": mounts,
    }


def _migration(workload: Workload, where: Mapping[str, str], mounts: list[Manifest]) -> Manifest:
    settings = {"log_format": "json", "role": workload.role, **where}
    return {
        "name": MIGRATION,
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["titan-migrate"],
        "env": [{"name": f"TITAN_{name.upper()}", "value": value} for name, value in settings.items()],
        "resources": _resources(workload),
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [*mounts, _mount("tmp", names.TEMPORARY_DIR, writable=True)],
    }


def _environment(workload: Workload, plan: Plan, options: KubernetesOptions) -> list[Manifest]:
    peers = [plan.workload(role) for role in workload.peers]
    settings = {
        **workload.settings,
        **{name: f"{names.CONFIG_DIR}/{file}" for name, file in workload.file_settings.items()},
        "role": workload.role,
        "grpc_port": str(workload.grpc_port),
        "http_port": str(workload.http_port),
        "state_dir": names.STATE_DIR,
        "tls_dir": names.TLS_DIR,
        "peers": ",".join(f"{peer.role}={peer.name}.{options.namespace}.svc:{peer.grpc_port}" for peer in peers),
        "log_format": "json",
        "log_level": "info",
        **{f"{name}_file": f"{names.LIVE_DIR}/{name}" for name in workload.live},
        "database_url_file": f"{names.DATABASE_DIR}/{names.DATABASE_KEY}" if workload.database else "",
    }
    environment: list[Manifest] = [
        {"name": f"TITAN_{name.upper()}", "value": value} for name, value in sorted(settings.items()) if value
    ]
    bind = {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}
    return [*environment, {"name": "TITAN_BIND", "valueFrom": bind}]


def _volumes(workload: Workload, plan: Plan) -> list[tuple[Manifest, Mapping[str, Any] | None]]:
    """Pair each mount with its volume; None where the StatefulSet provides the volume."""
    made: list[tuple[Manifest, Mapping[str, Any] | None]] = []
    sources = []
    if POLICY_FILE in workload.files:
        sources.append((names.policy_config(plan.policy_hash), [POLICY_FILE]))
    if own_files(workload):
        sources.append((parameters_name(workload), sorted(own_files(workload))))
    if sources:
        maps = [
            {"configMap": {"name": name, "items": [{"key": file, "path": file} for file in files]}}
            for name, files in sources
        ]
        projected = {"sources": maps, "defaultMode": 0o444}
        made.append((_mount("config", names.CONFIG_DIR), {"name": "config", "projected": projected}))
    if workload.live:
        live = {"name": names.live_config(workload.name), "defaultMode": 0o444}
        made.append((_mount("live", names.LIVE_DIR), {"name": "live", "configMap": live}))
    # Readable by the group, which fsGroup makes the process's group.
    secret = {"secretName": names.tls_secret(workload.name), "defaultMode": 0o440}
    made.append((_mount("tls", names.TLS_DIR), {"name": "tls", "secret": secret}))
    if workload.database:
        made.append(_database(workload))
    made.append((_mount(names.STATE_VOLUME, names.STATE_DIR, writable=True), _state(workload)))
    made.append((_mount("tmp", names.TEMPORARY_DIR, writable=True), _TEMPORARY_VOLUME))
    return made


def _database(workload: Workload) -> tuple[Manifest, Manifest]:
    """Mount the URL as a file: `kubectl exec … env` and crash reports would show a variable."""
    item = {"key": names.DATABASE_KEY, "path": names.DATABASE_KEY}
    secret = {"secretName": workload.database, "defaultMode": 0o440, "items": [item]}
    return _mount("database", names.DATABASE_DIR), {"name": "database", "secret": secret}


def _state(workload: Workload) -> Manifest | None:
    if not workload.storage:
        return {"name": names.STATE_VOLUME, "emptyDir": {"sizeLimit": _STATE_WITHOUT_VOLUME}}
    if workload.role == "execution":
        return None
    claim = names.volume_claim(workload.name, workload.role)
    return {"name": names.STATE_VOLUME, "persistentVolumeClaim": {"claimName": claim}}


def _mount(name: str, path: str, *, writable: bool = False) -> Manifest:
    mount: Manifest = {"name": name, "mountPath": path}
    return mount if writable else {**mount, "readOnly": True}


def _probe(path: str, *, period_s: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _resources(workload: Workload) -> dict[str, Any]:
    role, own = PLANNED_ROLES[workload.role], workload.resources
    requests, limits = own.get("requests", {}), own.get("limits", {})
    # One of the two alone stands for the other as well: the API server refuses a request above its limit.
    return {
        "requests": {"cpu": role.cpu, "memory": role.memory, **limits, **requests},
        "limits": {"memory": requests.get("memory", role.memory), **limits},
    }
