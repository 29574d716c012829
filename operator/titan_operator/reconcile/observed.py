"""Pure: the input of one pass over a namespace. The controller gathers it; gates, rolls and status read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from titan_operator.api import RiskPolicy, TitanPhase
from titan_operator.api.acts import Act, ActVerb
from titan_operator.api.names import FINALIZER, LABEL_INSTANCE, REVISION
from titan_operator.stack.view import StackView
from titan_operator.supplychain.verdict import Verdict

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class ObservedResource:
    """A RiskPolicy or TitanPhase as the API server has it.

    ``resource`` is None where it cannot be read; ``problem`` then has the reason, in one sentence.
    """

    raw: Raw
    resource: RiskPolicy | TitanPhase | None
    problem: str = ""

    @property
    def kind(self) -> str:
        """``RiskPolicy`` or ``TitanPhase``."""
        return str(self.raw["kind"])

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.raw["metadata"]["name"])

    @property
    def generation(self) -> int:
        """Number of changes of the spec, counted by the API server."""
        return int(self.raw["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether its deletion was requested."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def finalized(self) -> bool:
        """Whether our finalizer holds it."""
        return FINALIZER in self.raw["metadata"].get("finalizers", ())

    @property
    def status(self) -> Raw:
        """Status, as the operator last wrote it."""
        status: Raw = self.raw.get("status") or {}
        return status

    def condition(self, kind: str) -> Raw:
        """Return the condition of this type as last written; empty where there is none."""
        return next((item for item in self.status.get("conditions", ()) if item["type"] == kind), {})

    @property
    def act(self) -> Act | None:
        """Act that ``spec.act`` requests, done or not; the API server has checked its form."""
        act = (self.raw.get("spec") or {}).get("act")
        if not act:
            return None
        return Act(ActVerb(act["verb"]), act["nonce"], act["by"], act.get("reason", ""), act.get("phase", ""))

    @property
    def pending_act(self) -> Act | None:
        """Act that has no result yet."""
        act = self.act
        return act if act and act.nonce != (self.status.get("act") or {}).get("nonce") else None


@dataclass(frozen=True)
class Pod:
    """Pod of the stack."""

    raw: Raw

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.raw["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Identity: another pod of the same name has another one."""
        return str(self.raw["metadata"]["uid"])

    @property
    def phase(self) -> str:
        """TitanPhase that it belongs to."""
        return str(self.raw["metadata"].get("labels", {}).get(LABEL_INSTANCE, ""))

    @property
    def revision(self) -> str:
        """Revision that it runs."""
        return str(self.raw["metadata"].get("annotations", {}).get(REVISION, ""))

    @property
    def deleting(self) -> bool:
        """Whether its deletion was requested."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def ip(self) -> str:
        """Address; empty until it has one."""
        return str(self.raw.get("status", {}).get("podIP", ""))

    @property
    def ready(self) -> bool:
        """Whether its readiness probe passes."""
        conditions = self.raw.get("status", {}).get("conditions") or ()
        return not self.deleting and any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    @property
    def restarts(self) -> int:
        """Number of restarts of its containers."""
        return sum(int(item.get("restartCount", 0)) for item in self._containers)

    def first_done(self, container: str) -> bool | None:
        """Return whether an init container succeeded; None where it has not ended, or the pod has none of this name."""
        for item in self.raw.get("status", {}).get("initContainerStatuses") or ():
            ended = item.get("state", {}).get("terminated") or item.get("lastState", {}).get("terminated")
            if item["name"] == container and ended is not None:
                return bool(ended.get("exitCode") == 0)
        return None

    @property
    def trouble(self) -> str:
        """Reason for which its containers wait or ended, as the node reports it; empty where they run."""
        for item in self._containers:
            for state in ("waiting", "terminated"):
                reported = item.get("state", {}).get(state)
                if reported and reported.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                    return ": ".join(str(reported[key]) for key in ("reason", "message") if reported.get(key))
        return ""

    @property
    def _containers(self) -> Sequence[Raw]:
        status = self.raw.get("status", {})
        return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


@dataclass(frozen=True)
class Observed:
    """All that one pass reads.

    Attributes
    ----------
    children
        Live objects that carry the operator's label, by kind and name.
    verdicts
        By image.
    listed
        Digests of images that admission admits in stacks.
    revoked
        By digest of an image that the stack requests or runs: the revocation, in a sentence.
    drain_revoked
        Whether processes of a revoked image are drained and ended, or only reported.
    admission
        Reason for which admission is not known to be enforced; empty while the admission probe passes.
    signatures_required, policy_verdicts
        Whether a policy must be signed, and the verifier's verdict on each signed one, by its name.
    missing_secrets
        By phase: all Secrets and keys that its references lack, in a sentence.
    not_ready
        By pod name: reasons that an unready process reports.
    waited_s
        By phase, and a revision or its pod: time since this operator began to wait for it, in seconds.
    """

    namespace: str
    operator_namespace: str
    version: str
    policies: tuple[ObservedResource, ...]
    phases: tuple[ObservedResource, ...]
    children: Mapping[tuple[str, str], Raw]
    pods: tuple[Pod, ...]
    verdicts: Mapping[str, Verdict]
    stack: StackView
    listed: frozenset[str] = frozenset()
    revoked: Mapping[str, str] = field(default_factory=dict)
    drain_revoked: bool = False
    admission: str = ""
    signatures_required: bool = False
    policy_verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    namespace_raw: Raw = field(default_factory=dict)
    missing_secrets: Mapping[str, str] = field(default_factory=dict)
    not_ready: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waited_s: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def pods_of(self, phase: str) -> tuple[Pod, ...]:
        """Return the pods of a TitanPhase, with those that are being deleted."""
        return tuple(pod for pod in self.pods if pod.phase == phase)

    def phase(self, role: str) -> ObservedResource | None:
        """Return the TitanPhase whose raw spec has this role."""
        return next((item for item in self.phases if item.raw.get("spec", {}).get("role") == role), None)
