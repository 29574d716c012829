"""Nothing in the definitions is idle: a constraint that is taken away is missed by a row of the table.

On a control plane of their own, for definitions that come and go disturb what others ask of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from testcluster.controlplane import ControlPlane

from support.crds.api import Cause, CrdApi, defined
from support.crds.checkers import ROWS, ManifestChecker
from support.crds.constraints import Constraint, constraints, mutant, without_validations
from support.crds.manifests import BASES, Row
from titan_operator.api.crds import crds

NAMESPACE = "default"
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in crds().values()}
CONSTRAINTS = [(kind, constraint) for kind, crd in CRDS.items() for constraint in constraints(crd)]


@pytest.fixture(scope="module")
def api(module_cluster: ControlPlane) -> Iterator[CrdApi]:
    found = CrdApi(module_cluster.admin, NAMESPACE)
    with defined(found, list(CRDS.values())):
        yield found
    found.close()


class Removal(NamedTuple):
    """A definition without some of its constraints."""

    kind: str
    constraints: list[Constraint]
    crd: dict[str, Any]


def _broken(constraint: Constraint, row: Row, causes: tuple[Cause, ...]) -> bool:
    return any(constraint.broken(cause) and row.api in f"{cause.field}: {cause.message}" for cause in causes)


@pytest.fixture(scope="module")
def witnesses(api: CrdApi) -> dict[tuple[str, Constraint], list[Row]]:
    """By kind and constraint: the rows that the API server refuses for it, in the words that the row expects."""
    checker = ManifestChecker(api)
    said = {id(row): checker.causes(row) for row in ROWS}
    return {
        (kind, constraint): [
            row for row in ROWS if BASES[row.base]["kind"] == kind and _broken(constraint, row, said[id(row)])
        ]
        for kind, constraint in CONSTRAINTS
    }


def test_every_constraint_has_a_row(witnesses: dict[tuple[str, Constraint], list[Row]]) -> None:
    assert [f"{kind}: {constraint}" for (kind, constraint), rows in witnesses.items() if not rows] == []


def test_no_two_constraints_say_the_same_of_one_field() -> None:
    said = [(kind, constraint.field, constraint.says) for kind, constraint in CONSTRAINTS]
    assert sorted(said) == sorted(set(said))


def _judged_without(
    api: CrdApi, witnesses: dict[tuple[str, Constraint], list[Row]], removals: list[Removal]
) -> list[str]:
    """Constraints whose rows are all as they were, though it was taken away."""
    idle = []
    with defined(api, [removal.crd for removal in removals]) as served:
        for removal in removals:
            checker = ManifestChecker(api.of_group(removal.crd["spec"]["group"]))
            if removal.crd["metadata"]["name"] not in served:
                continue  # refused: without its bound a CEL rule is too dear for the API server
            idle += [
                f"{removal.kind}: {constraint}"
                for constraint in removal.constraints
                if all(_broken(constraint, row, checker.causes(row)) for row in witnesses[removal.kind, constraint])
            ]
    return idle


def _of_one_kind_at_once() -> list[Removal]:
    found = []
    for number, (kind, removed) in enumerate(sorted({(kind, item.kind) for kind, item in CONSTRAINTS})):
        chosen = [item for of, item in CONSTRAINTS if of == kind and item.kind == removed]
        # Without a bound a CEL rule is too dear, so they go with the others: no row that is looked at needs them.
        base = CRDS[kind] if removed == "x-kubernetes-validations" else without_validations(CRDS[kind])
        found.append(Removal(kind, chosen, mutant(base, chosen, f"m{number}.titan.trading")))
    return found


def test_every_constraint_is_missed_when_all_of_its_kind_are_gone(
    api: CrdApi, witnesses: dict[tuple[str, Constraint], list[Row]]
) -> None:
    # No two constraints say the same of a field (above), so each is missed by itself.
    removals = _of_one_kind_at_once()
    assert sum(len(removal.constraints) for removal in removals) == len(CONSTRAINTS)
    assert _judged_without(api, witnesses, removals) == []


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_every_constraint_is_missed_when_it_alone_is_gone(
    api: CrdApi, witnesses: dict[tuple[str, Constraint], list[Row]]
) -> None:
    removals = [
        Removal(kind, [constraint], mutant(CRDS[kind], [constraint], f"n{number}.titan.trading"))
        for number, (kind, constraint) in enumerate(CONSTRAINTS)
    ]
    idle = []
    for first in range(0, len(removals), 25):
        idle += _judged_without(api, witnesses, removals[first : first + 25])
    assert idle == []
