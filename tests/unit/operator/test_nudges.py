"""Refused Deployments are woken once, and only when what they ask for is admitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.stack_model import installed
from titan_operator.effects import Annotate
from titan_operator.nudges import NUDGED, nudges
from titan_operator.world import World

SINCE = "2026-11-21T10:00:00Z"


def world(*, status: str = "True", annotations: dict[str, str] | None = None) -> World:
    model = installed()
    child = model.objects["Deployment", "brain"]
    refused = {"type": "ReplicaFailure", "status": status, "lastTransitionTime": SINCE}
    child["status"] = {**child.get("status", {}), "conditions": [refused]}
    child["metadata"]["annotations"] = {**(child["metadata"].get("annotations") or {}), **(annotations or {})}
    return model.world()


def test_a_refused_deployment_whose_image_is_listed_is_woken() -> None:
    assert nudges(world()) == [Annotate("Deployment", "brain", NUDGED, SINCE)]


def test_refused_again_later_it_is_woken_again() -> None:
    assert nudges(world(annotations={NUDGED: "2026-11-20T10:00:00Z"})) == [
        Annotate("Deployment", "brain", NUDGED, SINCE)
    ]


@pytest.mark.parametrize(
    ("description", "given"),
    [
        ("nothing of it is refused", world(status="False")),
        ("it was woken for this already", world(annotations={NUDGED: SINCE})),
        ("its image is not listed", replace(world(), listed=frozenset())),
        ("admission is not in order", replace(world(), admission="the API server admits an image that nobody listed")),
    ],
)
def test_nothing_is_woken_while(description: str, given: World) -> None:
    assert nudges(given) == [], description
