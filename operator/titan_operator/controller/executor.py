"""Execute the effects of one decision in their order; a write that fails is recorded and retried later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from titan.domain.enums import Posture
from titan.runtime.telemetry.logs import Log
from titan_operator.api.acts import POSTURE_OF, Act, ActVerb
from titan_operator.api.names import FINALIZER, OPERATOR
from titan_operator.cluster.backoff import Backoff
from titan_operator.cluster.errors import ApiError, ClusterError, Unreachable
from titan_operator.cluster.lease import OperatorLease
from titan_operator.cluster.resource_kinds import KINDS
from titan_operator.controller.gather import Listing
from titan_operator.reconcile.effects import (
    Annotate,
    Apply,
    Certificate,
    Delete,
    Effect,
    ForwardAct,
    RecordActResult,
    RecordEvent,
    RemoveFields,
    SetCeiling,
    SetFinalizer,
    Tighten,
)
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.stack.certificates import StackCertificates
from titan_operator.stack.client import StackClient
from titan_operator.stack.view import Ack

if TYPE_CHECKING:
    from titan_operator.controller.context import Context

# Kinds that run nothing by themselves: pods only mount them, or are reached through them.
_MOUNTED = ("ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount")
# Number of concurrent writes of these kinds. The Lease is checked before each batch.
AT_ONCE = 8
# After an act or a tightening, the next pass comes this soon: the stack's new state belongs into the status.
SOON_S = 0.05
# An act that was not acknowledged is sent again after this time.
RETRY_S = 1.0


def require_lease(lease: OperatorLease) -> None:
    """Refuse a write once the Lease may be another's: a process may have stood still for longer than it lasts.

    Raises
    ------
    Unreachable
        The Lease is no longer ours.
    """
    if not lease.is_held():
        raise Unreachable("the Lease was lost in the middle of a pass; its new holder does the rest")


class EffectExecutor:
    """Executes the effects of one pass and keeps their results.

    Attributes
    ----------
    acts
        ``status.act`` by policy, for acts that have a result.
    failures, failed_objects
        Errors of writes, and by TitanPhase the first object that could not be written for it.
    finalized_away
        Resources that may be gone now: no status is written for them.
    """

    def __init__(
        self,
        namespace: str,
        observed: Observed,
        listing: Listing,
        parts: Context,
        certificates: StackCertificates,
        client: StackClient | None,
        backoff: Backoff,
        log: Log,
    ) -> None:
        self._namespace = namespace
        self._observed = observed
        self._addresses = listing.addresses()
        self._parts = parts
        self._certificates = certificates
        self._client = client
        self._backoff = backoff
        self._log = log
        self.acts: dict[str, Mapping[str, Any]] = {}
        self.failures: list[Exception] = []
        self.failed_objects: dict[str, str] = {}
        self.finalized_away: set[tuple[str, str]] = set()
        self.requeue_after_s = float("inf")

    async def execute(self, effects: Sequence[Effect]) -> None:
        """Execute ``effects`` in order; nothing is written once the Lease may be another's.

        Neighbors among the objects that pods mount, or that guard pods, are written in batches: they need nothing of
        each other. Workloads follow after all of them.
        """
        for mounted, together in groupby(effects, _only_mounted):
            group, size = [*together], AT_ONCE if mounted else 1
            for start in range(0, len(group), size):
                require_lease(self._parts.lease)
                some = [effect for effect in group[start : start + size] if not self._backs_off(effect)]
                answers = await asyncio.gather(*(self._execute_one(effect) for effect in some), return_exceptions=True)
                # In the order of the effects: the first failure must not depend on which answer came first.
                for effect, answer in zip(some, answers, strict=True):
                    self._record_result(effect, answer)

    def _backs_off(self, effect: Effect) -> bool:
        if not isinstance(effect, Apply) or not (why := self._backoff.waits(effect.kind, effect.name)):
            return False
        self._note(effect, f"{why}; it is tried again soon")
        return True

    def _record_result(self, effect: Effect, answer: BaseException | None) -> None:
        kind, name = getattr(effect, "kind", type(effect).__name__), getattr(effect, "name", "")
        if answer is None:
            self._backoff.done(kind, name)
            return
        if isinstance(answer, asyncio.CancelledError):
            # Nobody here canceled it: a connection that ends may look so, and must not end the pass.
            answer = Unreachable(f"{_describe(effect)}: the write was canceled")
        if not isinstance(answer, ClusterError):
            raise answer
        self.failures.append(answer)
        requeue_after_s = self._backoff.failed(kind, name, str(answer))
        self.requeue_after_s = min(self.requeue_after_s, requeue_after_s)
        self._log.warning(
            "write failed",
            effect=type(effect).__name__,
            kind=kind,
            object=name,
            reason=str(answer),
            requeue_after_s=requeue_after_s,
        )
        self._note(effect, str(answer))

    def _note(self, effect: Effect, why: str) -> None:
        if phase := getattr(effect, "phase", ""):
            self.failed_objects.setdefault(phase, f"{_describe(effect)}: {why}")

    async def _execute_one(self, effect: Effect) -> None:
        cluster = self._parts.cluster
        match effect:
            case Tighten():
                await self._tighten(effect)
            case SetCeiling():
                await self._set_ceiling(effect)
            case ForwardAct():
                await self._forward_act(effect)
            case RecordActResult():
                self._record_act(effect.policy, effect.act, done=effect.done, message=effect.message)
            case Certificate():
                await self._certificates.ensure(
                    effect.phase, effect.role, self._observed.children.get(("Secret", f"{effect.phase}-tls"))
                )
            case Apply():
                await cluster.apply(KINDS[effect.kind], effect.manifest)
                self._log.info("applied", kind=effect.kind, object=effect.name)
            case RemoveFields():
                await self._remove_fields(effect)
            case Delete():
                kind = KINDS[effect.kind]
                await cluster.delete(kind, effect.name, self._namespace, uid=effect.uid)
                self._log.info("removed", kind=effect.kind, object=effect.name)
                self.requeue_after_s = min(self.requeue_after_s, RETRY_S)
            case Annotate():
                namespace = "" if effect.kind == "Namespace" else self._namespace
                body = {"metadata": {"annotations": {effect.annotation: effect.value}}}
                await cluster.patch_merge(KINDS[effect.kind], effect.name, namespace, body)
            case SetFinalizer():
                await self._set_finalizer(effect)
            case RecordEvent():
                resource = self._resource(effect.kind, effect.name)
                await self._parts.events.record(resource.raw, effect.type, effect.reason, "Reconcile", effect.note)

    async def _remove_fields(self, effect: RemoveFields) -> None:
        cluster, kind = self._parts.cluster, KINDS[effect.kind]
        try:
            await cluster.patch_json(kind, effect.name, self._namespace, effect.operations)
        except ApiError as error:
            if not (error.conflict or error.invalid or error.not_found):
                raise
            # The fields have changed since they were read: the next pass reads them again.
            self._log.info("changed meanwhile", kind=effect.kind, object=effect.name, reason=error.message)
            self.requeue_after_s = min(self.requeue_after_s, SOON_S)

    def _resource(self, kind: str, name: str) -> ObservedResource:
        items = self._observed.policies if kind == "RiskPolicy" else self._observed.phases
        return next(item for item in items if item.name == name)

    async def _set_finalizer(self, effect: SetFinalizer) -> None:
        resource = self._resource(effect.kind, effect.name)
        metadata = resource.raw["metadata"]
        others = [name for name in metadata.get("finalizers", ()) if name != FINALIZER]
        # With the version as precondition no finalizer that another put on meanwhile is lost.
        body = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*others, FINALIZER] if effect.present else others,
            }
        }
        if not effect.present:
            self.finalized_away.add((effect.kind, effect.name))
        try:
            await self._parts.cluster.patch_merge(KINDS[effect.kind], effect.name, self._namespace, body)
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise
            # The object changed since it was read, by our own first status or by another: the next pass repeats this.
            self.requeue_after_s = min(self.requeue_after_s, SOON_S)

    async def _tighten(self, effect: Tighten) -> None:
        acks = await self._send_posture(effect.posture, OPERATOR, effect.reason, "")
        self._log.info(
            "tightened",
            posture=effect.posture.name,
            reason=effect.reason,
            **{who: ack.message for who, ack in acks.items()},
        )
        self.requeue_after_s = min(
            self.requeue_after_s, RETRY_S if not acks or not all(ack.done for ack in acks.values()) else SOON_S
        )

    async def _send_posture(self, posture: Posture, by: str, reason: str, nonce: str) -> dict[str, Ack]:
        """Send a posture to Brain and Execution at once: neither waits for the other."""
        assert self._client is not None
        requests = {}
        if "brain" in self._addresses:
            requests["brain"] = self._client.act(self._addresses["brain"], posture, by, reason, nonce)
        if "execution" in self._addresses:
            requests["execution"] = self._client.tighten(self._addresses["execution"], posture, by, reason)
        answers = await asyncio.gather(*requests.values())
        return dict(zip(requests, answers, strict=True))

    async def _set_ceiling(self, effect: SetCeiling) -> None:
        assert self._client is not None
        ack = await self._client.set_ceiling(self._addresses["brain"], effect.posture, effect.policy_hash)
        self._log.info("ceiling", posture=effect.posture.name, done=ack.done, reason=ack.reason, message=ack.message)
        self.requeue_after_s = min(self.requeue_after_s, SOON_S if ack.done else RETRY_S)

    async def _forward_act(self, effect: ForwardAct) -> None:
        act = effect.act
        self.requeue_after_s = min(self.requeue_after_s, SOON_S)
        reason = act.reason or f"kubectl: {act.verb.value}"
        if act.verb is ActVerb.ARM:
            await self._arm(effect, reason)
            return
        if act.verb is ActVerb.REBASE:
            await self._rebase(effect, reason)
            return
        posture = POSTURE_OF[act.verb]
        acks = await self._send_posture(posture, act.by, reason, act.nonce)
        execution = acks.get("execution")
        if execution is not None and execution.done:
            counts = f"{execution.working_orders} working orders, {execution.open_positions} open positions"
            self._record_act(
                effect.policy, act, done=True, message=f"acknowledged by Execution: {posture.name}, {counts}"
            )
            return
        if not acks and ("StatefulSet", self._execution_name()) not in self._observed.children:
            self._record_act(
                effect.policy, act, done=True, message="no Execution runs in this stack: nothing can be sent"
            )
            return
        # Not acknowledged: the act stays pending and is sent again until Execution enforces it.
        self._log.warning(
            "act not acknowledged yet",
            verb=act.verb.value,
            by=act.by,
            reported={who: ack.message for who, ack in acks.items()},
        )
        self.requeue_after_s = min(self.requeue_after_s, RETRY_S)

    async def _arm(self, effect: ForwardAct, reason: str) -> None:
        assert self._client is not None
        act = effect.act
        if "brain" not in self._addresses:
            self._record_act(effect.policy, act, done=False, message="Brain does not run: arm again when it does")
            return
        ack = await self._client.act(self._addresses["brain"], Posture.ARMED, act.by, reason, act.nonce)
        problems = f": {'; '.join(ack.preconditions)}" if ack.preconditions else ""
        # An approval is for now: one that did not arrive is not sent later.
        self._record_act(effect.policy, act, done=ack.done, message=f"{ack.message}{problems}" or ack.reason)

    async def _rebase(self, effect: ForwardAct, reason: str) -> None:
        assert self._client is not None
        act = effect.act
        if "execution" not in self._addresses:
            message = "Execution does not run: rebase again when it does"
            self._record_act(effect.policy, act, done=False, message=message)
            return
        ack = await self._client.rebase(self._addresses["execution"], act.by, reason, act.nonce)
        self._record_act(effect.policy, act, done=ack.done, message=ack.message or ack.reason)

    def _execution_name(self) -> str:
        phase = self._observed.phase("execution")
        return "" if phase is None else phase.name

    def _record_act(self, policy: str, act: Act, *, done: bool, message: str) -> None:
        outcome = "Done" if done else "Refused"
        self._log.info("act", verb=act.verb.value, by=act.by, nonce=act.nonce, outcome=outcome, message=message)
        self.acts[policy] = {"nonce": act.nonce, "verb": act.verb.value, "outcome": outcome, "message": message[:1024]}


def _describe(effect: Effect) -> str:
    return f"{getattr(effect, 'kind', type(effect).__name__)} {getattr(effect, 'name', '')}".strip()


def _only_mounted(effect: Effect) -> bool:
    return isinstance(effect, Certificate) or (isinstance(effect, Apply) and effect.kind in _MOUNTED)
