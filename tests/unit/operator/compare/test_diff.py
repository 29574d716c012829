"""Differences, the hand that made them, and the fields to remove."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from support.cluster.managed_fields import live
from support.stack.live_workloads import (
    Object,
    brain,
    child,
    container,
    env_fields,
    execution,
    pod,
    upgraded,
    variable,
    with_defaults,
)
from titan_operator.api.names import PROTECTED, REVISION
from titan_operator.compare.diff import first_difference, removals
from titan_operator.compare.field_owners import managers, others_of, owned, projected
from titan_operator.compare.quantities import read_quantity

Change = Callable[[Object], object]


CHANGES: list[tuple[str, Change, str]] = [
    (
        "an image",
        lambda made: container(made).update(image="evil@sha256:1"),
        "spec.template.spec.containers[brain].image: wanted ",
    ),
    (
        "a setting",
        lambda made: variable(made, "TITAN_MODE").update(value="live"),
        'spec.template.spec.containers[brain].env[TITAN_MODE].value: wanted "paper", found "live"',
    ),
    (
        "a setting taken away",
        lambda made: container(made)["env"].remove(variable(made, "TITAN_MODE")),
        'spec.template.spec.containers[brain].env[TITAN_MODE]: wanted {"name": "TITAN_MODE", "value": "paper"}, found',
    ),
    (
        "a setting added",
        lambda made: container(made)["env"].append({"name": "LD_PRELOAD", "value": "/tmp/x.so"}),
        'spec.template.spec.containers[brain].env[LD_PRELOAD]: wanted absent, found {"name": "LD_PRELOAD", ',
    ),
    (
        "a second container",
        lambda made: pod(made)["containers"].append({"name": "spy", "image": "x"}),
        "spec.template.spec.containers[spy]: wanted absent",
    ),
    ("replicas", lambda made: made["spec"].update(replicas=2), "spec.replicas: wanted 1, found 2"),
    (
        "another command",
        lambda made: container(made).update(command=["sh"]),
        'spec.template.spec.containers[brain].command[0]: wanted "titan-brain", found "sh"',
    ),
    (
        "an argument more",
        lambda made: container(made)["command"].append("-x"),
        'spec.template.spec.containers[brain].command: wanted ["titan-brain"], found ["titan-brain", "-x"]',
    ),
    (
        "a label",
        lambda made: made["metadata"]["labels"].pop("app.kubernetes.io/instance"),
        'metadata.labels[app.kubernetes.io/instance]: wanted "brain", found absent',
    ),
    (
        "a truth value is no number",
        lambda made: pod(made).update(automountServiceAccountToken=0),
        "spec.template.spec.automountServiceAccountToken: wanted false, found 0",
    ),
    (
        "memory",
        lambda made: container(made)["resources"]["limits"].update(memory="385Mi"),
        'spec.template.spec.containers[brain].resources.limits.memory: wanted "384Mi", found "385Mi"',
    ),
    (
        "a setting that looks like an amount",
        lambda made: variable(made, "TITAN_HTTP_PORT").update(value="3.1k"),
        'spec.template.spec.containers[brain].env[TITAN_HTTP_PORT].value: wanted "3100", found "3.1k"',
    ),
    (
        "no security context",
        lambda made: container(made).pop("securityContext"),
        "spec.template.spec.containers[brain].securityContext: wanted {",
    ),
    (
        "a list where an object was",
        lambda made: container(made).update(securityContext=[]),
        "spec.template.spec.containers[brain].securityContext: wanted {",
    ),
    ("an object where a list was", lambda made: container(made).update(env={"a": 1}), "spec.template.spec.containers"),
]


@pytest.mark.parametrize(("description", "change", "said"), CHANGES)
def test_each_change_is_named_with_both_values(description: str, change: Change, said: str) -> None:
    made = with_defaults(brain())
    change(made)
    found = first_difference(brain(), made)
    assert found is not None
    assert str(found).startswith(said)
    assert len(str(found)) < 300


def reordered(made: Object) -> None:
    container(made)["env"].reverse()
    pod(made)["volumes"].reverse()
    container(made)["volumeMounts"].reverse()


def spelled_otherwise(made: Object) -> None:
    container(made)["resources"] = {
        "requests": {"cpu": "0.2", "memory": "402653184"},
        "limits": {"memory": "0.375Gi", "cpu": None},
    }


SAME: list[tuple[str, Change]] = [
    ("as applied", lambda made: None),
    ("in another order", reordered),
    ("amounts spelled otherwise", spelled_otherwise),
    ("labels and annotations of others", lambda made: made["metadata"]["annotations"].update({"argocd/x": "1"})),
    ("an empty object more", lambda made: made["spec"].update({"paused": None, "extra": {}})),
]


@pytest.mark.parametrize(("description", "change"), SAME)
def test_equal_values_are_no_difference(description: str, change: Change) -> None:
    made = with_defaults(brain())
    change(made)
    assert first_difference(brain(), made) is None
    assert removals(brain(), made) == []


def test_absent_null_and_empty_are_the_same() -> None:
    for one in ({"a": None}, {"a": {}}, {"a": []}, {"a": ""}, {"a": {"b": None}}, {"a": {"b": {}}}):
        for other in ({}, {"a": None}, {"a": {}}, {"a": []}):
            assert first_difference({"x": 1, **one}, {"x": 1, **other}) is None


def test_what_is_wanted_empty_must_be() -> None:
    deny = child("NetworkPolicy", "titan.default-deny")
    made = live(deny)
    made["spec"]["podSelector"] = {"matchLabels": {"a": "b"}}
    found = first_difference(deny, made)
    assert str(found) == 'spec.podSelector: wanted absent, found {"matchLabels": {"a": "b"}}'


def test_an_opened_network_policy_is_seen() -> None:
    policy = child("NetworkPolicy", "execution")
    made = live(policy)
    made["spec"]["ingress"].append({})
    assert str(first_difference(policy, made)).startswith("spec.ingress: wanted [")


def test_values_of_a_secret_are_not_shown() -> None:
    wanted = {"kind": "Secret", "metadata": {"labels": {"a": "b"}}, "data": {"key.pem": "c2VjcmV0"}}
    found = first_difference(wanted, {**wanted, "data": {"key.pem": "b3RoZXI="}})
    assert str(found) == "data[key.pem]: wanted another value, found a value that is not shown"
    label = first_difference(wanted, {**wanted, "metadata": {"labels": {"a": "c"}}})
    assert str(label) == 'metadata.labels.a: wanted "b", found "c"'


def test_a_difference_names_its_manager() -> None:
    made = live(brain(), others={"kubectl-edit": env_fields("TITAN_MODE", "value"), "argocd": {"f:data": {}}})
    variable(made, "TITAN_MODE")["value"] = "live"
    found = first_difference(brain(), made)
    assert found is not None
    assert found.by == "kubectl-edit"
    assert str(found).endswith('wanted "paper", found "live", set by kubectl-edit')


def without_fields(made: Object, *keys: str) -> None:
    """As the API server does: a field that somebody takes or takes away is no longer ours."""
    fields = made["metadata"]["managedFields"][0]["fieldsV1"]
    for key in keys[:-1]:
        fields = fields[key]
    del fields[keys[-1]]


def test_a_hand_that_the_object_does_not_name_is_one_all_the_same() -> None:
    made = live(brain())
    made["spec"]["replicas"] = 0
    # Ours still: we want something else than we did.
    assert str(first_difference(brain(), made)) == "spec.replicas: wanted 1, found 0"
    without_fields(made, "f:spec", "f:replicas")
    assert str(first_difference(brain(), made)).endswith("found 0, set by a hand that left no name")
    newer, other = upgraded(brain()), brain()
    other["spec"]["template"]["metadata"]["annotations"][REVISION] = "0123456789"
    for wanted in (newer, other):
        found = first_difference(wanted, made)
        assert found is not None
        assert found.by == ""
    made["metadata"]["managedFields"] = []
    assert str(first_difference(brain(), made)) == "spec.replicas: wanted 1, found 0"


def test_without_knowing_who_rendered_it_nobody_is_blamed() -> None:
    wanted = {"metadata": {"name": "x"}, "data": {"a": "1"}}
    made = live(wanted)
    made["data"]["a"] = "2"
    without_fields(made, "f:data", "f:a")
    assert str(first_difference(wanted, made)) == 'data.a: wanted "1", found "2"'


def test_what_we_patched_ourselves_is_no_difference() -> None:
    made = live(brain(), others={"titan-operator": {"f:metadata": {"f:annotations": {"f:note": {}}}}})
    made["metadata"]["annotations"]["note"] = "x"
    assert first_difference(brain(), made) is None


def test_a_setting_taken_away_was_taken_by_a_hand_and_not_by_who_wrote_its_neighbor() -> None:
    made = live(brain(), others={"argocd": env_fields("TITAN_ROLE", "value")})
    container(made)["env"].remove(variable(made, "TITAN_MODE"))
    assert str(first_difference(brain(), made)).endswith("found absent, set by a hand that left no name")


def test_status_writers_and_ourselves_are_no_other_hand() -> None:
    made = live(brain(), others={"titan-operator": env_fields("TITAN_MODE", "value")})
    scale = {"manager": "autoscaler", "operation": "Update", "subresource": "scale"}
    made["metadata"]["managedFields"].append({**scale, "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    status = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}
    made["metadata"]["managedFields"].append({**status, "fieldsV1": env_fields("TITAN_MODE", "value")})
    assert [manager.name for manager in managers(made)] == ["titan-operator", "titan-operator", "autoscaler"]
    assert others_of(made, ("spec", "template")) == ()
    assert others_of(made, ("spec",)) == ("autoscaler",)


ADDED: list[tuple[str, Change, Object, str, str]] = [
    (
        "a node",
        lambda made: pod(made).update(nodeSelector={"disk": "ssd"}),
        {"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {"f:disk": {}}}}}},
        "/spec/template/spec/nodeSelector/disk",
        'spec.template.spec.nodeSelector.disk: wanted absent, found "ssd", set by ana',
    ),
    (
        "a variable",
        lambda made: container(made)["env"].append({"name": "X", "value": "1"}),
        env_fields("X", "name", "value"),
        "/spec/template/spec/containers/0/env/{last}",
        "spec.template.spec.containers[brain].env[X]: wanted absent",
    ),
    (
        "the node's network",
        lambda made: pod(made).update(hostNetwork=True),
        {"f:spec": {"f:template": {"f:spec": {"f:hostNetwork": {}}}}},
        "/spec/template/spec/hostNetwork",
        "spec.template.spec.hostNetwork: wanted absent, found true, set by ana",
    ),
    (
        "an annotation of the template: pods restart",
        lambda made: made["spec"]["template"]["metadata"]["annotations"].update({"a.b/at~x": "now"}),
        {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:a.b/at~x": {}}}}}},
        "/spec/template/metadata/annotations/a.b~1at~0x",
        'spec.template.metadata.annotations[a.b/at~x]: wanted absent, found "now", set by ana',
    ),
]


@pytest.mark.parametrize(("description", "change", "fields", "pointer", "said"), ADDED)
def test_what_another_hand_added_is_a_difference_and_taken_out(
    description: str, change: Change, fields: Object, pointer: str, said: str
) -> None:
    made = live(brain(), others={"ana": fields})
    change(made)
    assert str(first_difference(brain(), made)).startswith(said)
    patch = removals(brain(), made)
    path = pointer.format(last=len(container(made)["env"]) - 1)
    assert [(operation["op"], operation["path"]) for operation in patch] == [("test", path), ("remove", path)]
    assert first_difference(brain(), patched(made, patch)) is None


def patched(made: Object, patch: list[Object]) -> Object:
    """A JSON patch of tests and removals, applied in order."""
    made = copy.deepcopy(made)
    for operation in patch:
        *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        node: Any = made
        for step in steps:
            node = node[int(step)] if isinstance(node, list) else node[step]
        key = int(last) if isinstance(node, list) else last
        if operation["op"] == "test":
            assert node[key] == operation["value"]
        else:
            del node[key]
    return made


def test_several_additions_are_taken_out_from_the_end_on() -> None:
    made = live(brain())
    container(made)["env"].insert(0, {"name": "A", "value": "1"})
    container(made)["env"].insert(5, {"name": "B", "value": "1"})
    pod(made)["containers"].insert(0, {"name": "spy", "image": "x"})
    assert first_difference(brain(), patched(made, removals(brain(), made))) is None


def test_defaults_that_another_hand_owns_stay() -> None:
    # Who created the object by hand owns its defaults too: without an end they would be taken out and come back.
    made = with_defaults(brain())
    fields = {"f:spec": {"f:progressDeadlineSeconds": {}, "f:template": {"f:spec": {"f:dnsPolicy": {}}}}}
    made["metadata"]["managedFields"].append({"manager": "kubectl-create", "operation": "Update", "fieldsV1": fields})
    assert first_difference(brain(), made) is None
    assert removals(brain(), made) == []


def test_other_tools_may_label_and_may_own_what_is_as_wanted() -> None:
    fields = {"f:metadata": {"f:labels": {"f:team": {}}}, **env_fields("TITAN_MODE", "name", "value")}
    made = live(brain(), others={"argocd": fields})
    made["metadata"]["labels"]["team"] = "x"
    assert first_difference(brain(), made) is None
    assert removals(brain(), made) == []


def test_what_we_applied_and_want_no_longer_is_a_difference_that_an_apply_takes_out() -> None:
    older = brain()
    pod(older)["hostAliases"] = [{"ip": "10.0.0.1", "hostnames": ["x"]}]
    older["metadata"]["labels"]["old"] = "1"
    made = live(older)
    assert str(first_difference(brain(), made)) == 'metadata.labels.old: wanted absent, found "1"'
    del made["metadata"]["labels"]["old"]
    assert str(first_difference(brain(), made)).startswith("spec.template.spec.hostAliases: wanted absent, found [")
    assert removals(brain(), made) == []


def test_items_of_one_name_count_by_position() -> None:
    wanted = {"a": [{"name": "x", "b": 1}, {"name": "x", "b": 2}]}
    assert first_difference(wanted, copy.deepcopy(wanted)) is None
    other = {"a": [{"name": "x", "b": 1}, {"name": "x", "b": 3}]}
    assert str(first_difference(wanted, other)) == "a[1].b: wanted 2, found 3"


def test_the_provisioner_may_write_into_a_claim() -> None:
    claim = child("PersistentVolumeClaim", "brain-state")
    made = live(claim, others={"provisioner": {"f:spec": {"f:selector": {}}}})
    made["spec"]["selector"] = {"matchLabels": {"a": "b"}}
    assert first_difference(claim, made) is None


def test_fields_are_found_by_key_value_index_and_name() -> None:
    node = {"env": [{"name": "a", "value": "1"}, {"name": "b"}], "set": ["x", "y"], "list": [1, 2], "gone": 1}
    fields: Object = {
        "f:env": {'k:{"name":"b"}': {".": {}, "f:name": {}}, 'k:{"name":"z"}': {".": {}}},
        "f:set": {'v:"y"': {}},
        "f:list": {"i:1": {}, "i:7": {}},
        "f:other": {"f:x": {}},
    }
    assert list(owned(fields, node)) == [("env", 1), ("env", 1, "name"), ("set", 1), ("list", 1)]
    ports = [{"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP"}]
    assert list(owned({'k:{"port":1,"protocol":"TCP"}': {".": {}}}, ports)) == [(1,)]
    assert projected(fields, node) == {"env": [{"name": "b"}], "set": ["y"], "list": [2]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000m", 1),
        ("1", 1),
        (1, 1),
        ("0.5", "0.5"),
        ("1Ki", 1024),
        ("1.5Gi", 1610612736),
        ("1e3", 1000),
        ("2E", 2 * 10**18),
        ("12k", 12_000),
        ("-1", -1),
        ("100n", "0.0000001"),
        ("1KiB", None),
        ("", None),
        ("m", None),
        (True, None),
        (None, None),
    ],
)
def test_amounts_are_read_by_value(text: object, value: object) -> None:
    assert read_quantity(text) == (None if value is None else Decimal(str(value)))


def test_the_protection_taken_off_is_seen() -> None:
    made = live(execution())
    made["metadata"]["annotations"][PROTECTED] = "false"
    assert 'protected]: wanted "true", found "false"' in str(first_difference(execution(), made))
