from __future__ import annotations

import pytest

from titan_operator.cluster.resource_kinds import CONFIG_MAP, DEPLOYMENT, KINDS, NAMESPACE, TITAN_PHASE, Kind

PATHS = [
    ("core, one object", CONFIG_MAP, ("a", "n", ""), "/api/v1/namespaces/n/configmaps/a"),
    ("core, of one namespace", CONFIG_MAP, ("", "n", ""), "/api/v1/namespaces/n/configmaps"),
    ("core, of all namespaces", CONFIG_MAP, ("", "", ""), "/api/v1/configmaps"),
    ("group", DEPLOYMENT, ("a", "n", ""), "/apis/apps/v1/namespaces/n/deployments/a"),
    (
        "subresource",
        TITAN_PHASE,
        ("a", "n", "status"),
        "/apis/titan.trading/v1alpha1/namespaces/n/titanphases/a/status",
    ),
    ("of the cluster", NAMESPACE, ("n", "", ""), "/api/v1/namespaces/n"),
    (
        "a name cannot leave its place",
        CONFIG_MAP,
        ("../x?a=b", "n", ""),
        "/api/v1/namespaces/n/configmaps/..%2Fx%3Fa%3Db",
    ),
]


@pytest.mark.parametrize(("description", "kind", "given", "path"), PATHS, ids=[row[0] for row in PATHS])
def test_path(description: str, kind: Kind, given: tuple[str, str, str], path: str) -> None:
    assert kind.path(*given) == path, description


def test_one_object_of_a_namespaced_kind_needs_its_namespace() -> None:
    with pytest.raises(ValueError, match="namespace: empty for ConfigMap 'a'"):
        CONFIG_MAP.path("a")


def test_a_kind_of_the_cluster_takes_no_namespace() -> None:
    with pytest.raises(ValueError, match="namespace: 'n' given for Namespace"):
        NAMESPACE.path("n", "n")


def test_the_table_names_each_kind_once() -> None:
    assert all(name == kind.name for name, kind in KINDS.items())
    assert len({(kind.group_version, kind.plural) for kind in KINDS.values()}) == len(KINDS)
