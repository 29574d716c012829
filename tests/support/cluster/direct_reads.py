"""``get`` and ``list`` over one kept connection: a wait reads five times a second, and each kubectl is a process."""

from __future__ import annotations

import threading
from typing import Any

from testcluster.api import Api, ApiError
from testcluster.controlplane import ClusterError

from support.cluster.cluster_user import ClusterUser

_TITAN = "/apis/titan.trading/v1alpha1"
_APPS = "/apis/apps/v1"
# Root and plural by the names that kubectl takes; a category has several. What is not here is left to kubectl.
_NAMESPACED = {
    "configmaps": ("/api/v1", "configmaps"),
    "deployment": (_APPS, "deployments"),
    "deployments": (_APPS, "deployments"),
    "events": ("/api/v1", "events"),
    "events.events.k8s.io": ("/apis/events.k8s.io/v1", "events"),
    "jobs": ("/apis/batch/v1", "jobs"),
    "networkpolicies": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "networkpolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "pod": ("/api/v1", "pods"),
    "pods": ("/api/v1", "pods"),
    "riskpolicies": (_TITAN, "riskpolicies"),
    "riskpolicy": (_TITAN, "riskpolicies"),
    "secret": ("/api/v1", "secrets"),
    "secrets": ("/api/v1", "secrets"),
    "service": ("/api/v1", "services"),
    "serviceaccounts": ("/api/v1", "serviceaccounts"),
    "services": ("/api/v1", "services"),
    "statefulsets": (_APPS, "statefulsets"),
    "titanphase": (_TITAN, "titanphases"),
    "titanphases": (_TITAN, "titanphases"),
}
_CATEGORIES = {"titan": ("riskpolicies", "titanphases")}


class DirectReads(ClusterUser):
    """Reads as the administrator, as ``kubectl -o json`` prints them; all else is :class:`ClusterUser`'s."""

    def __init__(self) -> None:
        # A connection is one thread's.
        self._of_thread = threading.local()
        self._opened: list[Api] = []

    def close(self) -> None:
        """Close all connections."""
        for api in self._opened:
            api.close()

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """Return one object."""
        if kind not in _NAMESPACED:
            return super().get(kind, name, namespace)
        return _shown(self._read(f"{_path(kind, namespace)}/{name}"))

    def list(self, kinds: str, namespace: str) -> list[dict[str, Any]]:
        """Return all objects of some kinds."""
        names = [name for kind in kinds.split(",") for name in _CATEGORIES.get(kind, (kind,))]
        if not _NAMESPACED.keys() >= set(names):
            return super().list(kinds, namespace)
        found = []
        for name in names:
            answer = self._read(_path(name, namespace))
            # In a list the items do not say what they are.
            about = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
            found += [about | _shown(item) for item in answer.get("items") or ()]
        return found

    def all_namespaces(self) -> set[str]:
        """Names of all namespaces, also of those on their way out."""
        return {item["metadata"]["name"] for item in self._read("/api/v1/namespaces")["items"]}

    def _read(self, path: str) -> dict[str, Any]:
        api: Api | None = getattr(self._of_thread, "api", None)
        if api is None:
            api = self._of_thread.api = Api(self.plane.admin)
            self._opened.append(api)
        try:
            try:
                return api.call("GET", path)
            except OSError:
                # The API server has closed the kept connection; the next call opens another.
                return api.call("GET", path)
        except (ApiError, OSError) as error:
            raise ClusterError(str(error)) from error


def _path(kind: str, namespace: str) -> str:
    root, plural = _NAMESPACED[kind]
    return f"{root}/namespaces/{namespace}/{plural}"


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}
