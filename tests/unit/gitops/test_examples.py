"""The GitOps examples: every path, value and name in them exists in this repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.stack.local_processes import REPOSITORY
from titan.cli.cluster.session import FIELD_MANAGER
from titan_operator.api.loading import load_resources

GITOPS = REPOSITORY / "examples" / "gitops"
ARGO_CD = GITOPS / "argocd" / "applications.yaml"
FLUX = GITOPS / "flux" / "titan.yaml"
STACK = GITOPS / "stack"


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def of_kind(path: Path, kind: str) -> list[dict[str, Any]]:
    found = [each for each in documents(path) if each["kind"] == kind]
    assert found, f"{path.name} has no {kind}"
    return found


def argo_sources() -> Iterator[tuple[str, dict[str, Any]]]:
    for application in of_kind(ARGO_CD, "Application"):
        spec = application["spec"]
        for source in spec.get("sources") or [spec["source"]]:
            yield application["metadata"]["name"], source


def charts() -> list[tuple[str, Path, Mapping[str, Any]]]:
    """List every chart that an example installs, with its values."""
    found = [
        (f"argocd {name}", source["path"], source["helm"]["valuesObject"])
        for name, source in argo_sources()
        if "helm" in source
    ]
    for release in of_kind(FLUX, "HelmRelease"):
        spec = release["spec"]
        found.append((f"flux {release['metadata']['name']}", spec["chart"]["spec"]["chart"], spec["values"]))
    return [(name, REPOSITORY / path, values) for name, path, values in found]


def resources() -> set[tuple[str, str]]:
    """Read kind and name of every resource in the stack's folder."""
    kustomization = documents(STACK / "kustomization.yaml")[0]
    files = [(STACK / each).resolve() for each in kustomization["resources"]]
    loaded = [each for file in files for each in load_resources(file.read_text(), file.name)]
    return {(each.kind, each.metadata.name) for each in loaded}


def test_all_charts_are_found() -> None:
    assert len(charts()) == 4


@pytest.mark.parametrize(("name", "chart", "values"), charts(), ids=[each[0] for each in charts()])
def test_charts_and_their_values_exist(name: str, chart: Path, values: Mapping[str, Any]) -> None:
    assert (chart / "Chart.yaml").is_file()
    known = yaml.safe_load((chart / "values.yaml").read_text())
    assert list(_unknown(values, known)) == []


def _unknown(values: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if key not in known:
            yield f"{path}{key}"
        elif isinstance(value, Mapping) and isinstance(known[key], Mapping) and known[key]:
            yield from _unknown(value, known[key], f"{path}{key}.")


def test_value_of_no_chart_is_detected() -> None:
    assert list(_unknown({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 0}})) == ["a.c", "d"]


def test_argo_cd_reads_the_stacks_own_files() -> None:
    plain = [source for _, source in argo_sources() if "directory" in source]
    files = {(REPOSITORY / source["path"] / source["directory"]["include"]).resolve() for source in plain}
    kustomization = documents(STACK / "kustomization.yaml")[0]
    assert files == {(STACK / each).resolve() for each in kustomization["resources"]}


def test_acts_are_no_drift_to_argo_cd() -> None:
    (stack,) = [each for each in of_kind(ARGO_CD, "Application") if "sources" in each["spec"]]
    assert stack["spec"]["ignoreDifferences"] == [
        {"group": "titan.trading", "kind": "RiskPolicy", "jsonPointers": ["/spec/act"]}
    ]
    # Without this the difference is hidden, and a sync takes the act away all the same.
    assert "RespectIgnoreDifferences=true" in stack["spec"]["syncPolicy"]["syncOptions"]


def test_flux_waits_for_every_resource_of_the_stack() -> None:
    (kustomization,) = of_kind(FLUX, "Kustomization")
    spec = kustomization["spec"]
    assert (REPOSITORY / spec["path"] / "kustomization.yaml").is_file()
    checked = {(each["kind"], each["name"]) for each in spec["healthChecks"]}
    assert checked == resources()
    assert {each["namespace"] for each in spec["healthChecks"]} == {spec["targetNamespace"]}


def test_nothing_is_pruned_automatically() -> None:
    (kustomization,) = of_kind(FLUX, "Kustomization")
    assert kustomization["spec"]["prune"] is False
    for application in of_kind(ARGO_CD, "Application"):
        assert application["spec"]["syncPolicy"]["automated"].get("prune", False) is False


def test_flux_leaves_acts_alone() -> None:
    # Flux takes over, and removes, fields of managers that begin with these: github.com/fluxcd/pkg, ssa/patch.go.
    taken_over = ("kubectl", "before-first-apply", "kustomize-controller")
    assert not FIELD_MANAGER.startswith(taken_over)


@pytest.mark.parametrize("path", sorted(GITOPS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(GITOPS)))
def test_every_file_is_yaml_of_kinds(path: Path) -> None:
    for document in documents(path):
        assert {"apiVersion", "kind"} <= set(document)
