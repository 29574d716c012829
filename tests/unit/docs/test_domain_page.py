"""docs/domain.md gives the numbers of the policies and parameters that are in force."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
import yaml

from support.stack.local_processes import REPOSITORY
from titan.domain.enums import DriftClass
from titan.domain.policy_rules import RULES
from titan.domain.truth import CRITICAL, CRITICAL_COST, PLAIN_COST
from titan.risk.guards.table import GUARDS
from titan.risk.parameters import RiskParameters

TEXT = (REPOSITORY / "docs" / "domain.md").read_text()
POLICIES = ("standard", "micro", "alpha", "demo")


def table(head: str) -> dict[str, list[str]]:
    """Cells by first cell, of the table whose head begins with ``head``."""
    rows = TEXT.partition(f"\n| {head} |")[2].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells, f"no table {head}"
    return {first: rest for first, *rest in cells}


def number(cell: str) -> Decimal:
    """The first number of a cell; a percentage as a fraction."""
    found = re.search(r"([\d.,]+)( %)?", cell)
    assert found, cell
    value = Decimal(found[1].replace(",", ""))
    return value / 100 if found[2] else value


@pytest.mark.parametrize("name", POLICIES)
def test_the_rules_of_each_policy_are_those_of_its_file(name: str) -> None:
    rules = yaml.safe_load((REPOSITORY / "policies" / f"{name}.yaml").read_text())["spec"]["rules"]
    column = POLICIES.index(name)
    written = {rule.removesuffix(" *"): cells[column] for rule, cells in table("Rule").items()}
    rules["modes"] = ", ".join(rules["modes"])
    rules["symbols"] = ", ".join(sorted({symbol.partition("/")[0] for symbol in rules["symbols"]}))
    rules.setdefault("liveApproval", "–")
    plain = {rule: str(value).lower() if isinstance(value, bool) else str(value) for rule, value in rules.items()}
    assert written == plain
    assert list(written) == list(RULES)


def test_the_table_has_every_policy_and_no_other() -> None:
    assert {path.stem for path in (REPOSITORY / "policies").glob("*.yaml")} == set(POLICIES)


def test_phases_have_the_numbers_of_the_parameters() -> None:
    phases = RiskParameters().phases
    rows = table("Phase")
    assert list(rows) == list(phases)
    for name, (rank, starts, most, margin, used, losses) in rows.items():
        phase = phases[name]
        assert (number(rank), number(starts), number(margin), number(used)) == (
            phase.rank,
            phase.starts_at_equity,
            phase.margin_leverage,
            phase.margin_use_max,
        )
        assert (None if most == "none" else number(most)) == phase.allocation_cap
        throttled, closed = losses.split(" / ")
        assert (number(throttled), number(closed)) == (phase.daily_drawdown_reduce, phase.daily_drawdown_halt)


def test_guards_stand_in_their_order() -> None:
    written = [(int(first), rest[0].partition(" ")[0]) for first, rest in table("No.").items()]
    assert written == [(guard.number, guard.name) for guard in GUARDS]


def test_drifts_cost_what_is_taken_off() -> None:
    costs = {kind.name: CRITICAL_COST if kind in CRITICAL else PLAIN_COST for kind in DriftClass}
    assert {name: int(cells[-1]) for name, cells in table("Drift").items()} == costs
