"""Objects that another hand changed or deleted are restored with an Event; new objects cause none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.stack.model import NEXT_IMAGE, Model, installed, quickstart
from titan_operator.api.names import RENDERED_BY
from titan_operator.compare.diff import first_difference, removals
from titan_operator.reconcile.effects import Apply, RecordEvent

DEMO = "demo-3e1725d5"


def drifted(model: Model, passes: int = 4) -> list[RecordEvent]:
    """Events about drift in the next passes."""
    found: list[RecordEvent] = []
    for _ in range(passes):
        found += [item for item in model.step().effects if isinstance(item, RecordEvent) and item.reason == "Drifted"]
    return found


def test_an_install_a_roll_and_a_new_phase_are_no_drift() -> None:
    model = Model()
    model.create(*quickstart())
    assert drifted(model, 40) == []
    for name in ("marketdata", "papervenue", "execution", "brain", "scavenger"):
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(image=NEXT_IMAGE))
    assert drifted(model, 60) == []
    model.edit("TitanPhase", "scavenger", lambda raw: raw["spec"]["parameters"].update(holdMs=40_000))
    assert drifted(model, 40) == []
    model.edit("TitanPhase", "scavenger", lambda raw: raw["spec"].update(suspend=True))
    assert drifted(model, 40) == []
    model.edit("TitanPhase", "scavenger", lambda raw: raw["spec"].update(suspend=False))
    assert drifted(model, 40) == []


DELETED: list[tuple[str, Callable[[str, str], bool], str]] = [
    ("a Service", lambda kind, name: (kind, name) == ("Service", "brain"), "brain"),
    ("a workload", lambda kind, name: (kind, name) == ("Deployment", "marketdata"), "marketdata"),
    ("the rules", lambda kind, name: kind == "ConfigMap" and name.startswith("policy-"), DEMO),
    ("mounted files", lambda kind, name: kind == "ConfigMap" and name.startswith("scavenger-parameters-"), "scavenger"),
    ("live settings", lambda kind, name: (kind, name) == ("ConfigMap", "brain-live"), "brain"),
]


@pytest.mark.parametrize(("what", "chosen", "told"), DELETED, ids=[row[0] for row in DELETED])
def test_an_object_that_another_hand_deleted_is_made_again_with_one_event(
    what: str, chosen: Callable[[str, str], bool], told: str
) -> None:
    model = installed()
    ((kind, name),) = [key for key in model.objects if chosen(*key)]
    del model.objects[(kind, name)]
    decision = model.step()
    events = [item for item in decision.effects if isinstance(item, RecordEvent)]
    assert [(event.name, event.reason) for event in events] == [(told, "Drifted")]
    assert events[0].note == f"{kind} {name} was deleted by another hand and is made again"
    assert any(isinstance(item, Apply) and (item.kind, item.name) == (kind, name) for item in decision.effects)
    assert (kind, name) in model.objects
    assert drifted(model) == []


def test_what_a_newer_renderer_wants_was_deleted_by_nobody() -> None:
    model = installed()
    del model.objects[("Service", "brain")]
    for raw in model.objects.values():
        if RENDERED_BY in raw["metadata"].get("annotations", {}):
            raw["metadata"]["annotations"][RENDERED_BY] = "0.0.1"
    events = [item for item in model.step().effects if isinstance(item, RecordEvent)]
    assert [item.note for item in events if "deleted" in item.note] == []


SERVED = [{"name": "http", "port": 8081, "targetPort": "http"}]
BOTH = [{"name": "grpc", "port": 3110, "targetPort": "grpc"}, {"name": "http", "port": 3100, "targetPort": "http"}]
PORTS: list[tuple[str, list[dict[str, Any]], int, list[dict[str, Any]]]] = [
    (
        # Without another in its place the list would be empty, which the API server refuses.
        "the only port",
        SERVED,
        0,
        [
            {"op": "test", "path": "/spec/ports/0", "value": {**SERVED[0], "port": 9999}},
            {"op": "replace", "path": "/spec/ports/0", "value": SERVED[0]},
        ],
    ),
    (
        # An apply would add 3110 beside it, of the same name, which the API server refuses.
        "one of two ports",
        BOTH,
        0,
        [
            {"op": "test", "path": "/spec/ports/0", "value": {**BOTH[0], "port": 9999}},
            {"op": "remove", "path": "/spec/ports/0"},
        ],
    ),
    (
        "the other of two ports",
        BOTH,
        1,
        [
            {"op": "test", "path": "/spec/ports/1", "value": {**BOTH[1], "port": 9999}},
            {"op": "remove", "path": "/spec/ports/1"},
        ],
    ),
]


@pytest.mark.parametrize(("what", "ports", "index", "taken_out"), PORTS, ids=[row[0] for row in PORTS])
def test_a_service_s_other_port_is_taken_out_before_the_right_one_is_applied(
    what: str, ports: list[dict[str, Any]], index: int, taken_out: list[dict[str, Any]]
) -> None:
    wanted = {"kind": "Service", "metadata": {"name": "brain"}, "spec": {"ports": ports}}
    changed = [{**port, "port": 9999} if at == index else port for at, port in enumerate(ports)]
    live = {"kind": "Service", "metadata": {"name": "brain"}, "spec": {"ports": changed}}
    assert removals(wanted, live) == taken_out
    difference = first_difference(wanted, live)
    assert difference is not None
    assert difference.path == f"spec.ports[{ports[index]['port']}]"
    assert removals(wanted, wanted) == []
