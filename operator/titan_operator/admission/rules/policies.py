"""Pure: whether the admission policies that no dry run of the operator's can ask about are in force in a namespace.

The operator is exempt from most of them, so it reads them instead: what stands between a person and the stack.
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
    """Say why policy ``name`` guards ``namespace`` not at all or not wholly; empty if it does.

    What a policy's expressions say is the chart's: only that they are asked, and that their refusal counts, is judged.
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
    # Any other label can be taken off the namespace.
    return not selector.get("matchLabels") and all(
        rule["key"] == _NAME_LABEL and rule["operator"] == "In" and namespace in rule["values"]
        for rule in selector.get("matchExpressions", ())
    )
