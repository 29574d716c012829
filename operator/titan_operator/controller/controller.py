"""Level-triggered reconcile of stacks: gather → decide → carry out → status. Safe to be killed at any write."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from opentelemetry.trace import Span

from titan_operator.admission.image_checks import ImageCheckResult
from titan_operator.admission.probe import AdmissionProbe
from titan_operator.cluster.backoff import FIRST_S, LAST_S, Backoff
from titan_operator.cluster.client import Object
from titan_operator.cluster.errors import ApiError, ClusterError
from titan_operator.cluster.kinds import KINDS
from titan_operator.controller.context import Context
from titan_operator.controller.executor import EffectExecutor, require_lease
from titan_operator.controller.gather import (
    Listing,
    find,
    given,
    images,
    missing_secrets,
    referenced_secrets,
    signed,
    unready,
)
from titan_operator.reconcile.decide import decide
from titan_operator.reconcile.effects import Decision, Finding, Outcome
from titan_operator.reconcile.gates import digests
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.posture import pinned
from titan_operator.reconcile.status import Status, differs, first_status, phase_status, policy_status
from titan_operator.stack.certificates import StackCertificates
from titan_operator.stack.client import StackClient
from titan_operator.tracing import tracer

# A status that only moved in its numbers is written this often.
MOVING_STATUS_S = 60.0
# Nothing is looked at again sooner than this, unless an event says so.
SHORTEST_S = 0.02


class StackController:
    """Reconciles one namespace, one pass at a time, whenever it is woken and at least every ``resync_s``."""

    def __init__(self, namespace: str, parts: Context) -> None:
        self.namespace = namespace
        self._parts = parts
        self._log = parts.log.bind(namespace=namespace)
        self._wake = asyncio.Event()
        self._canary = AdmissionProbe(parts.cluster, namespace, parts.settings.canary_s, parts.clock)
        self._identity = StackCertificates(parts.cluster, namespace, parts.settings)
        self._client: StackClient | None = None
        self._judged = ImageCheckResult()
        self._backoff_s = 0.0
        self._objects = Backoff(parts.clock)
        self._waits_since: dict[tuple[str, str], float] = {}
        self._written: dict[tuple[str, str], float] = {}
        self.failure = ""

    @property
    def waiting(self) -> bool:
        """Whether a pass is due."""
        return self._wake.is_set()

    def wake(self) -> None:
        """Have another pass as soon as this one ends."""
        self._wake.set()

    async def run(self) -> None:
        """Reconcile for ever."""
        while True:
            pause = await self._guarded_pass()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                self._log.debug("resync")

    async def close(self) -> None:
        """Close connections to the stack."""
        if self._client is not None:
            await self._client.close()

    async def _guarded_pass(self) -> float:
        settings = self._parts.settings
        if not self._parts.lease.is_held():
            self._wake.clear()
            return 1.0
        started = self._parts.clock()
        self._wake.clear()
        try:
            requeue_after_s = await self.reconcile()
        except* ClusterError as errors:
            reason = "; ".join(str(error) for error in errors.exceptions)
            self._backoff_s = min(LAST_S, max(FIRST_S, self._backoff_s * 2))
            self.failure = reason
            self._parts.metrics.failed(self.namespace)
            self._log.warning("reconcile failed", reason=reason, requeue_after_s=self._backoff_s)
            requeue_after_s = self._backoff_s
        else:
            self._backoff_s = 0.0
        self._parts.metrics.reconciled(self.namespace, self._parts.clock() - started)
        return min(requeue_after_s, settings.resync_s)

    async def reconcile(self) -> float:
        """Do one pass; return in how many seconds to look again at the latest.

        Raises
        ------
        ClusterError
            Reading failed, or a write did; what was written stays, and the next pass goes on from there.
        """
        with tracer().start_as_current_span("reconcile", attributes={"titan.namespace": self.namespace}) as span:
            return await self._reconcile(span)

    async def _reconcile(self, span: Span) -> float:
        parts = self._parts
        with tracer().start_as_current_span("gather"):
            found = await find(parts.cluster, self.namespace)
        self._compare_watches(found)
        if found.empty:
            return parts.settings.resync_s
        found = await self._first_words(found)
        with tracer().start_as_current_span("ask"):
            world = await self._world(found)
        decision = decide(world)
        self._remember(decision)
        span.set_attribute("titan.effects", len(decision.effects))
        carried = EffectExecutor(
            self.namespace, world, found, parts, self._identity, self._client, self._objects, self._log
        )
        with tracer().start_as_current_span("apply"):
            await carried.all(decision.effects)
        with tracer().start_as_current_span("status"):
            await self._write_statuses(world, decision, carried)
        self._objects.forget({(getattr(item, "kind", ""), getattr(item, "name", "")) for item in decision.effects})
        # One object that cannot be written holds up no other: it is tried again by its own clock.
        self.failure = "; ".join(str(error) for error in carried.failures)
        if carried.failures:
            parts.metrics.failed(self.namespace)
        trading = world.stack.brain is not None or world.stack.execution is not None
        calm_s = parts.settings.poll_s if trading else parts.settings.resync_s
        wanted_s = (
            *(carried.requeue_after_s, decision.requeue_after_s or calm_s, self._judged.requeue_after_s),
            *(self._objects.next_s(), self._identity.renewal_in_s()),
        )
        return max(SHORTEST_S, min(calm_s, *wanted_s))

    def _compare_watches(self, found: Listing) -> None:
        for kind, items in (("RiskPolicy", found.policies), ("TitanPhase", found.phases)):
            listed = {item.name: item.raw["metadata"]["resourceVersion"] for item in items}
            self._parts.watches.check(KINDS[kind], self.namespace, listed, self._parts.clock())

    async def _first_words(self, found: Listing) -> Listing:
        """Tell what is new that it has been seen, before anything else is done about it."""
        policies = [await self._first_word(item) for item in found.policies]
        phases = [await self._first_word(item) for item in found.phases]
        return replace(found, policies=tuple(policies), phases=tuple(phases))

    async def _first_word(self, item: ObservedResource) -> ObservedResource:
        if item.status.get("observedGeneration") == item.generation:
            return item
        written = await self._write(item, first_status(item, _now()))
        # What is written next builds on it: its version is a precondition of our finalizer.
        return item if written is None else given(item.kind, written)

    async def _world(self, found: Listing) -> Observed:
        parts = self._parts
        await self._identity.prepare()
        if self._client is None:
            self._client = parts.connect(self.namespace, self._identity.directory, self._log)
        judged = await parts.judge.check_images(self.namespace, images(found.phases), digests(found.children))
        self._judged = judged
        named = {image.rpartition("@")[2]: image for image in judged.verdicts}
        admission = await self._canary.check({item: image for item, image in named.items() if item in judged.listed})
        view, reasons, secrets = await asyncio.gather(
            self._client.query(found.addresses()),
            unready(parts.http, found.pods),
            referenced_secrets(parts.cluster, self.namespace, found.phases),
        )
        now = parts.clock()
        return Observed(
            namespace=self.namespace,
            operator_namespace=parts.settings.operator_namespace,
            version=parts.version,
            policies=found.policies,
            phases=found.phases,
            children=found.children,
            pods=found.pods,
            verdicts=judged.verdicts,
            stack=view,
            listed=judged.listed,
            revoked=judged.revoked,
            drain_revoked=judged.drain,
            admission=admission,
            signatures_required=parts.settings.require_signed_policies,
            policy_verdicts=await parts.judge.check_policies(signed(found.policies)),
            namespace_raw=found.namespace,
            missing_secrets=missing_secrets(found.phases, secrets),
            not_ready=reasons,
            waited_s={key: now - since for key, since in self._waits_since.items()},
        )

    def _remember(self, decision: Decision) -> None:
        now = self._parts.clock()
        self._waits_since = {key: self._waits_since.get(key, now) for key in decision.waits_for}
        for name, outcome in (*decision.phases.items(), *decision.policies.items()):
            for kind, finding in outcome.findings.items():
                if finding.holds is False:
                    self._parts.metrics.refused(self.namespace, kind)
            self._log.debug("outcome", object=name, ready=outcome.ready, reason=outcome.reason)

    async def _write_statuses(self, world: Observed, decision: Decision, carried: EffectExecutor) -> None:
        in_use = {item.name for item in pinned(world)}
        for policy in world.policies:
            outcome = _with_failure(decision.policies[policy.name], carried.failed_objects.get(policy.name))
            act = carried.acts.get(policy.name) or policy.status.get("act")
            await self._write(
                policy, policy_status(policy, outcome, world, policy.name in in_use, act, _now()), carried
            )
        for phase in world.phases:
            outcome = _with_failure(decision.phases[phase.name], carried.failed_objects.get(phase.name))
            await self._write(phase, phase_status(phase, outcome, world, _now()), carried)

    async def _write(
        self, item: ObservedResource, status: Status, carried: EffectExecutor | None = None
    ) -> Object | None:
        """Write a status where it differs; return the object as it is then, None where nothing was written."""
        key = (item.kind, item.name)
        if carried is not None and key in carried.finalized_away:
            return None
        now = self._parts.clock()
        due = now - self._written.get(key, float("-inf")) >= MOVING_STATUS_S
        if not differs(item.status, status, moving_too=due):
            return None
        manifest: Mapping[str, object] = {
            "apiVersion": item.raw["apiVersion"],
            "kind": item.kind,
            "metadata": {"name": item.name, "namespace": self.namespace},
            "status": status,
        }
        require_lease(self._parts.lease)
        try:
            written = await self._parts.cluster.apply_status(KINDS[item.kind], manifest)
        except ApiError as error:
            if not error.not_found:
                raise
            self._log.info("gone before its status was written", kind=item.kind, object=item.name)
            return None
        self._written[key] = now
        self._log.info(
            "status",
            kind=item.kind,
            object=item.name,
            generation=item.generation,
            ready=status["conditions"][0]["status"],
            reason=status["conditions"][0]["reason"],
        )
        return written


def _with_failure(outcome: Outcome, failure: str | None) -> Outcome:
    if failure is None:
        return outcome
    findings = dict(outcome.findings) | {"Applied": Finding(False, "ApplyFailed", failure)}
    return Outcome(
        ready=False,
        reason="ApplyFailed",
        message=failure,
        state=outcome.state,
        reconciling=True,
        findings=findings,
        current=outcome.current,
        last_verified=outcome.last_verified,
        failed=outcome.failed,
        image_digest=outcome.image_digest,
        policy_hash=outcome.policy_hash,
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
