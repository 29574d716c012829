"""A controller on the real API server, with pods that are only marked ready and a stack that only answers.

For what is about the API server: cut connections, lost events, stale lists. Real processes are in the tests of stacks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from titan.domain.enums import Posture
from titan.domain.policy_hash import policy_hash
from titan.runtime.telemetry.logs import Log
from titan.runtime.telemetry.metrics import Metrics
from titan_operator.admission.image_checks import ImageChecker
from titan_operator.admission.store import VerifiedImagesStore
from titan_operator.api import RiskPolicy
from titan_operator.api.names import LABEL_COMPONENT, REVISION, authority_secret
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection
from titan_operator.cluster.errors import ApiError, ClusterError
from titan_operator.cluster.events import Events
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.cluster.watches import WatchTracker
from titan_operator.controller.context import Context
from titan_operator.controller.controller import StackController
from titan_operator.metrics import OperatorMetrics
from titan_operator.settings import OperatorSettings
from titan_operator.stack.view import Ack, BrainView, ExecutionView, PhaseView, StackView
from titan_operator.supplychain.verdict import TrustTerms, Verdict

SYSTEM = "titan-system"
# The controller has no watches here; it is woken this often instead, in seconds.
WAKE_S = 0.3
# Objects that the cluster puts into every namespace by itself.
_CLUSTERS_OWN = (("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default"))
# Fields that differ between two equal runs: identities, times and random values.
_VOLATILE = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp")


class AcceptingVerifier:
    """A verifier that accepts every image, for tests of the API server."""

    terms = TrustTerms("sha256:" + "7" * 64)
    problem = ""

    def reload(self) -> bool:
        return False

    async def verify(self, image: str) -> Verdict:
        evidence = {"verifiedBy": "test", "trustPolicy": self.terms.trust_policy}
        return Verdict(True, image.rpartition("@")[2], evidence=evidence)

    async def verify_policy(self, policy: RiskPolicy) -> Verdict:
        return Verdict(True)


class HeldLease:
    """A Lease that is always held."""

    def is_held(self) -> bool:
        return True


@dataclass
class ScriptedStack:
    """A stack's processes with scripted answers; it outlives the controllers that query it.

    Attributes
    ----------
    latch
        What a person armed, or what tightened it since; a test sets it as a person would.
    raised
        Each posture that came into force from below. Only a person's act may bring one up.
    lies
        By role: the policy's hash that its process claims to enforce, whatever it mounts.
    """

    admin: Cluster
    namespace: str
    latch: Posture = Posture.CLOSE_ONLY
    ceiling: Posture | None = None
    positions: int = 0
    equity: Decimal = Decimal(200)
    raised: list[Posture] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    lies: dict[str, str] = field(default_factory=dict)
    # By name of the policy's ConfigMap, which is named by its content.
    _known: dict[str, str] = field(default_factory=dict)

    @property
    def in_force(self) -> Posture:
        return min(self.latch, self.latch if self.ceiling is None else self.ceiling)

    async def query(self, addresses: Mapping[str, str], timeout_s: float = 2.0) -> StackView:
        running = await self._hashes()
        # Brain and Execution are queried at their pods; Brain reports the phases.
        hashes = {role: said for role, said in running.items() if role in addresses or role == "scavenger"}
        problems = {role: "has no running pod" for role in ("brain", "execution") if role not in hashes}
        brain = execution = None
        if "brain" in hashes:
            phases = {"scavenger": PhaseView(True, hashes["scavenger"])} if "scavenger" in hashes else {}
            brain = BrainView(
                hashes["brain"], self.ceiling, self.latch, self.in_force, equity=self.equity, phases=phases
            )
        if "execution" in hashes:
            execution = ExecutionView(
                hashes["execution"], self.latch, self.in_force, 0, 0, 0, self.positions, True, True, True, True, True
            )
        return StackView(brain, execution, problems)

    async def _hashes(self) -> dict[str, str]:
        found = {}
        for pod in await pods_at_hand(self.admin, self.namespace):
            ready = [item for item in pod["status"].get("conditions", ()) if item["type"] == "Ready"]
            if not ready or ready[0]["status"] != "True" or "deletionTimestamp" in pod["metadata"]:
                continue
            words = json.dumps(pod["spec"]["volumes"]).split('"')
            policies = [word for word in words if word.startswith("policy-")]
            if policies:
                role = pod["metadata"]["labels"][LABEL_COMPONENT]
                found[role] = self.lies.get(role) or await self._hash(policies[0])
        return found

    async def _hash(self, name: str) -> str:
        if name not in self._known:
            rules = await self.admin.get(KINDS["ConfigMap"], name, self.namespace)
            if rules is None:
                return ""
            self._known[name] = policy_hash(json.loads(rules["data"]["policy.json"]))
        return self._known[name]

    async def set_ceiling(self, address: str, ceiling: Posture, policy_hash: str) -> Ack:
        before = self.in_force
        self.ceiling = ceiling
        self._compare(before)
        return Ack(True, "OK", "")

    async def act(self, address: str, posture: Posture, by: str, reason: str, nonce: str) -> Ack:
        before = self.in_force
        if posture is Posture.ARMED:
            if nonce in self.nonces:
                return Ack(False, "NONCE_USED", "this nonce has been used")
            self.nonces.add(nonce)
            self.latch = posture
        else:
            self.latch = min(self.latch, posture)
        self._compare(before)
        return Ack(True, "OK", posture.name, acknowledged_by="execution", working_orders=0, open_positions=0)

    async def tighten(self, address: str, posture: Posture, by: str, reason: str) -> Ack:
        self.latch = min(self.latch, posture)
        return Ack(True, "OK", posture.name, working_orders=0, open_positions=self.positions)

    async def close(self) -> None:
        """Nothing is open."""

    def _compare(self, before: Posture) -> None:
        if self.in_force > before:
            self.raised.append(self.in_force)


async def pods_at_hand(admin: Cluster, namespace: str) -> list[dict[str, Any]]:
    """Pods as the API server has them at hand, perhaps a little old, as a kubelet and a process know them.

    A list of all that is written by now waits up to 100 ms for the store's word, and so does the next one of pods after
    it, the operator's own (k8s.io/apiserver, storage/cacher/progress): that would be measured, and no process asks so.
    """
    kind = KINDS["Pod"]
    answer = await admin._read("list", kind, kind.path(namespace=namespace), {"resourceVersion": "0"})
    return answer["items"]  # type: ignore[no-any-return]


async def mark_pods(admin: Cluster, namespace: str, kubeconfig: Path) -> None:
    """Write the status that a kubelet writes for running pods, and remove ended ones, until canceled."""
    # Late: an operator process that is measured imports this module too.
    from kubernetes.client import ApiException, CoreV1Api
    from kubernetes.config import new_client_from_config

    client = CoreV1Api(new_client_from_config(str(kubeconfig)))
    while True:
        for pod in await pods_at_hand(admin, namespace):
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
        await asyncio.sleep(0.2)


@dataclass
class ControllerFixture:
    """One namespace with its stack, and the controller that a test runs over it."""

    admin: Cluster
    operator: Connection
    namespace: str
    folder: Path
    stack: ScriptedStack
    lease: HeldLease = field(default_factory=HeldLease)
    resync_s: float = 5.0
    clock: Callable[[], float] = time.monotonic

    @asynccontextmanager
    async def controller(self) -> AsyncIterator[StackController]:
        """Make a new controller, without the state of an earlier one."""
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
        # Late, as above: where structlog is imported before Titan's logs it imports rich as well, 4 MB that no
        # operator has.
        import structlog

        # Warnings only; each pass logs much more.
        log: Log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr), wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
        )
        metrics = OperatorMetrics(Metrics())
        async with Cluster(self.operator, observe=metrics.observe_call) as cluster, aiohttp.ClientSession() as session:
            store = VerifiedImagesStore(cluster, [self.namespace], lambda: datetime.now(UTC))
            parts = Context(
                cluster=cluster,
                image_checker=ImageChecker(AcceptingVerifier(), store, time.monotonic),
                events=Events(cluster, instance="operator", log=log),
                lease=self.lease,
                watches=WatchTracker(1e9),
                metrics=metrics,
                http=session,
                settings=settings,
                version="1.0.0",
                log=log,
                clock=self.clock,
                connect=lambda *_: self.stack,
            )
            yield StackController(self.namespace, parts)

    async def run_until(
        self,
        controller: StackController,
        holds: Callable[[], Awaitable[bool]],
        timeout_s: float = 120.0,
        *,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Let the controller reconcile until ``await holds()``, or until ``stop`` is set, which ends it at once."""
        work = asyncio.create_task(controller.run())
        stopped = asyncio.create_task((stop or asyncio.Event()).wait())
        try:
            async with asyncio.timeout(timeout_s):
                while not stopped.done() and not await holds():
                    if work.done():
                        work.result()
                    controller.wake()
                    await asyncio.wait({stopped, work}, timeout=WAKE_S, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s; {await self.describe()}") from None
        finally:
            work.cancel()
            stopped.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)

    async def calm(self, controller: StackController, writes: Callable[[], int]) -> None:
        """Pass until a whole pass writes nothing and has nothing to do before the next resync."""
        async with asyncio.timeout(120):
            while True:
                before, requeue_after_s = writes(), 0.0
                try:
                    requeue_after_s = await controller.reconcile()
                except* ClusterError:
                    # A cut can be here too: the next pass goes on from there.
                    requeue_after_s = 0.0
                if writes() == before and requeue_after_s >= self.resync_s:
                    return
                await asyncio.sleep(min(requeue_after_s, WAKE_S))

    async def describe(self) -> str:
        """Describe the state for a failure's message."""
        events = await self.admin.list(KINDS["Event"], self.namespace)
        warnings = sorted(
            {
                f"{one['regarding']['name']}: {one['note']}"
                for one in events
                if one["type"] == "Warning" and "endpoint" not in one["note"]
            }
        )
        policies = {
            item["metadata"]["name"]: (item["metadata"]["generation"], item.get("status", {}).get("observedGeneration"))
            for item in await self.admin.list(KINDS["RiskPolicy"], self.namespace)
        }
        posture = f"latch {self.stack.latch.name}; policies, generation and seen: {policies}"
        return f"{self.namespace}: phases: {await self.conditions()}; {posture}; warnings: {warnings}"

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
        """Whether all phases run, and the policies' statuses are of their present generation."""
        for policy in await self.admin.list(KINDS["RiskPolicy"], self.namespace):
            if policy.get("status", {}).get("observedGeneration") != policy["metadata"]["generation"]:
                return False
        found = await self.conditions()
        return len(found) == ready and {value[0] for value in found.values()} == {"True"}

    async def objects(self) -> dict[str, Any]:
        """Everything in the namespace that is Titan's, without what differs from run to run."""
        kinds = (
            *("RiskPolicy", "TitanPhase", "ConfigMap", "Secret", "Service", "ServiceAccount", "NetworkPolicy"),
            *("PersistentVolumeClaim", "Deployment", "StatefulSet"),
        )
        listed = await asyncio.gather(*(self.admin.list(KINDS[kind], self.namespace) for kind in kinds))
        found: dict[str, Any] = {
            f"{kind}/{item['metadata']['name']}": _comparable(kind, item, self.namespace)
            for kind, items in zip(kinds, listed, strict=True)
            for item in items
            if (kind, item["metadata"]["name"]) not in _CLUSTERS_OWN
        }
        pods = await self.admin.list(KINDS["Pod"], self.namespace)
        found["Pods"] = sorted(
            (pod["metadata"]["labels"][LABEL_COMPONENT], pod["metadata"]["annotations"][REVISION]) for pod in pods
        )
        # All certificates come from one authority, the one that is kept.
        name = authority_secret(self.namespace)
        kept = await self.admin.get(KINDS["Secret"], name, SYSTEM)
        leaves = [item for item in listed[kinds.index("Secret")] if "ca.pem" in item["data"]]
        found["Authority"] = kept is not None and {kept["data"]["ca.pem"]} >= {
            item["data"]["ca.pem"] for item in leaves
        }
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
    if kind == "Deployment":
        # The controller's own count of templates.
        metadata["annotations"] = {
            key: value
            for key, value in metadata.get("annotations", {}).items()
            if key != "deployment.kubernetes.io/revision"
        }
    return json.loads(json.dumps({"metadata": metadata, **body}).replace(namespace, "NAMESPACE"))
