"""Rendered objects on a real API server: accepted unchanged, settled at once, restored after drift."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.stack.plans import OPTIONS, STACK, planned
from titan_operator.api.names import LABEL_INSTANCE, PRIORITY_CLASS, PROTECTED
from titan_operator.cluster.client import Cluster, Object
from titan_operator.cluster.credentials import from_kubeconfig
from titan_operator.cluster.errors import ApiError
from titan_operator.cluster.resource_kinds import KINDS, PERSISTENT_VOLUME_CLAIM, POD, Kind
from titan_operator.compare.diff import first_difference, kept_template, removals
from titan_operator.render.kubernetes import Child, render_kubernetes

PRIORITY = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": PRIORITY_CLASS},
    "value": 1_000_000,
}


@pytest.fixture(scope="module")
def priority(cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(PRIORITY))


@pytest.fixture
async def api(cluster: ControlPlane, priority: None) -> AsyncIterator[Cluster]:
    async with Cluster(from_kubeconfig({"KUBECONFIG": str(cluster.admin)})) as made:
        yield made


@pytest.fixture
def restricted(cluster: ControlPlane, namespace: str) -> str:
    """A namespace that takes restricted pods only."""
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    return namespace


def children(namespace: str, version: str = "1.2.3") -> tuple[Child, ...]:
    return render_kubernetes(planned(), replace(OPTIONS, namespace=namespace, version=version))


def child(namespace: str, kind: str, name: str) -> Child:
    return next(item for item in children(namespace) if (item.kind, item.name) == (kind, name))


async def applied(api: Cluster, one: Child) -> Object:
    return await api.apply(KINDS[one.kind], one.manifest)


async def live(api: Cluster, one: Child) -> Object:
    made = await api.get(KINDS[one.kind], one.name, one.manifest["metadata"]["namespace"])
    assert made is not None
    return made


def version_of(made: Object) -> str:
    return str(made["metadata"]["resourceVersion"])


def pod_of(one: Child) -> Object:
    template = copy.deepcopy(one.manifest["spec"]["template"])
    spec: Object = template["spec"]
    if one.kind == "StatefulSet":
        # As the controller would add it.
        spec["volumes"].append({"name": "state", "persistentVolumeClaim": {"claimName": "state-execution-0"}})
    metadata = {**template["metadata"], "name": one.name, "namespace": one.manifest["metadata"]["namespace"]}
    return {"metadata": metadata, "spec": spec}


async def settled(api: Cluster, kind: str, manifest: Mapping[str, Any]) -> Object:
    """Apply until an apply writes nothing: controllers write too, and a new claim is stored twice, but not for ever."""
    versions = []
    for _ in range(20):
        made = await api.apply(KINDS[kind], manifest)
        versions.append(version_of(made))
        if versions[-2:-1] == versions[-1:]:
            return made
    raise AssertionError(f"{kind} {manifest['metadata']['name']} is written at every apply: {versions}")


async def test_all_is_taken_and_settled_at_once(api: Cluster, restricted: str) -> None:
    for one in children(restricted):
        made = await settled(api, one.kind, one.manifest)
        assert first_difference(one.manifest, made) is None
        assert removals(one.manifest, made) == []


async def test_secrets_of_registries_are_settled_too_and_another_hands_is_taken_out(
    api: Cluster, cluster: ControlPlane, restricted: str
) -> None:
    plan = planned(stack=STACK.replace("  role: brain\n", "  role: brain\n  imagePullSecrets: [{name: registry}]\n"))
    found = render_kubernetes(plan, replace(OPTIONS, namespace=restricted))
    brain = next(one for one in found if (one.kind, one.name) == ("Deployment", "brain"))
    assert first_difference(brain.manifest, await settled(api, brain.kind, brain.manifest)) is None
    more = {"spec": {"template": {"spec": {"imagePullSecrets": [{"name": "registry"}, {"name": "theirs"}]}}}}
    cluster.kubectl("patch", "deployment", "brain", "-n", restricted, "--type=merge", "-p", json.dumps(more))
    there = await live(api, brain)
    assert "imagePullSecrets[theirs]" in str(first_difference(brain.manifest, there))
    await api.patch_json(KINDS[brain.kind], brain.name, restricted, removals(brain.manifest, there))
    assert first_difference(brain.manifest, await applied(api, brain)) is None


async def test_restricted_pod_security_takes_every_pod(api: Cluster, restricted: str) -> None:
    for one in children(restricted):
        if one.kind == "ServiceAccount":
            await applied(api, one)
    workloads = [one for one in children(restricted) if one.workload]
    assert len(workloads) == 5
    for one in workloads:
        await api.create(POD, pod_of(one), dry_run=True)
    for spoil in (
        lambda spec: spec["securityContext"].pop("seccompProfile"),
        lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"),
        lambda spec: spec.update(hostNetwork=True),
    ):
        pod = pod_of(workloads[0])
        spoil(pod["spec"])
        with pytest.raises(ApiError, match="violates PodSecurity"):
            await api.create(POD, pod, dry_run=True)


async def test_what_controllers_write_is_no_difference(api: Cluster, restricted: str) -> None:
    for one in children(restricted):
        await applied(api, one)
    expected = {one.name for one in children(restricted) if one.kind == "Deployment"}

    async def made() -> bool:
        sets = await api.list(Kind("ReplicaSet", "apps/v1", "replicasets"), restricted)
        claims = await api.list(PERSISTENT_VOLUME_CLAIM, restricted)
        names = {item["metadata"]["name"] for item in claims}
        return {
            item["metadata"]["labels"][LABEL_INSTANCE] for item in sets
        } == expected and "state-execution-0" in names

    await until(made)
    for one in children(restricted):
        found = await live(api, one)
        assert first_difference(one.manifest, found) is None
        assert removals(one.manifest, found) == []
    claim = await api.get(PERSISTENT_VOLUME_CLAIM, "state-execution-0", restricted)
    assert claim is not None
    assert claim["metadata"]["annotations"][PROTECTED] == "true"
    assert claim["metadata"]["labels"][LABEL_INSTANCE] == "execution"
    assert "ownerReferences" not in claim["metadata"]


async def until(holds: Callable[[], Any], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not await holds():
            await asyncio.sleep(0.05)


def sidecar() -> str:
    spec = {"containers": [{"name": "spy", "image": "x/y@sha256:" + "2" * 64}]}
    return json.dumps({"spec": {"template": {"spec": spec}}})


# What a person does; the kind and name that it concerns; where the difference is, and what it says.
HANDS: list[tuple[str, str, str, list[str], str]] = [
    (
        "a setting",
        "Deployment",
        "brain",
        ["set", "env", "deployment/brain", "TITAN_MODE=live"],
        'spec.template.spec.containers[brain].env[TITAN_MODE].value: wanted "paper", found "live", set by kubectl-set',
    ),
    (
        "a setting more",
        "Deployment",
        "brain",
        ["set", "env", "deployment/brain", "LD_PRELOAD=/x.so"],
        "spec.template.spec.containers[brain].env[LD_PRELOAD]: wanted absent",
    ),
    (
        "a setting taken away",
        "Deployment",
        "brain",
        ["set", "env", "deployment/brain", "TITAN_MODE-"],
        "spec.template.spec.containers[brain].env[TITAN_MODE]: wanted {",
    ),
    (
        "a second container",
        "Deployment",
        "scavenger",
        ["patch", "deployment/scavenger", "--patch", sidecar()],
        "spec.template.spec.containers[spy]: wanted absent",
    ),
    (
        "replicas",
        "StatefulSet",
        "execution",
        ["scale", "statefulset/execution", "--replicas=0"],
        "spec.replicas: wanted 1, found 0, set by a hand that left no name",
    ),
    (
        "pods restarted",
        "Deployment",
        "marketdata",
        ["rollout", "restart", "deployment/marketdata"],
        "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]: wanted absent",
    ),
    (
        "a network opened",
        "NetworkPolicy",
        "execution",
        [
            "patch",
            "networkpolicy/execution",
            "--type=json",
            "--patch",
            '[{"op":"add","path":"/spec/ingress/0","value":{}}]',
        ],
        "spec.ingress: wanted [",
    ),
    (
        "a network that nothing denies",
        "NetworkPolicy",
        "titan.default-deny",
        ["patch", "networkpolicy/titan.default-deny", "--patch", '{"spec":{"podSelector":{"matchLabels":{"a":"b"}}}}'],
        "spec.podSelector",
    ),
    (
        "a port more",
        "Service",
        "brain",
        ["patch", "service/brain", "--patch", '{"spec":{"ports":[{"name":"x","port":1}]}}'],
        "spec.ports[1]: wanted absent",
    ),
    (
        "the ceiling raised in the mounted file",
        "ConfigMap",
        "brain-live",
        ["patch", "configmap/brain-live", "--patch", '{"data":{"posture_ceiling":"FLATTEN","other":"1"}}'],
        'data.posture_ceiling: wanted "ARMED", found "FLATTEN", set by kubectl-patch',
    ),
    (
        "the protection taken off",
        "StatefulSet",
        "execution",
        ["annotate", "statefulset/execution", f"{PROTECTED}-"],
        f'metadata.annotations[{PROTECTED}]: wanted "true", found absent, set by a hand that left no name',
    ),
    (
        "a token for the process",
        "ServiceAccount",
        "brain",
        ["patch", "serviceaccount/brain", "--patch", '{"automountServiceAccountToken":true}'],
        "automountServiceAccountToken: wanted false, found true, set by kubectl-patch",
    ),
]


@pytest.mark.parametrize(("description", "kind", "name", "arguments", "said"), HANDS)
async def test_what_a_hand_changed_is_named_and_put_back(
    cluster: ControlPlane,
    api: Cluster,
    namespace: str,
    description: str,
    kind: str,
    name: str,
    arguments: list[str],
    said: str,
) -> None:
    one = child(namespace, kind, name)
    before = await applied(api, one)
    cluster.kubectl("-n", namespace, *arguments)
    found = first_difference(one.manifest, await live(api, one))
    assert found is not None
    assert str(found).startswith(said)
    surplus = removals(one.manifest, await live(api, one))
    if surplus:
        await api.patch_json(KINDS[kind], name, namespace, surplus)
    after = await applied(api, one)
    assert first_difference(one.manifest, after) is None
    assert {**before.get("spec", {})} == {**after.get("spec", {})}
    assert before.get("data") == after.get("data")
    await settled(api, kind, one.manifest)


async def test_objects_that_somebody_made_before_us_settle(cluster: ControlPlane, api: Cluster, namespace: str) -> None:
    made = {"apiVersion": "v1", "kind": "List", "items": [dict(one.manifest) for one in children(namespace)]}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    for one in children(namespace):
        # They own every default: what is no difference must not be taken out, or it would go on for ever.
        assert removals(one.manifest, await live(api, one)) == []
        assert first_difference(one.manifest, await live(api, one)) is None


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "brain"), ("StatefulSet", "execution")])
async def test_an_upgraded_operator_changes_no_template(api: Cluster, namespace: str, kind: str, name: str) -> None:
    one = child(namespace, kind, name)
    before = await settled(api, kind, one.manifest)
    newer = copy.deepcopy(
        dict(next(item for item in children(namespace, "2.0.0") if (item.kind, item.name) == (kind, name)).manifest)
    )
    newer["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = 30
    kept = kept_template(newer, before)
    assert kept["spec"]["template"] == one.manifest["spec"]["template"]
    after = await settled(api, kind, kept)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    # Without it pods would restart.
    assert (await api.apply(KINDS[kind], newer, dry_run=True))["metadata"]["generation"] == before["metadata"][
        "generation"
    ] + 1
    # What else the newer one renders is applied, and the template stays.
    newer["spec"]["revisionHistoryLimit"] = 7
    later = await api.apply(KINDS[kind], kept_template(newer, after))
    assert later["spec"]["revisionHistoryLimit"] == 7
    assert later["spec"]["template"] == before["spec"]["template"]
    assert first_difference(kept_template(newer, later), later) is None
