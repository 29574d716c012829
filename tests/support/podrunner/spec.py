"""Pure: what the pod runner makes of a pod's spec. Paths, names, environment, and what it refuses to run."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from support.podrunner.api import Object

SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
_REFERENCE = re.compile(r"\$(?:\(([A-Za-z_][A-Za-z0-9_.-]*)\)|\$)")
_SERVICE = re.compile(
    r"\b([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.svc(?:\.cluster\.local)?\b"
)
_VOLUMES = frozenset({"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "downwardAPI"})
_PROJECTED = frozenset({"configMap", "secret", "serviceAccountToken", "downwardAPI"})


class NotYetError(Exception):
    """A container cannot be made now; ``reason`` is what a kubelet's status would say, the message why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Objects(Protocol):
    """ConfigMaps and Secrets as they are now."""

    def config_map(self, namespace: str, name: str) -> Object | None:
        """A ConfigMap."""

    def secret(self, namespace: str, name: str) -> Object | None:
        """A Secret."""


@dataclass(frozen=True)
class Mount:
    """``path`` within the container is ``local`` on this machine."""

    path: str
    local: Path


@dataclass(frozen=True)
class Translation:
    """Translation of a spec for a process without a file system and a network of its own.

    A mount path at the start of a path becomes the local folder, and ``SERVICE.NAMESPACE.svc`` becomes the address of
    the pods behind it, in the values of the environment, the command and its arguments; nowhere else.
    """

    mounts: Sequence[Mount]
    address_of: Callable[[str, str], str | None]

    def text(self, value: str) -> str:
        """Translate one value."""
        # At once, longest first: a folder on this machine may itself begin with what is a mount path.
        folders = {mount.path.rstrip("/"): mount.local for mount in self.mounts}
        paths = "|".join(re.escape(path) for path in sorted(folders, key=len, reverse=True))
        if paths:
            pattern = rf"(?<![A-Za-z0-9_./-])({paths})(?=$|[^A-Za-z0-9_.-])"
            value = re.sub(pattern, lambda found: str(folders[found[1]]), value)
        return _SERVICE.sub(lambda found: self.address_of(found[2], found[1]) or found[0], value)


def field_value(pod: Object, path: str) -> str:
    """Value of a field for the downward API.

    Raises
    ------
    NotYetError
        The field is none of those that the runner knows.
    """
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    plain: Mapping[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.podIP": status.get("podIP"),
        "status.podIPs": status.get("podIP"),
        "status.hostIP": status.get("hostIP"),
    }
    if plain.get(path):
        return str(plain[path])
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if keyed is None:
        raise NotYetError("CreateContainerConfigError", f"the pod runner knows no field {path!r}")
    return str(metadata.get(keyed[1], {}).get(keyed[2], ""))


def environment(container: Object, pod: Object, objects: Objects) -> dict[str, str]:
    """Return the environment of a container, with references resolved, not translated.

    Raises
    ------
    NotYetError
        A ConfigMap, Secret or key is missing.
    """
    namespace = pod["metadata"]["namespace"]
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for kind, reference in (("ConfigMap", source.get("configMapRef")), ("Secret", source.get("secretRef"))):
            if reference:
                values = contents(objects, kind, namespace, reference)
                found |= {source.get("prefix", "") + key: value.decode() for key, value in values.items()}
    for item in container.get("env") or ():
        value = _one(item, pod, objects)
        if value is not None:
            found[item["name"]] = expand(value, found)
    return found


def _one(item: Object, pod: Object, objects: Objects) -> str | None:
    source = item.get("valueFrom")
    if not source:
        return str(item.get("value", ""))
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"])
    for kind, name in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if name in source:
            reference = source[name]
            values = contents(objects, kind, pod["metadata"]["namespace"], reference)
            if reference["key"] in values:
                return values[reference["key"]].decode()
            if reference.get("optional"):
                return None
            raise NotYetError(
                "CreateContainerConfigError", f"couldn't find key {reference['key']} in {kind} {reference['name']}"
            )
    raise NotYetError("CreateContainerConfigError", f"the pod runner knows no source {', '.join(source)} of env")


def contents(objects: Objects, kind: str, namespace: str, reference: Object) -> dict[str, bytes]:
    """Keys and values of a ConfigMap or Secret; nothing of an optional one that is missing.

    Raises
    ------
    NotYetError
        It is missing.
    """
    name = source_name(reference)
    found = objects.config_map(namespace, name) if kind == "ConfigMap" else objects.secret(namespace, name)
    if found is None:
        if reference.get("optional"):
            return {}
        raise NotYetError("CreateContainerConfigError", f'{kind.lower()} "{name}" not found')
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    plain = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


def source_name(reference: Object) -> str:
    """Name of the ConfigMap or Secret that a reference is to."""
    return str(reference.get("name") or reference["secretName"])


def expand(value: str, known: Mapping[str, str]) -> str:
    """Resolve ``$(NAME)``; one that is not known stays, and ``$$`` is a dollar sign."""
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else known.get(found[1], found[0]), value)


def refusals(pod: Object) -> list[str]:
    """Why the runner does not run a pod: what restricted Pod Security refuses, or what it cannot do itself."""
    spec = pod["spec"]
    security = spec.get("securityContext") or {}
    problems = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for volume in spec.get("volumes") or ():
        kinds = set(volume) - {"name"}
        problems += [f"volume {volume['name']}: {kind} is not allowed" for kind in sorted(kinds - _VOLUMES)]
        sources = {key for source in volume.get("projected", {}).get("sources") or () for key in source}
        problems += [f"volume {volume['name']}: no source {kind}" for kind in sorted(sources - _PROJECTED)]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    for container in containers:
        problems += [f"container {container['name']}: {problem}" for problem in _container(container, security)]
    sidecars = [item["name"] for item in spec.get("initContainers") or () if item.get("restartPolicy")]
    problems += [f"container {name}: the pod runner runs no sidecars" for name in sidecars]
    return problems


def _container(container: Object, pod_security: Object) -> list[str]:
    own = container.get("securityContext") or {}
    both = {**pod_security, **own}
    capabilities = own.get("capabilities") or {}
    seccomp = (both.get("seccompProfile") or {}).get("type")
    rules = (
        (both.get("runAsNonRoot") is True, "runAsNonRoot is not true"),
        (both.get("runAsUser") != 0, "runAsUser is 0"),
        (not own.get("privileged"), "it is privileged"),
        (own.get("allowPrivilegeEscalation") is False, "allowPrivilegeEscalation is not false"),
        (own.get("readOnlyRootFilesystem") is True, "readOnlyRootFilesystem is not true"),
        ("ALL" in (capabilities.get("drop") or ()), "capabilities.drop lacks ALL"),
        (set(capabilities.get("add") or ()) <= {"NET_BIND_SERVICE"}, "capabilities.add has more than NET_BIND_SERVICE"),
        (seccomp in ("RuntimeDefault", "Localhost"), "seccompProfile.type is not RuntimeDefault"),
        (not any(port.get("hostPort") for port in container.get("ports") or ()), "it asks for a hostPort"),
        (bool(container.get("command")), "it has no command, and the pod runner has no images to take one from"),
        (not container.get("lifecycle"), "the pod runner runs no lifecycle hooks"),
    )
    problems = [problem for holds, problem in rules if not holds]
    probes = [
        name for name in ("startupProbe", "livenessProbe", "readinessProbe") if "grpc" in (container.get(name) or {})
    ]
    return problems + [f"{name}: the pod runner makes no gRPC probes" for name in probes]
