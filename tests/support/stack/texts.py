"""The quick start as text, whole and in part, and the results of planning such texts."""

from __future__ import annotations

import pytest

from support.stack.plans import POLICIES, STACK, read
from titan_operator.planning.gates import GateReason
from titan_operator.planning.plan import Plan, PlanError, plan

DEMO, MICRO = POLICIES["demo"], POLICIES["micro"]
DEMO_HASH = "sha256:3e1725d5f33bfa455113489a81f23f66d7141ebca05cc3ea20fe6060687b2ab5"
MICRO_HASH = "sha256:5ae7959ce8014d68e29467ff269351871137aafa13c1197c2165146422903794"


def without(role: str, text: str = STACK) -> str:
    """Return the documents without that of a role."""
    return "---\n".join(part for part in text.split("---\n") if f"  role: {role}\n" not in part)


def only(role: str, text: str = STACK) -> str:
    """Return the document of a role."""
    return next(part for part in text.split("---\n") if f"  role: {role}\n" in part)


def in_role(role: str, old: str, new: str) -> str:
    """Return the quick start with a replacement in the document of a role."""
    part = only(role)
    assert old in part
    return STACK.replace(part, part.replace(old, new))


def quickstart() -> Plan:
    """Plan the quick start under the demo policy."""
    return plan(read(DEMO, STACK))


def refusal(*texts: str) -> tuple[GateReason, str]:
    """Return the refusal of texts that make no plan."""
    with pytest.raises(PlanError) as caught:
        plan(read(*texts))
    return caught.value.reason, str(caught.value)
