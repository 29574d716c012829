"""Manifests sent to a real API server without being kept (server-side dry run), and what it says of them."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import config

Manifest = dict[str, Any]
PLURALS = {"RiskPolicy": "riskpolicies", "TitanPhase": "titanphases", "VerifiedImages": "verifiedimages"}


@dataclass(frozen=True)
class Cause:
    """One thing that the API server has against a manifest; ``field`` as it names it, ``reason`` for programs."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """The API server did not do it."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {status.get('message')}")
        self.code = code
        self.status = status


class CrdApi:
    """Dry runs in one namespace; ``group`` is another one where the definitions are a mutant's."""

    def __init__(self, kubeconfig: Path, namespace: str, group: str = "titan.trading") -> None:
        self._client = config.new_client_from_config(str(kubeconfig))
        self._namespace = namespace
        self.group = group

    def of_group(self, group: str) -> CrdApi:
        """The same connection, for another group."""
        other = copy.copy(self)
        other.group = group
        return other

    def close(self) -> None:
        """Give the connections back."""
        self._client.rest_client.pool_manager.clear()

    def create(self, manifest: Manifest, *, dry_run: bool = True) -> tuple[Cause, ...]:
        """Return the causes of a refused create; none where it is accepted."""
        return self._call("POST", self._path(manifest["kind"]), manifest, dry_run)

    def update(self, manifest: Manifest, *, dry_run: bool = True) -> tuple[Cause, ...]:
        """Return the causes of a refused replacement of the existing object."""
        path = f"{self._path(manifest['kind'])}/{manifest['metadata']['name']}"
        return self._call("PUT", path, self._with_version(path, manifest), dry_run)

    def update_status(self, manifest: Manifest, *, dry_run: bool = True) -> tuple[Cause, ...]:
        """Return the causes of a refused status."""
        path = f"{self._path(manifest['kind'])}/{manifest['metadata']['name']}"
        return self._call("PUT", f"{path}/status", self._with_version(path, manifest), dry_run)

    def define(self, crd: Manifest) -> None:
        """Apply a definition under its own name."""
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
        query = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
        self._send("PATCH", path, crd, query, "application/apply-patch+yaml")

    def forget(self, name: str) -> None:
        """Delete a definition."""
        self._send("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", None, {})

    def established(self, kind: str) -> bool:
        """Whether objects of a kind can be listed."""
        try:
            self._send("GET", self._path(kind), None, {"limit": "1"})
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def get(self, path: str) -> Any:
        """Any document of the API server."""
        return self._send("GET", path, None, {})

    def _path(self, kind: str) -> str:
        scope = "" if kind == "VerifiedImages" else f"namespaces/{self._namespace}/"
        return f"/apis/{self.group}/v1alpha1/{scope}{PLURALS[kind]}"

    def _with_version(self, path: str, manifest: Manifest) -> Manifest:
        version = self._send("GET", path, None, {})["metadata"]["resourceVersion"]
        return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}

    def _call(self, method: str, path: str, manifest: Mapping[str, Any], dry_run: bool) -> tuple[Cause, ...]:
        body = {**manifest, "apiVersion": f"{self.group}/v1alpha1"}
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        try:
            self._send(method, path, body, query)
        except ApiError as error:
            if error.code not in (400, 422):
                raise
            causes = (error.status.get("details") or {}).get("causes")
            if not causes:
                return (Cause("", error.status.get("reason", ""), error.status["message"]),)
            return tuple(Cause(item.get("field", ""), item.get("reason", ""), item["message"]) for item in causes)
        return ()

    def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str], content: str = "application/json"
    ) -> Any:
        settings = self._client.configuration
        token = settings.auth_settings().get("BearerToken", {})
        headers = {"Accept": "application/json", "Content-Type": content}
        if token:
            headers[token["key"]] = token["value"]
        url = f"{settings.host}{path}?{urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        answer = self._client.rest_client.pool_manager.request(method, url, body=data, headers=headers)
        # A path that is not served is refused in plain words.
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        document = json.loads(answer.data) if is_json else {"message": answer.data.decode()}
        if answer.status >= 300:
            raise ApiError(answer.status, document)
        return document


@contextmanager
def defined(api: CrdApi, crds: list[Manifest], within_s: float = 60.0) -> Iterator[set[str]]:
    """Definitions that are there for a while; gives the names of those that the API server took.

    Raises
    ------
    TimeoutError
        The API server does not serve one of them in time.
    """
    taken: set[str] = set()
    try:
        for crd in crds:
            try:
                api.define(crd)
            except ApiError as error:
                if "rule cost" not in str(error):
                    raise
            else:
                taken.add(crd["metadata"]["name"])
        deadline = time.monotonic() + within_s
        for crd in crds:
            while crd["metadata"]["name"] in taken and not api.of_group(crd["spec"]["group"]).established(
                crd["spec"]["names"]["kind"]
            ):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{crd['metadata']['name']} is not served after {within_s} s")
                time.sleep(0.05)
        yield taken
    finally:
        for name in taken:
            api.forget(name)
