"""Level-triggered reconcile of stacks: gather → decide → execute → status. It may be killed at any write."""

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
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.controller.context import Context
from titan_operator.controller.executor import EffectExecutor, require_lease
from titan_operator.controller.gather import (
    Listing,
    health_reasons,
    missing_secrets,
    read_listing,
    read_resource,
    referenced_secrets,
    requested_images,
    signed_policies,
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

# A status of which only numbers have moved is written this often.
MOVING_STATUS_S = 60.0
# The next pass comes no sooner than this, unless an event wakes the controller.
SHORTEST_S = 0.02


class StackController:
    """Reconciles one namespace, one pass at a time: when it is woken, and at least every ``resync_s``."""

    def __init__(self, namespace: str, parts: Context) -> None:
        self.namespace = namespace
        self._parts = parts
        self._log = parts.log.bind(namespace=namespace)
        self._wake = asyncio.Event()
        self._probe = AdmissionProbe(parts.cluster, namespace, parts.settings.admission_probe_s, parts.clock)
        self._certificates = StackCertificates(parts.cluster, namespace, parts.settings)
        self._client: StackClient | None = None
        self._image_check = ImageCheckResult()
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
        """Start another pass as soon as this one ends."""
        self._wake.set()

    async def run(self) -> None:
        """Reconcile until canceled."""
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
            self._parts.metrics.count_failure(self.namespace)
            self._log.warning("reconcile failed", reason=reason, requeue_after_s=self._backoff_s)
            requeue_after_s = self._backoff_s
        else:
            self._backoff_s = 0.0
        self._parts.metrics.observe_pass(self.namespace, self._parts.clock() - started)
        return min(requeue_after_s, settings.resync_s)

    async def reconcile(self) -> float:
        """Do one pass; return the seconds after which the next one is due.

        Raises
        ------
        ClusterError
            A read or a write failed. Finished writes stay, and the next pass goes on from there.
        """
        with tracer().start_as_current_span("reconcile", attributes={"titan.namespace": self.namespace}) as span:
            return await self._reconcile(span)

    async def _reconcile(self, span: Span) -> float:
        parts = self._parts
        with tracer().start_as_current_span("gather"):
            listing = await read_listing(parts.cluster, self.namespace)
        self._check_watches(listing)
        if listing.empty:
            return parts.settings.resync_s
        listing = await self._acknowledge_all(listing)
        with tracer().start_as_current_span("ask"):
            observed = await self._observe(listing)
        decision = decide(observed)
        self._record_decision(decision)
        span.set_attribute("titan.effects", len(decision.effects))
        executor = EffectExecutor(
            self.namespace, observed, listing, parts, self._certificates, self._client, self._objects, self._log
        )
        with tracer().start_as_current_span("apply"):
            await executor.execute(decision.effects)
        with tracer().start_as_current_span("status"):
            await self._write_statuses(observed, decision, executor)
        self._objects.forget({(getattr(item, "kind", ""), getattr(item, "name", "")) for item in decision.effects})
        # One object that cannot be written holds up no other: it has a retry time of its own.
        self.failure = "; ".join(str(error) for error in executor.failures)
        if executor.failures:
            parts.metrics.count_failure(self.namespace)
        trading = observed.stack.brain is not None or observed.stack.execution is not None
        calm_s = parts.settings.poll_s if trading else parts.settings.resync_s
        wanted_s = (
            *(executor.requeue_after_s, decision.requeue_after_s or calm_s, self._image_check.requeue_after_s),
            *(self._objects.next_s(), self._certificates.renewal_in_s()),
        )
        return max(SHORTEST_S, min(calm_s, *wanted_s))

    def _check_watches(self, listing: Listing) -> None:
        for kind, items in (("RiskPolicy", listing.policies), ("TitanPhase", listing.phases)):
            listed = {item.name: item.raw["metadata"]["resourceVersion"] for item in items}
            self._parts.watches.check(KINDS[kind], self.namespace, listed, self._parts.clock())

    async def _acknowledge_all(self, listing: Listing) -> Listing:
        """Write to each new generation that it has been observed, before any effect on it."""
        policies = [await self._acknowledge(item) for item in listing.policies]
        phases = [await self._acknowledge(item) for item in listing.phases]
        return replace(listing, policies=tuple(policies), phases=tuple(phases))

    async def _acknowledge(self, item: ObservedResource) -> ObservedResource:
        if item.status.get("observedGeneration") == item.generation:
            return item
        written = await self._write(item, first_status(item, _now()))
        # The written object replaces the read one: its version is a precondition of our finalizer.
        return item if written is None else read_resource(item.kind, written)

    async def _observe(self, listing: Listing) -> Observed:
        parts = self._parts
        await self._certificates.prepare()
        if self._client is None:
            self._client = parts.connect(self.namespace, self._certificates.directory, self._log)
        image_check = await parts.image_checker.check_images(
            self.namespace, requested_images(listing.phases), digests(listing.children)
        )
        self._image_check = image_check
        named = {image.rpartition("@")[2]: image for image in image_check.verdicts}
        admission = await self._probe.check(
            {item: image for item, image in named.items() if item in image_check.listed}
        )
        view, reasons, secrets = await asyncio.gather(
            self._client.query(listing.addresses()),
            health_reasons(parts.http, listing.pods),
            referenced_secrets(parts.cluster, self.namespace, listing.phases),
        )
        now = parts.clock()
        return Observed(
            namespace=self.namespace,
            operator_namespace=parts.settings.operator_namespace,
            version=parts.version,
            policies=listing.policies,
            phases=listing.phases,
            children=listing.children,
            pods=listing.pods,
            verdicts=image_check.verdicts,
            stack=view,
            listed=image_check.listed,
            revoked=image_check.revoked,
            drain_revoked=image_check.drain,
            admission=admission,
            signatures_required=parts.settings.require_signed_policies,
            policy_verdicts=await parts.image_checker.check_policies(signed_policies(listing.policies)),
            namespace_raw=listing.namespace,
            missing_secrets=missing_secrets(listing.phases, secrets),
            not_ready=reasons,
            waited_s={key: now - since for key, since in self._waits_since.items()},
        )

    def _record_decision(self, decision: Decision) -> None:
        now = self._parts.clock()
        self._waits_since = {key: self._waits_since.get(key, now) for key in decision.waits_for}
        for name, outcome in (*decision.phases.items(), *decision.policies.items()):
            for kind, finding in outcome.findings.items():
                if finding.holds is False:
                    self._parts.metrics.count_refusal(self.namespace, kind)
            self._log.debug("outcome", object=name, ready=outcome.ready, reason=outcome.reason)

    async def _write_statuses(self, observed: Observed, decision: Decision, executor: EffectExecutor) -> None:
        in_use = {item.name for item in pinned(observed)}
        for policy in observed.policies:
            outcome = _with_failure(decision.policies[policy.name], executor.failed_objects.get(policy.name))
            act = executor.acts.get(policy.name) or policy.status.get("act")
            await self._write(
                policy, policy_status(policy, outcome, observed, policy.name in in_use, act, _now()), executor
            )
        for phase in observed.phases:
            outcome = _with_failure(decision.phases[phase.name], executor.failed_objects.get(phase.name))
            await self._write(phase, phase_status(phase, outcome, observed, _now()), executor)

    async def _write(
        self, item: ObservedResource, status: Status, executor: EffectExecutor | None = None
    ) -> Object | None:
        """Write a status where it differs; return the written object, or None where nothing was written."""
        key = (item.kind, item.name)
        if executor is not None and key in executor.finalized_away:
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
