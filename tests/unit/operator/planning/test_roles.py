"""The table of roles: no role stands in one table only, and orders follow from its rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from support.stack.rendered import STACK_ROLES
from titan.runtime.topology import PHASES, ROLES, peers_of
from titan.storage.schema import Schema
from titan_operator.api.resources import ROLES as SPEC_ROLES
from titan_operator.api.resources import TradingSpec
from titan_operator.planning.roles import PLANNED_ROLES, RESERVED, ROLL_ORDER, START_ORDER, role_mismatches

CHART = Path(__file__).resolve().parents[4] / "charts" / "titan-stack"
PROCESSES = frozenset(name for name, role in ROLES.items() if role.http_port)


def test_topology_table_and_api_have_the_same_roles() -> None:
    assert PLANNED_ROLES.keys() | RESERVED == PROCESSES
    assert set(SPEC_ROLES) == PLANNED_ROLES.keys() == set(STACK_ROLES)
    assert role_mismatches(PLANNED_ROLES, PROCESSES, SPEC_ROLES) == []


@pytest.mark.parametrize("role", STACK_ROLES)
def test_a_role_that_one_table_lacks_is_named(role: str) -> None:
    rest = PLANNED_ROLES.keys() - {role}
    assert f"role {role}: no row in PLANNED_ROLES; allowed is one of each" in role_mismatches(
        rest, PROCESSES, SPEC_ROLES
    )
    assert role_mismatches(PLANNED_ROLES, PROCESSES - {role}, SPEC_ROLES) == [
        f"role {role}: no row in the topology; allowed is one of each"
    ]
    assert role_mismatches(PLANNED_ROLES, PROCESSES, set(SPEC_ROLES) - {role}) == [
        f"role {role}: no spec model in the API; allowed is one of each"
    ]


def test_a_new_role_is_missed_in_each_table_that_it_is_not_in() -> None:
    assert role_mismatches(PLANNED_ROLES, PROCESSES | {"oracle"}, SPEC_ROLES) == [
        "role oracle: no row in PLANNED_ROLES; allowed is one of each"
    ]
    assert role_mismatches(PLANNED_ROLES, PROCESSES, [*SPEC_ROLES, "oracle"]) == [
        "role oracle: a spec model without a row in PLANNED_ROLES"
    ]
    assert role_mismatches([*PLANNED_ROLES, "hunter"], PROCESSES, [*SPEC_ROLES, "hunter"]) == [
        "role hunter: planned and reserved; allowed is one of both"
    ]


def test_ranks_are_unique_and_an_order_has_every_role() -> None:
    for order in (START_ORDER, ROLL_ORDER):
        assert sorted(order) == sorted(PLANNED_ROLES)
    for rank in ("start_rank", "roll_rank"):
        assert len({getattr(role, rank) for role in PLANNED_ROLES.values()}) == len(PLANNED_ROLES)
    assert START_ORDER == STACK_ROLES
    assert ROLL_ORDER == ("execution", "brain", "scavenger", "marketdata", "papervenue")


@pytest.mark.parametrize("role", STACK_ROLES)
def test_a_role_starts_after_those_that_it_calls(role: str) -> None:
    before = START_ORDER[: START_ORDER.index(role)]
    assert set(peers_of(role)) <= set(before)


def test_strategies_start_in_their_rank() -> None:
    strategies = [name for name in START_ORDER if PLANNED_ROLES[name].strategy]
    assert strategies == [name for name in PHASES if name in PLANNED_ROLES]


def test_roles_with_tables_are_those_with_a_schema() -> None:
    assert {name for name, role in PLANNED_ROLES.items() if role.has_tables} == set(get_args(Schema))


def test_roles_that_bind_a_policy_are_those_that_pin_one() -> None:
    pinning = {get_args(model.model_fields["role"].annotation)[0] for model in get_args(TradingSpec)}
    assert {name for name, role in PLANNED_ROLES.items() if role.binds_policy} == pinning


def test_every_role_but_the_source_subscribes_to_the_market() -> None:
    assert [name for name in START_ORDER if not PLANNED_ROLES[name].subscribes_to_market] == ["marketdata"]


def test_the_chart_of_a_stack_has_the_same_roles() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["$defs"]["phase"]["properties"]["role"]["enum"] == list(START_ORDER)
    (unbound,) = re.findall(r"has \$phase\.role \(list ([^)]*)\)", (CHART / "templates" / "phases.yaml").read_text())
    assert unbound.replace('"', "").split() == [name for name in START_ORDER if not PLANNED_ROLES[name].binds_policy]
