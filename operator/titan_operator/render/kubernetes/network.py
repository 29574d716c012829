"""Render NetworkPolicies: no traffic in or out but the edges of the topology's table."""

from __future__ import annotations

from typing import Any

from titan.runtime.topology import peers_of
from titan_operator.api import names
from titan_operator.planning.plan import Plan, Workload
from titan_operator.render.kubernetes.objects import STAGE_GUARDS, Child, KubernetesOptions, Manifest, child

POSTGRESQL_PORT = 5432
_BOTH = ("Ingress", "Egress")


def default_deny(options: KubernetesOptions) -> Child:
    """Deny all traffic of every pod in the namespace; each role's own policy allows its edges."""
    manifest = _policy(names.DEFAULT_DENY, {"podSelector": {}, "policyTypes": list(_BOTH)})
    return child(manifest, options, None, STAGE_GUARDS)


def role_policy(workload: Workload, plan: Plan, options: KubernetesOptions) -> Child:
    """Allow the callers of a role, its peers, and readers of its HTTP pages."""
    spec: Manifest = {
        "podSelector": {"matchLabels": names.selector(workload.name)},
        "policyTypes": list(_BOTH),
        "ingress": _ingress(workload, plan, options),
    }
    egress = _egress(workload, plan, options)
    if egress:
        spec["egress"] = egress
    return child(_policy(workload.name, spec), options, workload, STAGE_GUARDS)


def migration_policy(workload: Workload, options: KubernetesOptions) -> Child:
    """Allow the pods that upgrade tables to reach the database; nothing reaches them."""
    spec: Manifest = {
        "podSelector": {"matchLabels": names.migration_selector(workload.name)},
        "policyTypes": list(_BOTH),
        "egress": [_database(options), _name_servers(options)],
    }
    return child(_policy(f"{workload.name}-migration", spec), options, workload, STAGE_GUARDS)


def _ingress(workload: Workload, plan: Plan, options: KubernetesOptions) -> list[Any]:
    operator = _namespace(options.operator_namespace)
    callers = [_pods(item) for item in plan.workloads if workload.role in item.peers]
    if workload.role in peers_of("operator"):
        callers.append(operator)
    readers = [operator, *(_namespace(namespace) for namespace in options.metrics_namespaces)]
    rules = [{"from": readers, "ports": [_tcp(workload.http_port)]}]
    if workload.grpc_port and callers:
        rules.insert(0, {"from": callers, "ports": [_tcp(workload.grpc_port)]})
    return rules


def _egress(workload: Workload, plan: Plan, options: KubernetesOptions) -> list[Any]:
    peers = [plan.workload(role) for role in workload.peers]
    if not peers and not workload.database:
        return []
    rules = [{"to": [_pods(peer)], "ports": [_tcp(peer.grpc_port)]} for peer in peers]
    if workload.database:
        rules.append(_database(options))
    return [*rules, _name_servers(options)]


def _database(options: KubernetesOptions) -> Manifest:
    return {"to": [_namespace(options.data_namespace)], "ports": [_tcp(POSTGRESQL_PORT)]}


def _name_servers(options: KubernetesOptions) -> Manifest:
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return {"to": [_namespace(options.dns_namespace)], "ports": ports}


def _policy(name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def _pods(workload: Workload) -> Manifest:
    return {"podSelector": {"matchLabels": names.selector(workload.name)}}


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}
