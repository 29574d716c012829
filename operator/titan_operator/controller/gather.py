"""Read all that one pass needs, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from titan.runtime.topology import ROLES
from titan_operator.api import RiskPolicy
from titan_operator.api.loading import ResourceError, read_live
from titan_operator.api.names import (
    DATABASE_KEY,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    OPERATOR,
    PROTECTED,
    PULL_KEY,
)
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.errors import Unreachable
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.reconcile.observed import ObservedResource, Pod

CHILD_KINDS = (
    "ConfigMap",
    "Secret",
    "Service",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Deployment",
    "StatefulSet",
    "Job",
)
_MANAGED = f"{LABEL_MANAGED_BY}={OPERATOR}"
_HEALTH_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Listing:
    """Objects of one stack, as the API server has them."""

    policies: tuple[ObservedResource, ...]
    phases: tuple[ObservedResource, ...]
    children: Mapping[tuple[str, str], Mapping[str, Any]]
    pods: tuple[Pod, ...]
    namespace: Mapping[str, Any]

    @property
    def empty(self) -> bool:
        """Whether the namespace holds nothing of ours."""
        annotations = self.namespace.get("metadata", {}).get("annotations", {})
        return not (self.policies or self.phases or self.children or annotations.get(PROTECTED) == "true")

    def addresses(self) -> dict[str, str]:
        """Map each role with a gRPC server to its ``host:port``, where its pod has an address."""
        addresses: dict[str, str] = {}
        for pod in self.pods:
            role = pod.raw["metadata"].get("labels", {}).get(LABEL_COMPONENT, "")
            if pod.ip and not pod.deleting and role in ROLES and ROLES[role].grpc_port:
                addresses[role] = f"{pod.ip}:{ROLES[role].grpc_port}"
        return addresses


async def read_listing(cluster: Cluster, namespace: str) -> Listing:
    """Read everything of one namespace.

    Raises
    ------
    ExceptionGroup
        Of ApiError and Unreachable, when any read fails: a pass never decides on part of a stack.
    """
    # No TaskGroup: where several reads fail at once, as after an API server's restart, Python 3.11's can leave a
    # cancellation behind, which ends the next wait.
    reads: dict[str, Coroutine[Any, Any, Any]] = {
        "itself": cluster.get(KINDS["Namespace"], namespace),
        "policies": cluster.list(KINDS["RiskPolicy"], namespace),
        "phases": cluster.list(KINDS["TitanPhase"], namespace),
        "pods": cluster.list(KINDS["Pod"], namespace, labels=f"{LABEL_NAME}=titan"),
        **{kind: cluster.list(KINDS[kind], namespace, labels=_MANAGED) for kind in CHILD_KINDS},
    }
    answers: list[Any] = await asyncio.gather(*reads.values(), return_exceptions=True)
    failures = [
        # Nobody here canceled it: a connection that ends may look so, and must not end the pass.
        answer if isinstance(answer, Exception) else Unreachable(f"{name}: the read was canceled")
        for name, answer in zip(reads, answers, strict=True)
        if isinstance(answer, BaseException)
    ]
    if failures:
        raise ExceptionGroup("reads of one pass failed", failures)
    read = dict(zip(reads, answers, strict=True))
    for key in ("policies", "phases", "pods"):
        for raw in read[key]:
            # Field owners matter for our own objects only. Of the others they are half of the memory of a pass.
            raw["metadata"].pop("managedFields", None)
    return Listing(
        policies=tuple(read_resource("RiskPolicy", raw) for raw in read["policies"]),
        phases=tuple(read_resource("TitanPhase", raw) for raw in read["phases"]),
        children={(kind, raw["metadata"]["name"]): raw for kind in CHILD_KINDS for raw in read[kind]},
        pods=tuple(Pod(raw) for raw in read["pods"]),
        namespace=read["itself"] or {},
    )


def read_resource(kind: str, raw: Mapping[str, Any]) -> ObservedResource:
    """Read one resource as the API server has it; an invalid one carries its problem."""
    # A list's items carry no kind of their own.
    whole = {**raw, "kind": kind, "apiVersion": KINDS[kind].group_version}
    try:
        return ObservedResource(whole, read_live(whole))
    except ResourceError as error:
        return ObservedResource(whole, None, "; ".join(error.problems))


def requested_images(phases: Sequence[ObservedResource]) -> set[str]:
    """Collect the images that TitanPhases request."""
    return {item.raw.get("spec", {}).get("image", "") for item in phases} - {""}


def signed_policies(policies: Sequence[ObservedResource]) -> list[RiskPolicy]:
    """Select the policies with a signature."""
    policies_read = [item.resource for item in policies if isinstance(item.resource, RiskPolicy)]
    return [policy for policy in policies_read if policy.spec.signature is not None]


async def health_reasons(session: aiohttp.ClientSession, pods: Sequence[Pod]) -> dict[str, tuple[str, ...]]:
    """Ask each unready process for its reasons on ``/health``; return them by pod."""
    unready = [pod for pod in pods if pod.ip and not pod.ready and not pod.deleting]
    answers = await asyncio.gather(*(_reasons(session, pod) for pod in unready))
    return {pod.name: reasons for pod, reasons in zip(unready, answers, strict=True) if reasons}


async def _reasons(session: aiohttp.ClientSession, pod: Pod) -> tuple[str, ...]:
    role = pod.raw["metadata"].get("labels", {}).get(LABEL_COMPONENT, "")
    if role not in ROLES:
        return ()
    address = f"http://{pod.ip}:{ROLES[role].http_port}/health"
    try:
        async with session.get(address, timeout=aiohttp.ClientTimeout(total=_HEALTH_TIMEOUT_S)) as answer:
            body = await answer.json()
            return tuple(str(reason) for reason in body["reasons"])
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
        # The process is only starting, or too broken to answer: its containers' state is then all that is known.
        return ()


def missing_secrets(phases: Sequence[ObservedResource], names: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """List, by phase, each Secret that a reference lacks, or all its missing keys at once.

    Parameters
    ----------
    names
        Keys of each referenced Secret that exists, by name.
    """
    lacking: dict[str, list[str]] = {}
    for item in phases:
        for field, name, keys in _references(item):
            if name not in names:
                lacking.setdefault(item.name, []).append(f"spec.{field}: Secret {name} is not there")
            elif absent := [key for key in keys if key not in names[name]]:
                lacking.setdefault(item.name, []).append(f"spec.{field}: Secret {name} lacks {', '.join(absent)}")
    return {phase: "; ".join(problems) for phase, problems in lacking.items()}


async def referenced_secrets(
    cluster: Cluster, namespace: str, phases: Sequence[ObservedResource]
) -> dict[str, frozenset[str]]:
    """Read the keys of each Secret that a phase refers to; never their values."""
    keys: dict[str, frozenset[str]] = {}
    for name in sorted({name for item in phases for _, name, _ in _references(item)}):
        secret = await cluster.get(KINDS["Secret"], name, namespace)
        if secret is not None:
            keys[name] = frozenset(secret.get("data") or {})
    return keys


def _references(item: ObservedResource) -> list[tuple[str, str, tuple[str, ...]]]:
    """List field, Secret and keys of each reference."""
    spec = item.raw.get("spec", {})
    venue, database = spec.get("secretRef") or {}, spec.get("databaseSecretRef") or {}
    references = [
        ("secretRef", venue.get("name", ""), tuple(venue.get("keys") or ())),
        ("databaseSecretRef", database.get("name", ""), (DATABASE_KEY,)),
        *(("imagePullSecrets", one.get("name", ""), (PULL_KEY,)) for one in spec.get("imagePullSecrets") or ()),
    ]
    return [reference for reference in references if reference[1]]
