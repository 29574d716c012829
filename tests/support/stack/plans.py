"""Plans of the example stack, under each of the policies that ship."""

from __future__ import annotations

import functools
from pathlib import Path

from titan_operator.api import Resource, load_resources
from titan_operator.api.resources import RiskPolicy
from titan_operator.planning.plan import Plan, plan
from titan_operator.render.kubernetes import KubernetesOptions

ROOT = Path(__file__).resolve().parents[3]
STACK = (ROOT / "examples" / "quickstart.yaml").read_text()
POLICIES = {path.stem: path.read_text() for path in sorted((ROOT / "policies").glob("*.yaml"))}
OPTIONS = KubernetesOptions("trading", "titan-system", "1.2.3")


def read(*texts: str) -> list[Resource]:
    """Read the resources of some documents."""
    return [resource for text in texts for resource in _resources(text)]


@functools.cache
def _resources(text: str) -> tuple[Resource, ...]:
    # Resources are frozen, and the same few texts are read by most tests of plans.
    return tuple(load_resources(text, "stack.yaml"))


def stack_under(policy: str, stack: str = STACK) -> list[Resource]:
    """Return the quickstart stack with its pins on the policy of this file name."""
    before, after = (_policy(text) for text in (POLICIES["demo"], POLICIES[policy]))
    pinned = stack.replace(before.metadata.name, after.metadata.name).replace(before.spec.hash, after.spec.hash)
    return read(POLICIES[policy], pinned)


def planned(policy: str = "demo", stack: str = STACK) -> Plan:
    """Plan the stack of :func:`stack_under`."""
    return plan(stack_under(policy, stack))


def _policy(text: str) -> RiskPolicy:
    (policy,) = read(text)
    assert isinstance(policy, RiskPolicy)
    return policy
