"""What Argo CD and Flux make of the operator's conditions: the shipped Lua in a Lua interpreter, and kstatus."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.gitops.argo import HEALTH_LUA, configured_lua, health
from support.gitops.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, kstatus
from support.stack.local_processes import REPOSITORY

CRD = REPOSITORY / "crds" / "titan.trading_titanphases.yaml"
Condition = tuple[str, str]


def resource(*conditions: Condition, generation: int = 2, observed: int | None = 2, **spec: Any) -> dict[str, Any]:
    status: dict[str, Any] = {
        "conditions": [
            {"type": kind, "status": status, "reason": "Said", "message": f"{kind} says {status}"}
            for kind, status in conditions
        ]
    }
    if observed is not None:
        status["observedGeneration"] = observed
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "TitanPhase",
        "metadata": {"name": "brain", "namespace": "desk", "generation": generation},
        "spec": spec,
        "status": status,
    }


def bare() -> dict[str, Any]:
    found = resource(generation=1)
    del found["status"]
    return found


def untouched() -> dict[str, Any]:
    """Make a resource with the default status of the CRDs, like the API server."""
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {**bare(), "status": schema["properties"]["status"]["default"]}


def deleted() -> dict[str, Any]:
    found = resource(("Ready", "True"))
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


TABLE: list[tuple[str, dict[str, Any], str, str]] = [
    ("the operator has not seen it", untouched(), "Progressing", IN_PROGRESS),
    # kstatus takes an object that has no status at all for current: hence the default.
    ("no status at all", bare(), "Progressing", CURRENT),
    ("its very first pass", resource(("Ready", "Unknown"), generation=1, observed=1), "Progressing", IN_PROGRESS),
    ("the spec has changed since", resource(("Ready", "True"), generation=3), "Progressing", IN_PROGRESS),
    ("no observed generation", resource(("Ready", "True"), observed=None), "Progressing", CURRENT),
    ("no condition yet", resource(), "Progressing", CURRENT),
    ("running", resource(("Ready", "True")), "Healthy", CURRENT),
    ("running, a gate spoke", resource(("SpecValid", "True"), ("Ready", "True")), "Healthy", CURRENT),
    ("rolling", resource(("Ready", "False"), ("Reconciling", "True")), "Progressing", IN_PROGRESS),
    ("rolling, still ready", resource(("Ready", "True"), ("Reconciling", "True")), "Progressing", IN_PROGRESS),
    ("rolled", resource(("Ready", "True"), ("Reconciling", "False")), "Healthy", CURRENT),
    ("refused for good", resource(("Ready", "False"), ("Stalled", "True")), "Degraded", FAILED),
    ("stalled and trying", resource(("Stalled", "True"), ("Reconciling", "True")), "Degraded", FAILED),
    ("no longer refused", resource(("Ready", "True"), ("Stalled", "False")), "Healthy", CURRENT),
    ("not ready, nobody works on it", resource(("Ready", "False")), "Degraded", IN_PROGRESS),
    ("suspended", resource(("Ready", "False"), suspend=True), "Suspended", IN_PROGRESS),
    ("suspended, and cannot be", resource(("Stalled", "True"), suspend=True), "Degraded", FAILED),
    ("going", deleted(), "Progressing", TERMINATING),
]


@pytest.mark.parametrize(("description", "obj", "argo", "flux"), TABLE, ids=[row[0] for row in TABLE])
def test_health(description: str, obj: dict[str, Any], argo: str, flux: str) -> None:
    assert (health(obj)[0], kstatus(obj)[0]) == (argo, flux)


@pytest.mark.parametrize(
    ("description", "obj", "message"),
    [
        ("stalled", resource(("Ready", "False"), ("Stalled", "True")), "Stalled says True"),
        ("rolling", resource(("Ready", "True"), ("Reconciling", "True")), "Reconciling says True"),
        ("not ready", resource(("Ready", "False")), "Ready says False"),
        ("unknown", resource(("Ready", "Unknown")), "Ready says Unknown"),
        ("healthy", resource(("Ready", "True")), "Ready says True"),
        ("stale", resource(("Ready", "True"), observed=1), "the operator has not seen this spec yet"),
    ],
)
def test_the_message_is_the_conditions_own(description: str, obj: dict[str, Any], message: str) -> None:
    assert health(obj)[1] == message


def test_argo_cd_runs_the_file_that_ships() -> None:
    assert configured_lua() == HEALTH_LUA.read_text()


def test_the_script_has_no_way_out_of_its_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "support.gitops.argo.configured_lua", lambda: "return {status = 'Healthy', message = os.getenv('HOME')}"
    )
    with pytest.raises(Exception, match="attempt to index a nil value"):
        health(resource(("Ready", "True")))
