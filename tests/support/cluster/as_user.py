"""Calls to the API server as anybody: impersonated by an administrator, so that RBAC and admission judge who it is."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from testcluster.controlplane import ControlPlane

OPERATOR = "system:serviceaccount:titan-system:titan-operator"
# A new policy, binding or list is in force after about two seconds.
IN_FORCE_WITHIN_S = 120.0
_MERGE = "application/merge-patch+json"


def controller(name: str) -> str:
    """Return the user of one of the cluster's own controllers."""
    return f"system:serviceaccount:kube-system:{name}"


@dataclass(frozen=True)
class Answer:
    """An answer of the API server; ``message`` is empty where the request succeeded."""

    code: int
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        """Message of a refusal."""
        return str(self.body.get("message", self.body)) if self.code >= 400 else ""

    def denied_by(self, policy: str) -> bool:
        """Whether that ValidatingAdmissionPolicy refused it."""
        return self.code in (403, 422) and f"ValidatingAdmissionPolicy '{policy}'" in self.message

    @property
    def admitted(self) -> bool:
        """Whether no admission policy and no role refused it; what else may be wrong is not admission's."""
        return self.code not in (401, 403) and "ValidatingAdmissionPolicy" not in self.message


class AsUser:
    """The API server of ``plane``."""

    def __init__(self, plane: ControlPlane) -> None:
        pki = plane.folder / "pki"
        address = urlsplit(plane.server)
        assert address.hostname is not None
        self._host, self._port = address.hostname, address.port
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.pem"))
        self._tls.load_cert_chain(pki / "user-admin_system-masters.pem", pki / "user-admin_system-masters.key")

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        user: str = "",
        groups: tuple[str, ...] = (),
        dry_run: bool = False,
    ) -> Answer:
        """Ask once; ``user`` empty is the administrator. PATCH is a merge patch."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _MERGE if method == "PATCH" else "application/json"
        if user:
            headers["Impersonate-User"] = user
        if dry_run:
            path += ("&" if "?" in path else "?") + "dryRun=All"
        connection = http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=30)
        try:
            connection.putrequest(method, path)
            for name, value in headers.items():
                connection.putheader(name, value)
            for group in groups:
                connection.putheader("Impersonate-Group", group)
            data = json.dumps(body).encode() if body is not None else b""
            connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        try:
            decoded = json.loads(content)
        except ValueError:
            decoded = {"message": content.decode(errors="replace")}
        return Answer(response.status, decoded if isinstance(decoded, dict) else {"message": str(decoded)})

    def must(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, user: str = ""
    ) -> Mapping[str, Any]:
        """Ask once for what has to work."""
        answer = self.call(method, path, body, user=user)
        assert answer.code < 300, f"{method} {path} as {user or 'admin'}: {answer.code} {answer.message}"
        return answer.body


def until(holds: Callable[[], bool], what: str, within_s: float = IN_FORCE_WITHIN_S) -> None:
    """Ask again and again until it holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.05)
