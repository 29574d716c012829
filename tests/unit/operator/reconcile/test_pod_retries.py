"""Refused workloads are retried only once their images are admitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.stack.model import installed
from titan_operator.reconcile.decide import decide
from titan_operator.reconcile.effects import Annotate
from titan_operator.reconcile.observed import Observed
from titan_operator.reconcile.pod_retries import NUDGED, POD, pod_retries

SINCE = "2026-11-21T10:00:00Z"


def observed(*, status: str = "True", annotations: dict[str, str] | None = None) -> Observed:
    model = installed()
    child = model.objects["Deployment", "brain"]
    refused = {"type": "ReplicaFailure", "status": status, "lastTransitionTime": SINCE}
    child["status"] = {**child.get("status", {}), "conditions": [refused]}
    child["metadata"]["annotations"] = {**(child["metadata"].get("annotations") or {}), **(annotations or {})}
    return model.observed()


def test_a_refused_deployment_whose_image_is_listed_is_retried() -> None:
    assert pod_retries(observed()) == [Annotate("Deployment", "brain", NUDGED, SINCE)]


def test_a_later_refusal_is_retried_again() -> None:
    assert pod_retries(observed(annotations={NUDGED: "2026-11-20T10:00:00Z"})) == [
        Annotate("Deployment", "brain", NUDGED, SINCE)
    ]


@pytest.mark.parametrize(
    ("description", "given"),
    [
        ("nothing of it is refused", observed(status="False")),
        ("it was woken for this already", observed(annotations={NUDGED: SINCE})),
        ("its image is not listed", replace(observed(), listed=frozenset())),
        (
            "admission is not in order",
            replace(observed(), admission="the API server admits an image that nobody listed"),
        ),
    ],
)
def test_nothing_is_retried_while(description: str, given: Observed) -> None:
    assert pod_retries(given) == [], description


def podless(waited_s: float, *, woken: str = "") -> Observed:
    """Execution's StatefulSet has had no pod for so long."""
    model = installed()
    model.pods = {name: pod for name, pod in model.pods.items() if not name.startswith("execution")}
    if woken:
        metadata = model.objects["StatefulSet", "execution"]["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), NUDGED: woken}
    return replace(model.observed(), waited_s={("execution", POD): waited_s})


@pytest.mark.parametrize(
    ("waited_s", "woken", "wanted"),
    [
        (0.0, "", ""),
        (1.9, "", ""),
        (2.0, "", "1"),
        (3.9, "1", ""),
        (4.0, "1", "2"),
        (1000.0, "2", "9"),
        (5.0, "9", "2"),
    ],
)
def test_a_stateful_set_without_a_pod_is_retried_ever_less_often(waited_s: float, woken: str, wanted: str) -> None:
    expected = [Annotate("StatefulSet", "execution", NUDGED, wanted)] if wanted else []
    assert pod_retries(podless(waited_s, woken=woken)) == expected


def test_a_stateful_set_is_not_retried_while_its_image_is_refused() -> None:
    assert pod_retries(replace(podless(8.0), listed=frozenset())) == []


def test_how_long_it_has_no_pod_is_remembered() -> None:
    assert ("execution", POD) in decide(podless(0.0)).waits_for
    assert ("execution", POD) not in decide(installed().observed()).waits_for
