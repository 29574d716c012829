"""The rules of the shipped policies, and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.stack.local_processes import REPOSITORY
from titan.domain.policy import PolicyError, parse_rules

POLICIES = REPOSITORY / "policies"
APPROVAL = {"reference": "minutes 7", "approvedBy": "ana", "expires": "2027-01-31T00:00:00Z"}


def rules_of(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((POLICIES / f"{name}.yaml").read_text())["spec"]["rules"]
    return document


def problems_of(source: bytes | dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        parse_rules(source)
    return caught.value.problems
