"""The definitions at a real API server: what it refuses, accepts and explains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testcluster.controlplane import ControlPlane

from support.crds.api import CrdApi
from support.crds.checkers import ROWS, ManifestChecker
from support.crds.live_rows import ACCEPTED_UPDATES
from support.crds.manifests import BASES, ROOT, Row, changed
from support.crds.phase_rows import PHASE
from support.crds.policy_rows import POLICY
from support.crds.rows import ACCEPTED, IMAGES
from titan_operator.api.crds import crds

NAMESPACE = "definitions"


@pytest.fixture(scope="module")
def api(cluster: ControlPlane) -> Iterator[CrdApi]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    found = CrdApi(cluster.admin, NAMESPACE)
    yield found
    found.close()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def checker(api: CrdApi) -> ManifestChecker:
    return ManifestChecker(api)


def test_the_tables_are_large_enough() -> None:
    assert len([*POLICY, *PHASE, *IMAGES]) >= 60
    assert len([*ACCEPTED, *ACCEPTED_UPDATES]) >= 20


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_broken_rule_is_refused_by_the_api_server_with_its_message(checker: ManifestChecker, row: Row) -> None:
    said = [f"{cause.field}: {cause.message}" for cause in checker.causes(row)]
    assert any(row.api in line for line in said), said


@pytest.mark.parametrize(("description", "base", "changes"), ACCEPTED)
def test_what_is_allowed_is_accepted(api: CrdApi, description: str, base: str, changes: dict[str, Any]) -> None:
    assert api.create(Row(description, base, changes, "").manifest) == ()


@pytest.mark.parametrize("row", ACCEPTED_UPDATES, ids=str)
def test_what_may_change_may_change(checker: ManifestChecker, row: Row) -> None:
    assert checker.causes(row) == ()


@pytest.mark.parametrize("base", ["policy status", "phase status"])
def test_a_whole_status_is_accepted(api: CrdApi, base: str) -> None:
    row = Row("whole", base, {"metadata.name": f"whole-{BASES[base]['metadata']['name']}"}, "")
    assert api.create(row.manifest, dry_run=False) == ()
    assert api.update_status(row.manifest) == ()


@pytest.mark.parametrize("path", [*sorted((ROOT / "policies").glob("*.yaml")), ROOT / "examples" / "quickstart.yaml"])
def test_the_files_that_are_shipped_are_accepted(api: CrdApi, path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        assert api.create(manifest) == ()


def test_kubectl_get_titan_is_readable(cluster: ControlPlane, namespace: str) -> None:
    api = CrdApi(cluster.admin, namespace)
    for base in ("policy status", "phase status"):
        manifest = changed(BASES[base], {})
        assert api.create(manifest, dry_run=False) == ()
        assert api.update_status(manifest, dry_run=False) == ()
    # kubectl looks for a category only in what it has cached, and asks anew for a kind that it does not know.
    for short in ("rp", "tp"):
        assert cluster.kubectl("get", short, "-n", namespace).stdout
    lines = [line.split() for line in cluster.kubectl("get", "titan", "-n", namespace).stdout.splitlines() if line]
    api.close()
    assert [line[:-1] for line in lines] == [
        ["NAME", "POSTURE", "CEILING", "READY", "REASON", "EQUITY", "POLICY"],
        ["riskpolicy.titan.trading/demo-3e1725d5", "HALTED", "ARMED", "True", "InForce", "200.5", "aaaaaaaa"],
        ["NAME", "ROLE", "MODE", "READY", "REASON", "ALLOCATION", "POLICY"],
        ["titanphase.titan.trading/brain", "brain", "paper", "True", "InForce", "100", "aaaaaaaa"],
    ]


def test_every_field_explains_itself(cluster: ControlPlane) -> None:
    for crd in crds().values():
        plural = crd["spec"]["names"]["plural"]
        properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        parts = [path for part in ("spec", "status") if part in properties for path in _objects(properties[part], part)]
        for path in ["", *(f".{part}" for part in parts)]:
            told = cluster.kubectl("explain", f"{plural}{path}").stdout
            assert "DESCRIPTION:" in told
            assert "<no description>" not in told, told


def test_the_specs_of_a_phase_read_as_documentation(cluster: ControlPlane) -> None:
    told = " ".join(cluster.kubectl("explain", "titanphase.spec.parameters.holdMs").stdout.split())
    assert "holdMs <integer>" in told
    assert "held before it is closed. Allowed is an integer from 1000 to 604800000." in told
    assert "Default: 30000. For role scavenger." in told


def _objects(schema: dict[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, inner in schema.get("properties", {}).items():
        of = inner.get("items", inner)
        if of["type"] == "object":
            yield from _objects(of, f"{path}.{name}")
