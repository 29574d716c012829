"""The certificates of one stack, as Secrets: the authority in the operator's namespace, leaves in the stack's."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from titan.durable.files import write_durably
from titan.runtime.pki.certificates import (
    CA_FILE,
    CA_KEY_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    Authority,
    Leaf,
    issue_leaf,
    leaf_is_good,
    make_authority,
)
from titan_operator.api.names import (
    LABEL_MANAGED_BY,
    LABEL_NAME,
    OPERATOR,
    PROTECTED,
    authority_secret,
    labels,
    tls_secret,
)
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.settings import OperatorSettings


class StackCertificates:
    """Creates and renews the certificates of one stack; nothing is written while all are good."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        settings: OperatorSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._settings = settings
        self._lifetime = timedelta(seconds=settings.certificate_lifetime_s)
        self._now = now
        self._authority: Authority | None = None
        self._renewals: dict[str, float] = {}
        self.directory = Path(settings.state_dir) / namespace / "tls"

    async def prepare(self) -> None:
        """Load or create the authority, and write the operator's own certificate as files.

        Raises
        ------
        ApiError, Unreachable
            The Secret cannot be read or written.
        """
        if self._authority is None:
            self._authority = await self._read_or_create()
        if not self._files_are_good():
            leaf = issue_leaf(self._authority, "operator", self._namespace, self._now(), self._lifetime)
            self._write_files(leaf)

    async def ensure(self, phase: str, role: str, stored: Mapping[str, Any] | None) -> None:
        """Renew the certificate of ``phase`` where ``stored``, its Secret as just read, has no good one."""
        assert self._authority is not None
        data = {name: base64.b64decode(value) for name, value in ((stored or {}).get("data") or {}).items()}
        leaf = Leaf.read(data) if data else None
        if leaf is None or not self._is_good(role, leaf):
            leaf = issue_leaf(self._authority, role, self._namespace, self._now(), self._lifetime)
            manifest = self._secret(tls_secret(phase), self._namespace, labels(phase, role), leaf.files())
            await self._cluster.apply(KINDS["Secret"], manifest)
        self._renewals[phase] = (leaf.renew_at - self._now()).total_seconds() + time.monotonic()

    def renewal_in_s(self) -> float:
        """Seconds until the first certificate is to be renewed; infinite without one."""
        return max(0.1, min(self._renewals.values()) - time.monotonic()) if self._renewals else float("inf")

    async def _read_or_create(self) -> Authority:
        name, namespace = authority_secret(self._namespace), self._settings.operator_namespace
        stored = await self._cluster.get(KINDS["Secret"], name, namespace)
        if stored is not None:
            data = stored["data"]
            return Authority.read(base64.b64decode(data[CA_FILE]), base64.b64decode(data[CA_KEY_FILE]))
        authority = make_authority(self._now())
        own = {LABEL_NAME: "titan", LABEL_MANAGED_BY: OPERATOR}
        manifest = self._secret(
            name, namespace, own, {CA_FILE: authority.certificate_pem, CA_KEY_FILE: authority.key_pem}
        )
        # Created, not applied: two operators must never both write an authority of the same stack.
        await self._cluster.create(KINDS["Secret"], manifest)
        return authority

    def _secret(self, name: str, namespace: str, own: Mapping[str, str], files: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": dict(own),
                "annotations": {PROTECTED: "true"},
            },
            "type": "Opaque",
            "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
        }

    def _is_good(self, role: str, leaf: Leaf) -> bool:
        assert self._authority is not None
        return leaf_is_good(self._authority, role, self._namespace, leaf, self._now(), self._lifetime)

    def _files_are_good(self) -> bool:
        names = (CA_FILE, CERTIFICATE_FILE, KEY_FILE)
        if not all((self.directory / name).exists() for name in names):
            return False
        leaf = Leaf.read({name: (self.directory / name).read_bytes() for name in names})
        return leaf is not None and self._is_good("operator", leaf)

    def _write_files(self, leaf: Leaf) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in leaf.files().items():
            write_durably(self.directory / name, content)
            (self.directory / name).chmod(0o600)
