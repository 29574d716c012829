"""The end: everything is uninstalled, and what stays is what the docs promise."""

from __future__ import annotations

from functools import partial

from support.e2e.installed import DATA, STACK, SYSTEM, Titan
from support.e2e.pods import PodLife, Pods
from support.e2e.story import Story

# By kind and name. Volumes with books, keys and namespaces are people's to delete; CRDs are Helm's rule.
PROMISED = {
    "namespaces": {STACK, SYSTEM, DATA},
    "customresourcedefinitions": {
        "riskpolicies.titan.trading",
        "titanphases.titan.trading",
        "verifiedimages.titan.trading",
    },
}
CLUSTER_WIDE = (
    "namespaces",
    "customresourcedefinitions",
    "clusterroles",
    "clusterrolebindings",
    "priorityclasses",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
)
OURS = "pods,deployments,statefulsets,services,jobs,roles,rolebindings,networkpolicies,serviceaccounts"


def test_uninstalled_it_leaves_only_what_it_promises(titan: Titan, stack: PodLife, story: Story) -> None:
    """Uninstalled: drained first, then gone but for what was promised to stay"""
    target, at = titan.target, titan.pods
    stack.hold()
    target.helm("uninstall", "quickstart", "-n", STACK)
    at.wait("the reason", lambda: stack.condition("execution", "Ready").get("reason") == "Draining")
    story.tell(stack.condition("execution", "Ready")["message"])
    assert stack.covered
    story.tell(at.titan("flatten", "--reason", "the end", namespace=STACK).stdout)
    with story.timed("the stack is drained and gone"):
        target.kubectl("delete", "riskpolicies", "--all", "-n", STACK, "--wait=false")
        at.wait("the end of the stack", lambda: not at.list("titan,pods,deployments,statefulsets", STACK))
    for chart, namespace in (("titan-data", DATA), ("titan", SYSTEM), ("titan-admission", SYSTEM)):
        target.helm("uninstall", chart, "-n", namespace, "--wait")
    for kind in CLUSTER_WIDE:
        found = target.kubectl("get", kind, "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
        ours = {name for name in found if "titan" in name and not name.startswith("titan.test")}
        assert ours == PROMISED.get(kind, set()), kind
        story.tell(f"{kind}: {', '.join(sorted(ours)) or 'none'}")
    for namespace in (STACK, SYSTEM, DATA):
        # Helm does not wait for the pods of what it has deleted.
        at.wait(f"the end of what was in {namespace}", partial(_only, at, namespace, "ServiceAccount default"))
        kept = _names(at, namespace, "pvc,secrets,configmaps")
        story.tell(f"kept in {namespace}: {', '.join(kept) or 'nothing'}")


def _names(at: Pods, namespace: str, kinds: str) -> list[str]:
    return [f"{item['kind']} {item['metadata']['name']}" for item in at.list(kinds, namespace)]


def _only(at: Pods, namespace: str, name: str) -> bool:
    return _names(at, namespace, OURS) == [name]
