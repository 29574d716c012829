"""Model of one stack for the pure core: effects change it, and it returns the state that a pass observes.

It stands for the API server's objects, the controllers' pods and the processes' answers. The real ones are in
tests/cluster.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from titan.domain.enums import Posture
from titan_operator.api.acts import POSTURE_OF
from titan_operator.api.names import FINALIZER, LABEL_INSTANCE, REVISION, labels, tls_secret
from titan_operator.controller.gather import read_resource
from titan_operator.reconcile.decide import decide
from titan_operator.reconcile.effects import (
    Annotate,
    Apply,
    Certificate,
    Decision,
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
from titan_operator.reconcile.observed import Observed, Pod
from titan_operator.reconcile.status import first_status, phase_status, policy_status
from titan_operator.stack.view import BrainView, ExecutionView, PhaseView, StackView
from titan_operator.supplychain.verdict import Verdict

ROOT = Path(__file__).resolve().parents[3]
IMAGE = "registry.test/titan@sha256:" + "a" * 64
NEXT_IMAGE = "registry.test/titan@sha256:" + "b" * 64
NOW = "2026-01-01T00:00:00Z"


def documents(*paths: str) -> list[dict[str, Any]]:
    found = []
    for path in paths:
        found += [item for item in _documents(path) if item]
    return copy.deepcopy(found)


@functools.cache
def _documents(path: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / path).read_text()))


@dataclass
class Model:
    """State of a stack; tests set its fields and call :meth:`settle`."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    ever_listed: set[str] = field(default_factory=set)
    revoked: dict[str, str] = field(default_factory=dict)
    drain_revoked: bool = False
    admission: str = ""
    signatures_required: bool = False
    policy_verdicts: dict[str, Verdict] = field(default_factory=dict)
    latch: Posture = Posture.CLOSE_ONLY
    ceiling: Posture | None = None
    equity: Decimal | None = Decimal(200)
    positions: int = 0
    orders: int = 0
    entries: int = 0
    unresolved: int = 0
    journal_flushed: bool = True
    answers: bool = True
    lies: str = ""
    # Images whose pods never become ready.
    broken: set[str] = field(default_factory=set)
    # Condition in which Jobs end: "Complete", "Failed", or none yet.
    jobs: str = "Complete"
    missing_secrets: dict[str, str] = field(default_factory=dict)
    # Execution's report on its tables: why they cannot be written, and how many rows wait.
    tables: tuple[str, int] = ("", 0)
    waited_s: float = 0.0
    version: str = "1.0.0"
    log: list[Effect] = field(default_factory=list)
    done_acts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=lambda: {"metadata": {"name": "stack", "annotations": {}}})
    raised: list[Posture] = field(default_factory=list)
    waits: dict[tuple[str, str], str] = field(default_factory=dict)
    _counter: int = 0

    # Objects that people write

    def create(self, *resources: Mapping[str, Any]) -> None:
        for resource in resources:
            raw = copy.deepcopy(dict(resource))
            old = self.objects.get((raw["kind"], raw["metadata"]["name"]))
            generation = 1 if old is None else old["metadata"]["generation"] + (old["spec"] != raw["spec"])
            metadata = {**(old or {}).get("metadata", {}), **raw["metadata"]}
            raw["metadata"] = {**metadata, "generation": generation, "uid": metadata.get("uid") or self._uid()}
            raw["metadata"]["resourceVersion"] = self._uid()
            if old and "status" in old:
                raw["status"] = old["status"]
            self.objects[raw["kind"], raw["metadata"]["name"]] = raw

    def edit(self, kind: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        raw = copy.deepcopy(self.objects[kind, name])
        change(raw)
        if raw["spec"] != self.objects[kind, name]["spec"]:
            raw["metadata"]["generation"] += 1
        self.objects[kind, name] = raw

    def delete(self, kind: str, name: str) -> None:
        raw = self.objects[kind, name]
        if raw["metadata"].get("finalizers"):
            raw["metadata"]["deletionTimestamp"] = NOW
        else:
            del self.objects[kind, name]

    def act(self, verb: str, nonce: str, *, by: str = "ana", policy: str = "", **more: str) -> None:
        name = policy or next(key[1] for key in self.objects if key[0] == "RiskPolicy")
        self.edit(
            "RiskPolicy", name, lambda raw: raw["spec"].update(act={"verb": verb, "nonce": nonce, "by": by, **more})
        )

    # State that a pass observes

    def observed(self) -> Observed:
        own = ("RiskPolicy", "TitanPhase")
        return Observed(
            namespace="stack",
            operator_namespace="titan-system",
            version=self.version,
            policies=tuple(read_resource(kind, raw) for (kind, _), raw in self.objects.items() if kind == "RiskPolicy"),
            phases=tuple(read_resource(kind, raw) for (kind, _), raw in self.objects.items() if kind == "TitanPhase"),
            children={key: raw for key, raw in self.objects.items() if key[0] not in own},
            pods=tuple(Pod(raw) for raw in self.pods.values()),
            verdicts=self.verdicts,
            listed=self._listed(),
            revoked=self.revoked,
            drain_revoked=self.drain_revoked,
            stack=self._view(),
            admission=self.admission,
            signatures_required=self.signatures_required,
            policy_verdicts=self.policy_verdicts,
            namespace_raw=self.namespace,
            missing_secrets=self.missing_secrets,
            waited_s=dict.fromkeys(self.waits, self.waited_s),
        )

    def _listed(self) -> frozenset[str]:
        """Return the digests that were verified once and are not revoked."""
        self.ever_listed |= {image.rpartition("@")[2] for image, verdict in self.verdicts.items() if verdict.verified}
        return frozenset(self.ever_listed - self.revoked.keys())

    def _running(self, role: str) -> dict[str, Any] | None:
        for pod in self.pods.values():
            if pod["metadata"]["labels"]["app.kubernetes.io/component"] == role and Pod(pod).ready:
                return pod
        return None

    def _hash(self, role: str) -> str:
        pod = self._running(role)
        if pod is None:
            return ""
        return self.lies or json.loads(pod["metadata"]["annotations"]["test/policy"])

    @property
    def in_force(self) -> Posture:
        return min(self.latch, self.ceiling or self.latch)

    def _view(self) -> StackView:
        if not self.answers:
            return StackView(problems={"brain": "no answer", "execution": "no answer"})
        brain = execution = None
        if self._hash("brain"):
            phases = {"scavenger": PhaseView(True, self._hash("scavenger"))} if self._hash("scavenger") else {}
            brain = BrainView(
                self._hash("brain"), self.ceiling, self.latch, self.in_force, equity=self.equity, phases=phases
            )
        if self._hash("execution"):
            execution = ExecutionView(
                self._hash("execution"),
                self.latch,
                self.in_force,
                self.orders,
                self.entries,
                self.unresolved,
                self.positions,
                True,
                True,
                True,
                True,
                self.journal_flushed,
                *self.tables,
            )
        return StackView(brain, execution)

    # One pass

    def step(self) -> Decision:
        for (kind, _name), raw in list(self.objects.items()):
            if kind in ("RiskPolicy", "TitanPhase"):
                item = read_resource(kind, raw)
                if item.status.get("observedGeneration") != item.generation:
                    raw["status"] = first_status(item, NOW)
        observed = self.observed()
        decision = decide(observed)
        self.waits = dict(decision.waits_for)
        for effect in decision.effects:
            self.execute(effect)
        self._statuses(observed, decision)
        self._controllers()
        return decision

    def settle(self, passes: int = 40) -> Decision:
        """Reconcile until nothing changes any more."""
        for _ in range(passes):
            before = copy.deepcopy((self.objects, self.pods, self.latch, self.ceiling, self.namespace))
            decision = self.step()
            if before == (self.objects, self.pods, self.latch, self.ceiling, self.namespace):
                return decision
        raise AssertionError(f"not settled after {passes} passes: {self.log[-8:]}")

    def execute(self, effect: Effect) -> None:
        self.log.append(effect)
        match effect:
            case Tighten():
                self.latch = min(self.latch, effect.posture)
            case SetCeiling():
                self.ceiling = effect.posture
            case ForwardAct():
                if (wanted := POSTURE_OF.get(effect.act.verb)) is not None:
                    if wanted > self.latch:
                        self.raised.append(wanted)
                    self.latch = wanted
                self.done_acts[effect.policy] = {"nonce": effect.act.nonce, "verb": effect.act.verb, "outcome": "Done"}
            case RecordActResult():
                outcome = "Done" if effect.done else "Refused"
                self.done_acts[effect.policy] = {
                    "nonce": effect.act.nonce,
                    "verb": effect.act.verb,
                    "outcome": outcome,
                    "message": effect.message,
                }
            case Certificate():
                name = tls_secret(effect.phase)
                own = {"name": name, "labels": labels(effect.phase, effect.role), "uid": f"uid-{name}"}
                self.objects["Secret", name] = {"kind": "Secret", "metadata": own}
            case Apply():
                self._apply(effect)
            case RemoveFields():
                raise AssertionError("nobody else writes here")
            case Delete():
                if effect.kind == "Pod":
                    self.pods.pop(effect.name, None)
                else:
                    self.objects.pop((effect.kind, effect.name), None)
                    self.pods = {
                        name: pod for name, pod in self.pods.items() if pod["owner"] != (effect.kind, effect.name)
                    }
            case Annotate():
                target = self.namespace if effect.kind == "Namespace" else self.objects[effect.kind, effect.name]
                annotations = target["metadata"].setdefault("annotations", {})
                annotations[effect.annotation] = effect.value
                if effect.value is None:
                    del annotations[effect.annotation]
            case SetFinalizer():
                self._finalize(effect)
            case RecordEvent():
                pass

    def _apply(self, effect: Apply) -> None:
        old = self.objects.get((effect.kind, effect.name))
        raw = copy.deepcopy(dict(effect.manifest))
        raw["metadata"]["uid"] = old["metadata"]["uid"] if old else self._uid()
        raw["metadata"]["resourceVersion"] = self._uid()
        self.objects[effect.kind, effect.name] = raw

    def _finalize(self, effect: SetFinalizer) -> None:
        metadata = self.objects[effect.kind, effect.name]["metadata"]
        metadata["finalizers"] = [FINALIZER] if effect.present else []
        if not effect.present and "deletionTimestamp" in metadata:
            del self.objects[effect.kind, effect.name]

    def _statuses(self, observed: Observed, decision: Decision) -> None:
        for item in (*observed.policies, *observed.phases):
            key = (item.kind, item.name)
            if key not in self.objects:
                continue
            if item.kind == "TitanPhase":
                status = phase_status(item, decision.phases[item.name], observed, NOW)
            else:
                act = self.done_acts.get(item.name)
                status = policy_status(item, decision.policies[item.name], observed, True, act, NOW)
            self.objects[key]["status"] = status

    def _controllers(self) -> None:
        for (kind, name), raw in list(self.objects.items()):
            if kind == "Job" and self.jobs and "status" not in raw:
                raw["status"] = {"conditions": [{"type": self.jobs, "status": "True"}]}
            if kind not in ("Deployment", "StatefulSet"):
                continue
            template = raw["spec"]["template"]
            mine = {key: pod for key, pod in self.pods.items() if pod["owner"] == (kind, name)}
            wanted = template["metadata"]["annotations"][REVISION]
            if kind == "Deployment":
                for key, pod in mine.items():
                    if pod["metadata"]["annotations"][REVISION] != wanted:
                        del self.pods[key]
                mine = {key: pod for key, pod in self.pods.items() if pod["owner"] == (kind, name)}
            if not mine:
                self._start(kind, name, template)

    def _start(self, kind: str, name: str, template: Mapping[str, Any]) -> None:
        image = template["spec"]["containers"][0]["image"]
        policy = [
            volume["configMap"]["name"]
            for volume in template["spec"]["volumes"]
            if volume.get("configMap", {}).get("name", "").startswith("policy-")
        ] + [
            source["configMap"]["name"]
            for volume in template["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
            if source.get("configMap", {}).get("name", "").startswith("policy-")
        ]
        hashes = [raw["spec"]["hash"] for (kind_, _), raw in self.objects.items() if kind_ == "RiskPolicy"]
        enforced = next((item for item in hashes if policy and item[7:23] in policy[0]), "")
        metadata = copy.deepcopy(dict(template["metadata"]))
        metadata["annotations"]["test/policy"] = json.dumps(enforced)
        metadata |= {"name": f"{name}-0" if kind == "StatefulSet" else f"{name}-{self._uid()}", "uid": self._uid()}
        ready = "False" if image in self.broken else "True"
        status = {"podIP": "127.9.9.9", "conditions": [{"type": "Ready", "status": ready}]}
        self.pods[metadata["name"]] = {"metadata": metadata, "status": status, "owner": (kind, name), "image": image}

    def _uid(self) -> str:
        self._counter += 1
        return f"u{self._counter}"

    # Queries of tests

    def status(self, name: str) -> Mapping[str, Any]:
        kind = "TitanPhase" if ("TitanPhase", name) in self.objects else "RiskPolicy"
        status: Mapping[str, Any] = self.objects[kind, name]["status"]
        return status

    def condition(self, name: str, kind: str = "Ready") -> Mapping[str, Any]:
        return next((item for item in self.status(name)["conditions"] if item["type"] == kind), {})

    def writes(self) -> list[Effect]:
        """Return the effects that write, without certificates, which are only checked."""
        return [effect for effect in self.log if not isinstance(effect, Certificate)]

    def phase_of(self, pod: str) -> str:
        return str(self.pods[pod]["metadata"]["labels"][LABEL_INSTANCE])


def quickstart(policy: str = "demo", image: str = IMAGE) -> list[dict[str, Any]]:
    found = documents(f"policies/{policy}.yaml", "examples/quickstart.yaml")
    pinned = found[0]
    for item in found:
        if item["kind"] == "TitanPhase":
            item["spec"]["image"] = image
            if "policyRef" in item["spec"]:
                item["spec"]["policyRef"] = {"name": pinned["metadata"]["name"], "hash": pinned["spec"]["hash"]}
    return found


def installed(**fields: Any) -> Model:
    """A settled stack of the quick start; each caller gets its own."""
    key = repr(sorted(fields.items()))
    if key not in _INSTALLED:
        _INSTALLED[key] = _install(**fields)
    return copy.deepcopy(_INSTALLED[key])


_INSTALLED: dict[str, Model] = {}


def _install(**fields: Any) -> Model:
    model = Model(verdicts={image: Verdict(True, image.rpartition("@")[2]) for image in (IMAGE, NEXT_IMAGE)})
    model = replace(model, **fields)
    model.create(*quickstart())
    model.settle()
    return model
