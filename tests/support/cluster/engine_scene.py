"""An engine on the real API server, with pods that are only marked ready and a stack that only answers.

For what is about the API server: cut connections, lost events, stale lists. Real processes are in the tests of stacks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from titan.domain.kinds import Posture
from titan.runtime.logs import get_logger
from titan.runtime.telemetry import Metrics
from titan_operator.api import RiskPolicy
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection
from titan_operator.cluster.errors import ApiError
from titan_operator.cluster.events import Events
from titan_operator.cluster.kinds import KINDS
from titan_operator.cluster.watches import WatchTracker
from titan_operator.engine import Parts, StackEngine
from titan_operator.judging import Judge
from titan_operator.names import LABEL_COMPONENT
from titan_operator.operator_metrics import OperatorMetrics
from titan_operator.published import PublishedImages
from titan_operator.settings import OperatorSettings
from titan_operator.stack_view import Ack, BrainView, ExecutionView, PhaseView, StackView
from titan_operator.world import Terms, Verdict

SYSTEM = "titan-system"
# What differs between two runs that are the same: identities, times and what is random.
_VOLATILE = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp")


class Everything:
    """A verifier that knows every image: here it is about the API server."""

    terms = Terms("sha256:" + "7" * 64)

    async def verify(self, image: str) -> Verdict:
        evidence = {"verifiedBy": "test", "trustPolicy": self.terms.trust_policy}
        return Verdict(True, image.rpartition("@")[2], evidence=evidence)

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        return Verdict(True)


class Held:
    """A Lease that is ours."""

    def still_mine(self) -> bool:
        return True


@dataclass
class ToldStack:
    """What a stack's processes would answer; it outlives the engines that ask it."""

    admin: Cluster
    namespace: str
    latch: Posture = Posture.CLOSE_ONLY
    ceiling: Posture | None = None
    positions: int = 0
    raised: list[Posture] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)

    async def ask(self, addresses: Mapping[str, str], timeout_s: float = 2.0) -> StackView:
        hashes = await self._hashes()
        problems = {role: "has no running pod" for role in ("brain", "execution") if role not in hashes}
        in_force = min(self.latch, self.ceiling or self.latch)
        brain = execution = None
        if "brain" in hashes:
            phases = {"scavenger": PhaseView(True, hashes["scavenger"])} if "scavenger" in hashes else {}
            brain = BrainView(hashes["brain"], self.ceiling, self.latch, in_force, equity=Decimal(200), phases=phases)
        if "execution" in hashes:
            execution = ExecutionView(
                hashes["execution"], self.latch, in_force, 0, 0, 0, self.positions, True, True, True, True, True
            )
        return StackView(brain, execution, problems)

    async def _hashes(self) -> dict[str, str]:
        found = {}
        for pod in await self.admin.list(KINDS["Pod"], self.namespace):
            ready = [item for item in pod["status"].get("conditions", ()) if item["type"] == "Ready"]
            if not ready or ready[0]["status"] != "True" or "deletionTimestamp" in pod["metadata"]:
                continue
            names = [name for name in json.dumps(pod["spec"]["volumes"]).split('"') if name.startswith("policy-")]
            if names:
                rules = await self.admin.get(KINDS["ConfigMap"], names[0], self.namespace)
                hash_ = await self._hash(names[0]) if rules else ""
                found[pod["metadata"]["labels"][LABEL_COMPONENT]] = hash_
        return found

    async def _hash(self, name: str) -> str:
        from titan.domain.policy_hash import policy_hash

        rules = await self.admin.get(KINDS["ConfigMap"], name, self.namespace)
        assert rules is not None
        return policy_hash(json.loads(rules["data"]["policy.json"]))

    async def set_ceiling(self, address: str, ceiling: Posture, policy_hash: str) -> Ack:
        self.ceiling = ceiling
        return Ack(True, "OK", "")

    async def act(self, address: str, posture: Posture, by: str, reason: str, nonce: str) -> Ack:
        if posture is Posture.ARMED:
            if nonce in self.nonces:
                return Ack(False, "NONCE_USED", "this nonce has been used")
            self.nonces.add(nonce)
            if posture > self.latch:
                self.raised.append(posture)
            self.latch = posture
        else:
            self.latch = min(self.latch, posture)
        return Ack(True, "OK", posture.name, acknowledged_by="execution", working_orders=0, open_positions=0)

    async def tighten(self, address: str, posture: Posture, by: str, reason: str) -> Ack:
        self.latch = min(self.latch, posture)
        return Ack(True, "OK", posture.name, working_orders=0, open_positions=self.positions)

    async def close(self) -> None:
        """Nothing is open."""


