"""An upgraded operator keeps the pod template of a running revision."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from support.stack.live_workloads import Object, brain, env_fields, execution, upgraded, variable, with_defaults
from titan_operator.api.names import RENDERED_BY, REVISION
from titan_operator.compare.diff import first_difference, kept_template


@pytest.mark.parametrize("make", [brain, execution])
def test_an_upgraded_operator_restarts_no_pod(make: Callable[[], Object]) -> None:
    old, newer = make(), upgraded(make())
    kept = kept_template(newer, with_defaults(old))
    assert kept["spec"]["template"] == old["spec"]["template"]
    assert kept["metadata"]["annotations"][RENDERED_BY] == "1.2.3"
    assert kept["spec"]["revisionHistoryLimit"] == 5
    assert kept_template(old, with_defaults(old)) == old
    # Settled: what was kept is applied once, and is then what is there.
    assert first_difference(kept, with_defaults(kept)) is None
    assert kept_template(newer, with_defaults(kept)) == kept


def another_revision(newer: Object, made: Object) -> None:
    newer["spec"]["template"]["metadata"]["annotations"][REVISION] = "0123456789"


def same_version(newer: Object, made: Object) -> None:
    newer["metadata"]["annotations"][RENDERED_BY] = "1.2.3"


def nobody_rendered(newer: Object, made: Object) -> None:
    del made["metadata"]["annotations"][RENDERED_BY]


def changed_by_hand(newer: Object, made: Object) -> None:
    entry = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": env_fields("TITAN_MODE", "value")}
    made["metadata"]["managedFields"].append(entry)
    variable(made, "TITAN_MODE")["value"] = "live"


def not_applied_by_us(newer: Object, made: Object) -> None:
    made["metadata"]["managedFields"] = []


@pytest.mark.parametrize(
    "change", [another_revision, same_version, nobody_rendered, changed_by_hand, not_applied_by_us]
)
def test_the_template_is_rendered_again(change: Callable[[Object, Object], None]) -> None:
    newer, made = upgraded(brain()), with_defaults(brain())
    change(newer, made)
    assert kept_template(newer, made) == newer


def test_claims_of_a_stateful_set_stay_whatever_is_wanted() -> None:
    wanted, made = execution(), with_defaults(execution())
    (template,) = wanted["spec"]["volumeClaimTemplates"]
    template["spec"]["resources"]["requests"]["storage"] = "9Gi"
    wanted["spec"]["template"]["metadata"]["annotations"][REVISION] = "0123456789"
    kept = kept_template(wanted, made)
    assert kept["spec"]["volumeClaimTemplates"] == made["spec"]["volumeClaimTemplates"]
    assert kept["spec"]["template"] == wanted["spec"]["template"]
    assert first_difference(kept, made) is not None
    assert "storage" not in str(first_difference(kept, made))


def test_keeping_changes_neither_argument() -> None:
    newer, made = upgraded(execution()), with_defaults(execution())
    before = copy.deepcopy((newer, made))
    kept_template(newer, made)
    assert (newer, made) == before
