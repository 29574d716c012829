"""Secrets of private registries: in every pod of the phase that names them, and nowhere else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from support.cluster.managed_fields import fields_of, live
from support.stack.plans import STACK, planned
from support.stack.rendered import STACK_ROLES, pod, rendered, workload
from titan_operator.compare.diff import first_difference, removals
from titan_operator.controller.gather import missing_secrets, read_resource
from titan_operator.planning.plan import Plan
from titan_operator.render.local import LocalOptions, render_local
from titan_operator.render.revision import revision

TWO = "  imagePullSecrets: [{name: registry}, {name: mirror}]\n"
NAMED = [{"name": "registry"}, {"name": "mirror"}]
DATABASE = "  databaseSecretRef: {name: db}\n"


def stack(role: str, *lines: str) -> str:
    found = STACK.replace(f"  role: {role}\n", "".join((f"  role: {role}\n", *lines)))
    assert found.count(lines[0]) == 1 if lines else found == STACK
    return found


@pytest.mark.parametrize("role", STACK_ROLES)
def test_the_pods_of_the_phase_that_names_them_have_them_in_its_order(role: str) -> None:
    plan = planned(stack=stack(role, TWO))
    assert pod(role, plan)["imagePullSecrets"] == NAMED
    for other in set(STACK_ROLES) - {role}:
        assert "imagePullSecrets" not in pod(other, plan)


def jobs(plan: Plan) -> list[dict[str, Any]]:
    return [dict(child.manifest) for child in rendered(plan).values() if child.kind == "Job"]


def test_the_job_that_upgrades_tables_has_them_and_another_list_is_another_job() -> None:
    (without,) = jobs(planned(stack=stack("brain", DATABASE)))
    (job,) = jobs(planned(stack=stack("brain", DATABASE, TWO)))
    assert job["spec"]["template"]["spec"]["imagePullSecrets"] == NAMED
    assert "imagePullSecrets" not in without["spec"]["template"]["spec"]
    assert job["metadata"]["name"] != without["metadata"]["name"]


@pytest.mark.parametrize("lines", [(), ("  imagePullSecrets: []\n",)])
def test_without_pull_secrets_nothing_changes(lines: tuple[str, ...]) -> None:
    plan, other = planned(stack=stack("brain", *lines)), planned(stack=stack("brain", TWO))
    assert "imagePullSecrets" not in pod("brain", plan)
    # As it was named when there was no such field: an upgrade of the operator restarts nothing.
    assert {item.role: revision(item, plan) for item in plan.workloads} == {
        "marketdata": "1ad5e714f4",
        "papervenue": "2d84b7473b",
        "execution": "f024f0c69b",
        "brain": "8eaf989e6d",
        "scavenger": "09f4d84c5d",
    }
    assert revision(other.workload("brain"), other) != "8eaf989e6d"
    assert plan.policy_hash == other.policy_hash


def test_a_laptop_pulls_nothing() -> None:
    options = LocalOptions("/state", "/opt/bin", "/home/ana")
    assert render_local(planned(stack=stack("brain", TWO)), options) == render_local(planned(), options)


def test_what_is_there_is_no_difference_and_what_another_hand_added_is_taken_out() -> None:
    for lines in ((TWO,), ()):
        wanted = dict(workload("brain", planned(stack=stack("brain", *lines))).manifest)
        assert first_difference(wanted, live(wanted)) is None
        theirs = copy.deepcopy(wanted)
        more = [*theirs["spec"]["template"]["spec"].get("imagePullSecrets", []), {"name": "theirs"}]
        theirs["spec"]["template"]["spec"]["imagePullSecrets"] = more
        added = {"f:spec": {"f:template": {"f:spec": fields_of({"imagePullSecrets": [{"name": "theirs"}]})}}}
        there = {**live(wanted, others={"kubectl-edit": added}), "spec": theirs["spec"]}
        found = first_difference(wanted, there)
        assert found is not None
        assert (found.path.split("[")[0], found.by) == ("spec.template.spec.imagePullSecrets", "kubectl-edit")
        taken = [operation for operation in removals(wanted, there) if operation["op"] == "remove"]
        path = f"/spec/template/spec/imagePullSecrets/{len(more) - 1}"
        assert [operation["path"] for operation in taken] == [path]


def test_a_missing_pull_secret_is_a_difference() -> None:
    wanted = workload("brain", planned(stack=stack("brain", TWO))).manifest
    without = copy.deepcopy(live(wanted))
    del without["spec"]["template"]["spec"]["imagePullSecrets"][0]
    assert "imagePullSecrets[registry]" in str(first_difference(wanted, without))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "spec.imagePullSecrets: Secret registry is not there"),
        ({"registry": frozenset({"password"})}, "spec.imagePullSecrets: Secret registry lacks .dockerconfigjson"),
        ({"registry": frozenset({".dockerconfigjson"})}, ""),
    ],
)
def test_a_missing_pull_secret_is_named_before_a_pod_waits_for_it(keys: dict[str, frozenset[str]], said: str) -> None:
    raw = {"metadata": {"name": "brain"}, "spec": {"role": "brain", "imagePullSecrets": [{"name": "registry"}]}}
    phases = [read_resource("TitanPhase", raw)]
    assert missing_secrets(phases, keys) == ({"brain": said} if said else {})
