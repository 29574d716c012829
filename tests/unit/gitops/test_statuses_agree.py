"""At each step of many stacks of the pure core, Argo CD and Flux agree and ``kubectl titan why`` has a remedy."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from support.gitops.argo import health
from support.gitops.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, kstatus
from support.stack.model import IMAGE, NEXT_IMAGE, Model, installed, quickstart
from titan.cli.cluster.advice import READY_ADVICE, obstacles
from titan.cli.cluster.stack_view import StackView
from titan.domain.enums import Posture
from titan_operator.supplychain.verdict import REVOKED, Verdict

# Allowed pairs of their results for one object: neither may wait where the other is done.
AGREE = {
    ("Healthy", CURRENT),
    ("Suspended", CURRENT),
    ("Suspended", IN_PROGRESS),
    ("Progressing", IN_PROGRESS),
    ("Progressing", TERMINATING),
    ("Degraded", FAILED),
}
# More than any of the stacks below takes to its end.
STEPS = 20
Change = Callable[[Model], None]
ROLES = ("marketdata", "papervenue", "execution", "brain", "scavenger")
DRAINING = dict.fromkeys(ROLES, "Progressing")


def fresh(**fields: Any) -> Model:
    model = Model(verdicts={IMAGE: Verdict(True, IMAGE.rpartition("@")[2])}, **fields)
    model.create(*quickstart())
    return model


def next_image(model: Model) -> None:
    model.create(*quickstart(image=NEXT_IMAGE))


def edit(name: str, **spec: Any) -> Change:
    return lambda model: model.edit("TitanPhase", name, lambda raw: raw["spec"].update(spec))


def refused_image(reason: str) -> Change:
    def change(model: Model) -> None:
        model.verdicts[NEXT_IMAGE] = Verdict(False, reason=reason, message="so it is")
        edit("brain", image=NEXT_IMAGE)(model)

    return change


def revoked(model: Model) -> None:
    digest = IMAGE.rpartition("@")[2]
    model.verdicts[IMAGE] = Verdict(False, digest, REVOKED, f"{digest} is revoked")
    model.revoked[digest] = f"{digest} is revoked"


def nothing(_: Model) -> None:
    pass


def fields(**changed: Any) -> Change:
    def change(model: Model) -> None:
        for name, value in changed.items():
            setattr(model, name, value)

    return change


# (what happens, the stack before, what changes, Argo CD's word at the end by phase, where it is not Healthy)
ROWS: list[tuple[str, Callable[[], Model], Change, dict[str, str]]] = [
    ("an installation", fresh, nothing, {}),
    ("pods that never come up", lambda: fresh(broken={IMAGE}, waited_s=200.0), nothing, {"execution": "Degraded"}),
    ("pods that are slow", lambda: fresh(broken={IMAGE}), nothing, {"execution": "Progressing"}),
    ("an image that nobody signed", fresh, refused_image("NoSignature"), {"brain": "Degraded"}),
    ("an image whose registry is away", fresh, refused_image("RegistryUnreachable"), {"brain": "Progressing"}),
    ("an image that is revoked", installed, revoked, dict.fromkeys(ROLES, "Degraded")),
    ("an image that is revoked, and drained", lambda: installed(drain_revoked=True, positions=1), revoked, DRAINING),
    ("an upgrade", installed, next_image, {}),
    (
        "an upgrade that fails",
        lambda: installed(broken={NEXT_IMAGE}, waited_s=200.0),
        next_image,
        {"execution": "Degraded"},
    ),
    ("an upgrade that waits for orders", lambda: installed(entries=2), next_image, {"execution": "Progressing"}),
    (
        "a pin of other bytes",
        installed,
        edit("brain", policyRef={"name": "demo-3e1725d5", "hash": "sha256:" + "e" * 64}),
        {"brain": "Degraded"},
    ),
    ("a phase that is suspended", installed, edit("scavenger", suspend=True), {"scavenger": "Suspended"}),
    ("a phase without its capital", lambda: installed(equity=Decimal(20)), nothing, {}),
    ("admission is not enforced", fresh, fields(admission="the probe was admitted"), {"brain": "Progressing"}),
    ("a process that lies about its policy", installed, fields(lies="sha256:" + "0" * 64), {"brain": "Degraded"}),
    ("processes that do not answer", installed, fields(answers=False), {"brain": "Progressing"}),
    ("a halt", installed, fields(latch=Posture.HALTED), {}),
    (
        "a deletion with a position",
        lambda: installed(positions=1),
        lambda model: model.delete("TitanPhase", "execution"),
        {"execution": "Progressing"},
    ),
    (
        "a deletion of all with nothing open",
        installed,
        lambda model: [model.delete("TitanPhase", each["metadata"]["name"]) for each in resources(model)[1:]] and None,
        {},
    ),
]


def resources(model: Model) -> list[dict[str, Any]]:
    return [raw for (kind, _), raw in model.objects.items() if kind in ("RiskPolicy", "TitanPhase")]


def stack_view(model: Model) -> StackView:
    policies, phases = (
        [raw for raw in resources(model) if raw["kind"] == kind] for kind in ("RiskPolicy", "TitanPhase")
    )
    return StackView.of("stack", policies, phases)


@functools.cache
def walk(description: str) -> tuple[Model, list[list[dict[str, Any]]]]:
    """Return the row's stack at its end, and its resources after each step; to be read only."""
    ((_, before, change, _),) = (row for row in ROWS if row[0] == description)
    model = before()
    change(model)
    steps = []
    for _ in range(STEPS):
        model.step()
        steps.append(copy.deepcopy(resources(model)))
    return model, steps


@pytest.mark.parametrize(("description", "ends"), [(row[0], row[3]) for row in ROWS], ids=[row[0] for row in ROWS])
def test_argo_cd_and_flux_agree_at_each_step(description: str, ends: dict[str, str]) -> None:
    model, steps = walk(description)
    for step in steps:
        for raw in step:
            said = (health(raw)[0], kstatus(raw)[0])
            assert said in AGREE, f"{raw['metadata']['name']}: {said}: {raw['status']['conditions']}"
    found = {raw["metadata"]["name"]: health(raw)[0] for raw in resources(model) if raw["kind"] == "TitanPhase"}
    assert {name: found[name] for name in ends} == ends
    if not ends:
        assert set(found.values()) <= {"Healthy"}


@pytest.mark.parametrize("description", [row[0] for row in ROWS])
def test_every_unhealthy_phase_has_its_reason_and_advice(description: str) -> None:
    model, _ = walk(description)
    view = stack_view(model)
    listed = {one.where.removeprefix("TitanPhase ") for one in obstacles(view, None)}
    unwell = {item.name for item in view.phases if health(item.raw)[0] != "Healthy"}
    assert unwell <= listed
    for one in obstacles(view, None):
        assert one.sentence
        assert one.remedy
        # A gate or check names each necessary change. Only pods that do not start need `kubectl describe`.
        if "kubectl describe" in one.remedy:
            assert one.sentence.startswith(("Ready is False (Starting)", "Ready is False (Rolling)")), one


def test_each_reason_with_its_own_advice_occurs() -> None:
    steps = (step for row in ROWS for step in walk(row[0])[1])
    seen = {one["reason"] for step in steps for raw in step for one in raw["status"]["conditions"]}
    assert set(READY_ADVICE) <= seen
