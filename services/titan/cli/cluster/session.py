"""One connection to the API server for one command: its target, its user, and refusals as sentences."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from titan.cli.cluster.stack_view import StackView
from titan.cli.errors import BadInput, Refused, Unreachable
from titan_operator.cluster import errors
from titan_operator.cluster.client import Cluster as Api
from titan_operator.cluster.credentials import Connection, from_kubeconfig, load
from titan_operator.cluster.resource_kinds import RISK_POLICY, SELF_SUBJECT_REVIEW, SERVICE, TITAN_PHASE, Kind

T = TypeVar("T")

# Not kubectl-…: Flux takes over and removes every field whose manager's name begins with "kubectl".
FIELD_MANAGER = "titan-kubectl"
# Name of the program in the audit log.
AGENT = "kubectl-titan"
_DENIED = re.compile(
    r"ValidatingAdmissionPolicy '[^']+' with binding '[^']+' denied request: (?P<message>.*)", re.DOTALL
)


@dataclass(frozen=True)
class ClusterTarget:
    """Cluster and namespace in terms of kubectl's flags; None is kubectl's own choice."""

    namespace: str | None
    context: str | None
    kubeconfig: Path | None


class Cluster:
    """Requests to the API server in one namespace; failures are sentences with an exit code."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    async def stack_view(self) -> StackView:
        """Read every RiskPolicy and TitanPhase of the namespace."""
        policies, phases = await asyncio.gather(
            _with_cli_errors(self._api.list(RISK_POLICY, self.namespace)),
            _with_cli_errors(self._api.list(TITAN_PHASE, self.namespace)),
        )
        return StackView.of(self.namespace, policies, phases)

    async def find(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """Read one object; None where it does not exist."""
        return await _with_cli_errors(self._api.get(kind, name, self.namespace))

    async def get(self, kind: Kind, name: str) -> dict[str, Any]:
        """Read one object.

        Raises
        ------
        Refused
            When it does not exist.
        """
        raw = await self.find(kind, name)
        if raw is None:
            raise Refused(f"namespace {self.namespace} has no {kind.name} {name}")
        return raw

    async def page(self, phase: str, path: str) -> dict[str, Any]:
        """Read a JSON page of a phase's HTTP port through the API server, which requires the `debug` verb.

        Raises
        ------
        Refused
            When the user may not read it, or the process has no such page.
        Unreachable
            When the API server cannot reach the process.
        """
        try:
            page = await self._api.get(SERVICE, f"http:{phase}:http", self.namespace, subresource=f"proxy/{path}")
        except errors.ApiError as error:
            if error.status == 404 and not error.served:
                raise Refused(f"{phase} has no page /{path}: its image is of an earlier version") from error
            if error.transient:
                raise Unreachable(f"the API server cannot reach {phase}: {error.message}") from error
            raise Refused(refusal(error)) from error
        except errors.Unreachable as error:
            raise Unreachable(str(error)) from error
        if page is None:
            raise Refused(f"namespace {self.namespace} has no Service {phase}")
        return page

    async def set_field(self, kind: Kind, name: str, spec: Mapping[str, Any], *, dry_run: bool = False) -> None:
        """Set fields of an object's spec by server-side apply, which removes this program's earlier fields."""
        manifest = {"metadata": {"name": name, "namespace": self.namespace}, "spec": spec}
        await _with_cli_errors(self._api.apply(kind, manifest, dry_run=dry_run, manager=FIELD_MANAGER))

    async def user_name(self) -> str:
        """Read the user's name as the API server sees it, which an act must carry in ``by``."""
        review = await _with_cli_errors(self._api.create(SELF_SUBJECT_REVIEW, {}))
        return str(review["status"]["userInfo"]["username"])


def with_cluster(target: ClusterTarget, use: Callable[[Cluster], Awaitable[T]]) -> T:
    """Run ``use`` with a connection to the target cluster.

    Raises
    ------
    BadInput
        When there are no usable credentials.
    Refused
        When the API server refuses.
    Unreachable
        When it does not answer.
    """
    try:
        connection = _connection(target)
        return asyncio.run(_run(connection, target.namespace or connection.namespace or "default", use))
    except errors.CredentialsError as error:
        raise BadInput(str(error)) from error


async def _run(connection: Connection, namespace: str, use: Callable[[Cluster], Awaitable[T]]) -> T:
    async with Api(connection, agent=AGENT) as api:
        return await use(Cluster(api, namespace))


def _connection(target: ClusterTarget) -> Connection:
    if target.kubeconfig is None:
        return load(context=target.context or "")
    if not target.kubeconfig.is_file():
        raise BadInput(f"--kubeconfig: {target.kubeconfig} is no file; allowed is a kubeconfig, like ~/.kube/config")
    return from_kubeconfig({**os.environ, "KUBECONFIG": str(target.kubeconfig)}, context=target.context or "")


async def _with_cli_errors(call: Awaitable[T]) -> T:
    try:
        return await call
    except errors.Unreachable as error:
        raise Unreachable(str(error)) from error
    except errors.ApiError as error:
        if error.transient:
            raise Unreachable(f"the API server cannot answer now: {error.message}") from error
        raise Refused(refusal(error)) from error


def refusal(error: errors.ApiError) -> str:
    """Pure: describe the API server's refusal without the details for machines."""
    if not error.served:
        return "the cluster knows no titan.trading resources: install the titan chart, or `kubectl apply -f crds/`"
    if error.unauthorized:
        return f"the API server does not accept these credentials: {error.message}"
    denied = _DENIED.search(error.message)
    return f"refused by admission: {denied['message']}" if denied is not None else error.message
