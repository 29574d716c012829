"""Tiny programs as pods that restricted Pod Security takes: for tests of the pod runner itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from testcluster.controlplane import ControlPlane

IMAGE = "test/small@sha256:" + "5" * 64
# Serves what is in a file, says its environment when asked for /env; not ready while /etc/small/config/ready says no.
SERVER = """
import http.server, json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/env":
            code, body = 200, json.dumps(dict(os.environ)).encode()
        elif self.path == "/stuck":
            code, body = (500 if (folder / "stuck").exists() else 200), b"live"
        else:
            text = (folder / "ready").read_text()
            code, body = (200 if text == "yes" else 503), text.encode()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
print("serves", flush=True)
http.server.HTTPServer((os.environ["BIND"], 8000), Page).serve_forever()
"""


def container(program: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """A container that runs a Python program."""
    return {
        "name": "small",
        "image": IMAGE,
        "command": ["python3", "-c", program, *arguments],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **more,
    }


def pod_spec(*containers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The spec of a pod that may run."""
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "containers": list(containers), "terminationGracePeriodSeconds": 2}
    return {**spec, "automountServiceAccountToken": False, **more}


def workload(kind: str, name: str, spec: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A Deployment or StatefulSet of such pods."""
    labels = {"app.kubernetes.io/instance": name}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **more,
        },
    }


class Hands:
    """A person at one namespace."""

    def __init__(self, cluster: ControlPlane, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Write objects, in their order."""
        whole = {"apiVersion": "v1", "kind": "List", "items": manifests}
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(whole))

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, check=check).stdout

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """Pods by name."""
        found = self.cluster.call("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        return {item["metadata"]["name"]: item for item in found["items"]}


def until(holds: Callable[[], Any], what: str, timeout_s: float = 120.0) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)
    return found
