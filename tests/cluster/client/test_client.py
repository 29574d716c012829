"""The client against the real API server: what the unit tests' scripted answers only claim."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.loopback_certificate import throw_away_certificate
from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection, from_kubeconfig, in_cluster
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.resource_kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    KINDS,
    SELF_SUBJECT_REVIEW,
    TITAN_PHASE,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
    Kind,
)


def connection_of(kubeconfig: Path) -> Connection:
    return from_kubeconfig({"KUBECONFIG": str(kubeconfig)})


@pytest.fixture
async def admin(cluster: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster(connection_of(cluster.admin)) as client:
        yield client


def config_map(namespace: str, name: str = "a", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}, "data": data or {"x": "1"}}


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if "Review" not in kind.name], ids=lambda k: k.name)
async def test_each_kind_is_where_the_table_says(admin: Cluster, kind: Kind) -> None:
    await admin.list(kind)


async def test_get_create_apply_patch_delete(admin: Cluster, namespace: str) -> None:
    assert await admin.get(CONFIG_MAP, "a", namespace) is None
    made = await admin.create(CONFIG_MAP, config_map(namespace))
    with pytest.raises(ApiError) as again:
        await admin.create(CONFIG_MAP, config_map(namespace))
    assert (again.value.already_exists, again.value.conflict) == (True, False)
    applied = await admin.apply(CONFIG_MAP, config_map(namespace, x="2"))
    assert (applied["data"], applied["metadata"]["uid"]) == ({"x": "2"}, made["metadata"]["uid"])
    patched = await admin.patch_merge(CONFIG_MAP, "a", namespace, {"data": {"x": None, "y": "3"}})
    assert patched["data"] == {"y": "3"}
    assert await admin.get(CONFIG_MAP, "a", namespace) == patched
    assert await admin.delete(CONFIG_MAP, "a", namespace)
    assert not await admin.delete(CONFIG_MAP, "a", namespace)


async def test_an_apply_that_changes_nothing_writes_nothing(admin: Cluster, namespace: str) -> None:
    first = await admin.apply(CONFIG_MAP, config_map(namespace))
    second = await admin.apply(CONFIG_MAP, config_map(namespace))
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_what_is_no_longer_applied_is_removed_and_what_others_own_is_left(admin: Cluster, namespace: str) -> None:
    await admin.apply(CONFIG_MAP, config_map(namespace, ours="1", dropped="1"))
    await admin.apply(CONFIG_MAP, config_map(namespace, theirs="1"), manager="somebody")
    found = await admin.apply(CONFIG_MAP, config_map(namespace, ours="1"))
    assert found["data"] == {"ours": "1", "theirs": "1"}


async def test_a_field_that_another_owns(admin: Cluster, namespace: str) -> None:
    await admin.apply(CONFIG_MAP, config_map(namespace, x="theirs"), manager="somebody")
    with pytest.raises(ApiError) as caught:
        await admin.apply(CONFIG_MAP, config_map(namespace, x="ours"), force=False)
    assert caught.value.conflict
    assert "somebody" in caught.value.message
    assert (await admin.apply(CONFIG_MAP, config_map(namespace, x="ours")))["data"] == {"x": "ours"}


async def test_a_dry_run_says_the_result_and_writes_nothing(admin: Cluster, namespace: str) -> None:
    assert (await admin.create(CONFIG_MAP, config_map(namespace), dry_run=True))["metadata"]["uid"]
    assert (await admin.apply(CONFIG_MAP, config_map(namespace), dry_run=True))["data"] == {"x": "1"}
    assert await admin.get(CONFIG_MAP, "a", namespace) is None


async def test_unknown_fields_are_refused_by_each_verb(admin: Cluster, namespace: str) -> None:
    wrong = {**config_map(namespace), "dat": {"x": "1"}}
    with pytest.raises(ApiError, match=r"unknown field \"dat\"") as created:
        await admin.create(CONFIG_MAP, wrong)
    with pytest.raises(ApiError, match=r"\.dat: field not declared in schema") as applied:
        await admin.apply(CONFIG_MAP, wrong)
    assert (created.value.invalid, applied.value.invalid, applied.value.transient) == (True, True, False)


async def test_replace_is_of_one_version(admin: Cluster, namespace: str) -> None:
    first = await admin.create(CONFIG_MAP, config_map(namespace))
    second = await admin.replace(CONFIG_MAP, {**first, "data": {"x": "2"}})
    with pytest.raises(ApiError) as caught:
        await admin.replace(CONFIG_MAP, {**first, "data": {"x": "3"}})
    assert caught.value.conflict
    assert await admin.get(CONFIG_MAP, "a", namespace) == second


async def test_a_merge_patch_of_one_version(admin: Cluster, namespace: str) -> None:
    first = await admin.create(CONFIG_MAP, config_map(namespace))
    versioned = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"x": "2"}}
    await admin.patch_merge(CONFIG_MAP, "a", namespace, versioned)
    with pytest.raises(ApiError) as caught:
        await admin.patch_merge(CONFIG_MAP, "a", namespace, versioned)
    assert caught.value.conflict


async def test_only_this_object_is_deleted(admin: Cluster, namespace: str) -> None:
    first = await admin.create(CONFIG_MAP, config_map(namespace))
    uid, version = first["metadata"]["uid"], first["metadata"]["resourceVersion"]
    with pytest.raises(ApiError) as other:
        await admin.delete(CONFIG_MAP, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ApiError) as older:
        await admin.delete(CONFIG_MAP, "a", namespace, resource_version="1")
    assert (other.value.conflict, older.value.conflict) == (True, True)
    assert await admin.delete(CONFIG_MAP, "a", namespace, uid=uid, resource_version=version)


async def test_status_is_a_subresource(admin: Cluster, namespace: str) -> None:
    manifest = {
        "metadata": {"name": "d", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "replicas": 0,
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "none@sha256:" + "0" * 64}]},
            },
        },
    }
    await admin.apply(DEPLOYMENT, manifest)
    status = {"metadata": manifest["metadata"], "status": {"conditions": [_condition()]}}
    answered = await admin.apply_status(DEPLOYMENT, status, manager="test")
    assert [entry["type"] for entry in answered["status"]["conditions"] if entry["type"] == "Titan"] == ["Titan"]
    assert answered["spec"]["replicas"] == 0
    with pytest.raises(ApiError) as caught:
        await admin.apply_status(DEPLOYMENT, {**status, "metadata": {"name": "absent", "namespace": namespace}})
    assert caught.value.not_found


def _condition() -> dict[str, str]:
    return {"type": "Titan", "status": "True", "reason": "Test", "message": "set"}


async def test_lists_select_and_page(admin: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titan_operator.cluster.client._PAGE", 3)
    for number in range(8):
        await admin.create(CONFIG_MAP, config_map(namespace, f"c{number}"))
    ours = {f"c{number}" for number in range(8)}
    found = await admin.list(CONFIG_MAP, namespace)
    assert {item["metadata"]["name"] for item in found} == ours | {"kube-root-ca.crt"}
    assert int(found.resource_version) > 0
    assert {(item["kind"], item["apiVersion"]) for item in found} == {("ConfigMap", "v1")}
    selected = await admin.list(CONFIG_MAP, namespace, labels="app in (c1,c2)", fields="metadata.name!=c2")
    assert [item["metadata"]["name"] for item in selected] == ["c1"]


async def test_an_absent_namespace_and_an_absent_kind(admin: Cluster) -> None:
    unknown = dataclasses.replace(TITAN_PHASE, plural="titanmoons")
    assert await admin.list(CONFIG_MAP, "no-such") == []
    with pytest.raises(ApiError) as created:
        await admin.create(CONFIG_MAP, config_map("no-such"))
    assert created.value.not_found
    for call in (admin.get(unknown, "a", "n"), admin.list(unknown, "n"), admin.delete(unknown, "a", "n")):
        with pytest.raises(ApiError) as caught:
            await call
        assert not caught.value.served


async def test_rights_are_the_tokens(cluster: ControlPlane, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    cluster.kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps", "-n", namespace)
    cluster.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader", "-n", namespace
    )
    reader = connection_of(cluster.service_account(namespace, "reader"))
    async with Cluster(reader) as client:
        assert await client.get(CONFIG_MAP, "kube-root-ca.crt", namespace)
        with pytest.raises(ApiError) as caught:
            await client.create(CONFIG_MAP, config_map(namespace))
        assert caught.value.forbidden
        review = await client.create(SELF_SUBJECT_REVIEW, {})
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:reader"


async def test_as_a_pod_with_a_token_that_is_replaced(cluster: ControlPlane, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "pod", "-n", namespace)
    admin_connection = connection_of(cluster.admin)
    (tmp_path / "ca.crt").write_text(admin_connection.ca_pem)
    (tmp_path / "token").write_text("expired")
    host, _, port = cluster.server.removeprefix("https://").rpartition(":")
    environ = {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "TITAN_SERVICE_ACCOUNT_DIR": str(tmp_path),
    }
    async with Cluster(in_cluster(environ)) as client:
        with pytest.raises(ApiError) as caught:
            await client.create(SELF_SUBJECT_REVIEW, {})
        assert caught.value.unauthorized
        token = connection_of(cluster.service_account(namespace, "pod")).token
        (tmp_path / "token").write_text(token)
        assert (await client.create(SELF_SUBJECT_REVIEW, {}))["status"]["userInfo"]["username"].endswith(":pod")


async def test_another_authority_is_refused(cluster: ControlPlane) -> None:
    connection = dataclasses.replace(connection_of(cluster.admin), ca_pem=throw_away_certificate()[0])
    async with Cluster(connection) as client:
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await client.create(SELF_SUBJECT_REVIEW, {})


async def test_a_denial_names_its_policy(admin: Cluster, namespace: str) -> None:
    name = f"no-x.{namespace}"
    policy = {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
                ],
                # The control plane is not this test's alone.
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            },
            "validations": [{"expression": "!('x' in object.data)", "message": "no x here"}],
        },
    }
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    await admin.create(VALIDATING_ADMISSION_POLICY, policy)
    await admin.create(VALIDATING_ADMISSION_POLICY_BINDING, binding)
    async with asyncio.timeout(120):
        while True:
            try:
                await admin.create(CONFIG_MAP, config_map(namespace), dry_run=True)
            except ApiError as error:
                denial = error
                break
            await asyncio.sleep(0.1)
    assert denial.denied_by_policy == name
    assert denial.message.endswith("no x here")
    assert not denial.transient


async def test_it_goes_on_after_the_server_was_killed(cluster: ControlPlane, admin: Cluster, namespace: str) -> None:
    await admin.create(CONFIG_MAP, config_map(namespace))
    cluster.processes.end("kube-apiserver", signal.SIGKILL)
    with pytest.raises(Unreachable):
        await admin.get(CONFIG_MAP, "a", namespace)
    # Not in a thread: the server's processes end with the thread that started them.
    cluster.restart_apiserver()
    found = await admin.get(CONFIG_MAP, "a", namespace)
    assert found is not None
    assert await admin.delete(CONFIG_MAP, "a", namespace, uid=found["metadata"]["uid"])