async def mark_pods(admin: Cluster, namespace: str, kubeconfig: Path) -> None:
    """What a kubelet tells of pods that run, and its last word on those that end; until cancelled."""
    # Late: an operator process that is measured imports this module too.
    from kubernetes.client import ApiException, CoreV1Api
    from kubernetes.config import new_client_from_config

    client = CoreV1Api(new_client_from_config(str(kubeconfig)))
    while True:
        for pod in await admin.list(KINDS["Pod"], namespace):
            name = pod["metadata"]["name"]
            try:
                if "deletionTimestamp" in pod["metadata"]:
                    await asyncio.to_thread(client.delete_namespaced_pod, name, namespace, grace_period_seconds=0)
                elif not pod["status"].get("podIP"):
                    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
                    status = {"phase": "Running", "podIP": "10.9.9.9", "conditions": [ready]}
                    await admin.patch_merge(KINDS["Pod"], name, namespace, {"status": status}, subresource="status")
            except ApiError as error:
                if not (error.not_found or error.conflict):
                    raise
            except ApiException as error:
                if error.status != 404:
                    raise
        await asyncio.sleep(0.05)


@dataclass
class Scene:
    """One namespace with its stack, and the engine that a test runs over it."""

    admin: Cluster
    operator: Connection
    namespace: str
    folder: Path
    told: ToldStack
    resync_s: float = 0.2

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[StackEngine]:
        """A fresh engine: it remembers nothing of one before."""
        settings = OperatorSettings(
            role="operator",
            http_port=0,
            state_dir=str(self.folder),
            namespaces=[self.namespace],
            operator_namespace=SYSTEM,
            pod_name="operator",
            resync_s=self.resync_s,
            poll_s=self.resync_s,
        )
        log = get_logger("operator")
        metrics = OperatorMetrics(Metrics())
        async with Cluster(self.operator, observe=metrics.called) as cluster, aiohttp.ClientSession() as session:
            published = PublishedImages(cluster, [self.namespace], lambda: datetime.now(UTC))
            parts = Parts(
                cluster=cluster,
                judge=Judge(Everything(), published, time.monotonic),
                events=Events(cluster, instance="operator", log=log),
                lease=Held(),
                watches=WatchTracker(1e9),
                metrics=metrics,
                http=session,
                settings=settings,
                version="1.0.0",
                log=log,
                connect=lambda *_: self.told,
            )
            yield StackEngine(self.namespace, parts)

    async def run_until(self, engine: StackEngine, holds: Any, timeout_s: float = 30.0) -> None:
        """Reconcile, as the engine itself would, until ``await holds()``."""
        task = asyncio.create_task(engine.run())
        try:
            async with asyncio.timeout(timeout_s):
                while not await holds():
                    if task.done():
                        task.result()
                    engine.wake()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            events = await self.admin.list(KINDS["Event"], self.namespace)
            warnings = sorted(
                {f"{one['regarding']['name']}: {one['note']}" for one in events if one["type"] == "Warning"}
            )
            found = f"phases: {await self.conditions()}; warnings: {warnings}"
            raise AssertionError(f"not within {timeout_s} s; {found}") from None
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def apply(self, *resources: Mapping[str, Any]) -> None:
        """Write resources as a person does."""
        for resource in resources:
            whole = {**resource, "metadata": {**resource["metadata"], "namespace": self.namespace}}
            await self.admin.apply(KINDS[resource["kind"]], whole, manager="kubectl")

    async def conditions(self) -> dict[str, tuple[str, str]]:
        """Ready and its reason of each TitanPhase."""
        found = {}
        for item in await self.admin.list(KINDS["TitanPhase"], self.namespace):
            status = item.get("status", {})
            current = status.get("observedGeneration") == item["metadata"]["generation"]
            ready = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), None)
            known = ready is not None and current
            found[item["metadata"]["name"]] = (ready["status"], ready["reason"]) if known else ("Unknown", "")
        return found

    async def settled(self, ready: int = 5) -> bool:
        """Whether all phases run."""
        found = await self.conditions()
        return len(found) == ready and {value[0] for value in found.values()} == {"True"}

    async def objects(self) -> dict[str, Any]:
        """Everything in the namespace that the operator writes, without what differs from run to run."""
        kinds = (
            *("RiskPolicy", "TitanPhase", "ConfigMap", "Secret", "Service", "ServiceAccount", "NetworkPolicy"),
            *("PersistentVolumeClaim", "Deployment", "StatefulSet"),
        )
        found: dict[str, Any] = {}
        for kind in kinds:
            for item in await self.admin.list(KINDS[kind], self.namespace):
                found[f"{kind}/{item['metadata']['name']}"] = _comparable(kind, item, self.namespace)
        namespace = await self.admin.get(KINDS["Namespace"], self.namespace)
        assert namespace is not None
        found["Namespace"] = namespace["metadata"].get("annotations", {})
        return found


def _comparable(kind: str, item: Mapping[str, Any], namespace: str) -> Any:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _VOLATILE}
    body = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    if kind == "Secret":
        body["data"] = sorted(body["data"])
    if kind == "Service":
        body["spec"] = {key: value for key, value in body["spec"].items() if "clusterIP" not in key}
    if kind in ("RiskPolicy", "TitanPhase"):
        status = item.get("status", {})
        conditions = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}
        body["status"] = {**{key: value for key, value in status.items() if key != "conditions"}, **conditions}
        body["status"].pop("observedGeneration", None)
    metadata.pop("annotations", None) if kind in ("Deployment",) else None
    return json.loads(json.dumps({"metadata": metadata, **body}).replace(namespace, "NAMESPACE"))
