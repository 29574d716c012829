"""NetworkPolicies against the topology's table, by an evaluator: every edge, allowed and forbidden."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from support.stack.plans import OPTIONS, STACK, planned
from support.stack.rendered import STACK_ROLES
from titan.runtime.topology import ROLES, peers_of
from titan_operator.api import names
from titan_operator.render.kubernetes import render_kubernetes

NAMESPACE, OPERATOR = OPTIONS.namespace, OPTIONS.operator_namespace


@dataclass(frozen=True)
class End:
    """One end of a connection; ``labels`` empty: not a pod of ours."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()


def pod(role: str, namespace: str = NAMESPACE) -> End:
    return End(namespace, tuple(names.labels(role, role).items()))


STRANGER = End(NAMESPACE, (("app", "stranger"),))
OPERATOR_POD = End(OPERATOR, (("app.kubernetes.io/name", "titan-operator"),))
NAME_SERVER = End("kube-system", (("k8s-app", "kube-dns"),))
INTERNET = End("")


def allowed(policies: Iterable[Mapping[str, Any]], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Whether Kubernetes lets ``source`` reach ``target``: allowed out of the one and into the other.

    Source: Kubernetes, "Network Policies", the two sorts of isolation.
    """
    policies = list(policies)
    out = _passes(policies, source, target, "Egress", "egress", "to", (port, protocol))
    return out and _passes(policies, target, source, "Ingress", "ingress", "from", (port, protocol))


def _passes(
    policies: list[Mapping[str, Any]],
    subject: End,
    other: End,
    policy_type: str,
    rules: str,
    peers: str,
    port: tuple[int, str],
) -> bool:
    # Policies are of one namespace and concern its pods only.
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == subject.namespace
        and policy_type in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], subject.labels)
    ]
    return not selecting or any(
        _rule_allows(rule, other, peers, port) for spec in selecting for rule in spec.get(rules, ())
    )


def _rule_allows(rule: Mapping[str, Any], other: End, peers: str, port: tuple[int, str]) -> bool:
    ports = rule.get("ports")
    if ports and port not in [(item["port"], item.get("protocol", "TCP")) for item in ports]:
        return False
    return not rule.get(peers) or any(_is(peer, other) for peer in rule[peers])


def _is(peer: Mapping[str, Any], other: End) -> bool:
    assert set(peer) <= {"podSelector", "namespaceSelector"}, "the evaluator knows nothing else"
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], (("kubernetes.io/metadata.name", other.namespace),)):
            return False
    elif other.namespace != NAMESPACE:
        return False
    return "podSelector" not in peer or _selects(peer["podSelector"], other.labels)


def _selects(selector: Mapping[str, Any], labels: tuple[tuple[str, str], ...]) -> bool:
    assert set(selector) <= {"matchLabels"}, "the evaluator knows nothing else"
    return set(selector.get("matchLabels", {}).items()) <= set(labels)


def policies(**options: Any) -> list[dict[str, Any]]:
    children = render_kubernetes(planned(), replace(OPTIONS, **options))
    return [dict(child.manifest) for child in children if child.kind == "NetworkPolicy"]


@pytest.mark.parametrize(("caller", "server"), list(product(STACK_ROLES, STACK_ROLES)))
def test_an_edge_is_open_exactly_if_the_topology_has_it(caller: str, server: str) -> None:
    if caller == server:
        return
    reaches = allowed(policies(), pod(caller), pod(server), ROLES[server].grpc_port)
    assert reaches == (server in peers_of(caller))
    assert not allowed(policies(), pod(caller), pod(server), ROLES[server].http_port)
    assert not allowed(policies(), pod(caller), pod(server), 22)


def test_some_edges_are_open_and_some_are_not() -> None:
    opened = {
        (caller, server)
        for caller, server in product(STACK_ROLES, STACK_ROLES)
        if allowed(policies(), pod(caller), pod(server), ROLES[server].grpc_port) and caller != server
    }
    assert ("brain", "execution") in opened
    assert ("scavenger", "execution") not in opened
    assert ("scavenger", "papervenue") not in opened
    assert len(opened) == 7


@pytest.mark.parametrize("role", STACK_ROLES)
def test_the_operator_reaches_every_role_and_nobody_else_from_outside_does(role: str) -> None:
    ports = [port for port in (ROLES[role].grpc_port, ROLES[role].http_port) if port]
    for port in ports:
        assert allowed(policies(), OPERATOR_POD, pod(role), port)
        for other in (STRANGER, INTERNET, NAME_SERVER, pod("brain", "another-stack")):
            assert not allowed(policies(), other, pod(role), port)
    assert not allowed(policies(), OPERATOR_POD, pod(role), 22)


@pytest.mark.parametrize("role", STACK_ROLES)
def test_nothing_leaves_but_to_peers_and_name_servers(role: str) -> None:
    has_peers = bool(peers_of(role))
    for protocol in ("UDP", "TCP"):
        assert allowed(policies(), pod(role), NAME_SERVER, 53, protocol) == has_peers
    for target, port in ((INTERNET, 443), (NAME_SERVER, 443), (OPERATOR_POD, 443), (STRANGER, 443)):
        assert not allowed(policies(), pod(role), target, port)
    other_stack = pod("execution", "another-stack")
    assert not allowed(policies(), pod(role), other_stack, ROLES["execution"].grpc_port)


def test_a_pod_that_no_role_describes_is_cut_off() -> None:
    assert not allowed(policies(), STRANGER, INTERNET, 443)
    assert not allowed(policies(), OPERATOR_POD, STRANGER, 80)
    assert not allowed(policies(), STRANGER, pod("papervenue"), ROLES["papervenue"].grpc_port)


def test_metrics_are_read_from_namespaces_that_are_named() -> None:
    scraper = End("monitoring", (("app", "prometheus"),))
    port = ROLES["brain"].http_port
    assert not allowed(policies(), scraper, pod("brain"), port)
    assert allowed(policies(metrics_namespaces=("monitoring",)), scraper, pod("brain"), port)
    grpc = ROLES["brain"].grpc_port
    assert not allowed(policies(metrics_namespaces=("monitoring",)), scraper, pod("brain"), grpc)


@pytest.mark.parametrize(
    ("description", "name", "change"),
    [
        ("no default deny: a stranger is reached", names.DEFAULT_DENY, None),
        ("execution open to all", "execution", {"ingress": [{}]}),
        ("brain cut off", "brain", {"egress": []}),
    ],
)
def test_the_evaluator_sees_each_fault(description: str, name: str, change: dict[str, Any] | None) -> None:
    faulty = copy.deepcopy(policies())
    for policy in list(faulty):
        if policy["metadata"]["name"] == name:
            if change is None:
                faulty.remove(policy)
            else:
                policy["spec"] |= change
    assert _picture(faulty) != _picture(policies())


def _picture(given: list[dict[str, Any]]) -> list[bool]:
    ends = [*(pod(role) for role in STACK_ROLES), STRANGER, OPERATOR_POD, INTERNET]
    ports = sorted({port for role in STACK_ROLES for port in (ROLES[role].grpc_port, ROLES[role].http_port)} - {0})
    return [allowed(given, one, other, port) for one, other, port in product(ends, ends, ports)]


def test_renamed_phases_are_selected_by_their_names() -> None:
    children = render_kubernetes(planned(stack=STACK.replace("name: execution\n", "name: hands\n")), OPTIONS)
    texts = {child.name: json.dumps(child.manifest) for child in children if child.kind == "NetworkPolicy"}
    assert '"app.kubernetes.io/instance": "hands"' in texts["brain"]
    assert "hands" in texts
