"""Pure: whether the admission policies that no dry run of the operator can test are in force in a namespace.

The operator is exempt from most of them, so it reads them instead. They protect a stack against people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Policies of chart titan-admission, each bound under its own name.
ADMISSION_POLICIES = (
    "titan-writers",
    "titan-configuration",
    "titan-interactive",
    "titan-protected",
    "titan-loosening",
    "titan-status",
    "titan-verified-images",
)
_NAME_LABEL = "kubernetes.io/metadata.name"


def policy_problem(
    name: str, policy: Mapping[str, Any] | None, binding: Mapping[str, Any] | None, namespace: str
) -> str:
    """Return why policy ``name`` does not protect ``namespace``, or not fully; empty if it does.

    The expressions are the chart's. This checks only that they are evaluated and that their refusal denies.
    """
    if policy is None:
        return f"policy {name} is gone: install chart titan-admission again"
    if policy["spec"].get("failurePolicy", "Fail") != "Fail":
        return f"policy {name} has failurePolicy {policy['spec']['failurePolicy']}; allowed is Fail"
    if binding is None:
        return f"policy {name} is bound to nothing: its binding is gone; install chart titan-admission again"
    spec = binding["spec"]
    if spec.get("policyName") != name:
        return f"binding {name} binds policy {spec.get('policyName')}; allowed is {name}"
    if "Deny" not in spec.get("validationActions", ()):
        actions = ", ".join(spec.get("validationActions", ())) or "none"
        return f"binding {name} has validationActions {actions}; allowed is Deny"
    resources = spec.get("matchResources") or {}
    narrowed = [part for part in ("resourceRules", "excludeResourceRules", "objectSelector") if resources.get(part)]
    if narrowed:
        return f"binding {name} is narrowed by {', '.join(narrowed)}; allowed are namespaces by name only"
    if not _covers(resources.get("namespaceSelector") or {}, namespace):
        return (
            f"binding {name} does not cover namespace {namespace}: list it in stackNamespaces of chart titan-admission"
        )
    return ""


def _covers(selector: Mapping[str, Any], namespace: str) -> bool:
    # Any other label can be removed from the namespace.
    return not selector.get("matchLabels") and all(
        rule["key"] == _NAME_LABEL and rule["operator"] == "In" and namespace in rule["values"]
        for rule in selector.get("matchExpressions", ())
    )
