"""Objects of a stack: the rights of each pod, its files, and that a cluster runs the same as a laptop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from support.stack.plans import OPTIONS, POLICIES, STACK, planned
from support.stack.rendered import STACK_ROLES, changed, container, environment, pod, rendered, workload
from titan.domain.policy import parse_rules
from titan.domain.policy_hash import policy_hash
from titan.runtime.topology import ROLES
from titan_operator.api import names
from titan_operator.compare.quantities import read_quantity
from titan_operator.planning.plan import Plan
from titan_operator.render.kubernetes import render_kubernetes

WITH_STATE = ("papervenue", "execution", "brain")


def insecure(spec: Mapping[str, Any]) -> list[str]:
    """What Pod Security's restricted profile forbids, and what this stack forbids besides."""
    problems = []
    whole = spec.get("securityContext", {})
    if whole.get("runAsNonRoot") is not True or not whole.get("runAsUser"):
        problems.append("runs as root")
    if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        problems.append("no seccomp profile")
    problems += [
        name for name in ("hostNetwork", "hostPID", "hostIPC", "tolerations", "nodeSelector") if spec.get(name)
    ]
    if spec.get("automountServiceAccountToken") is not False:
        problems.append("a token of the API server")
    if spec.get("enableServiceLinks") is not False:
        problems.append("service links")
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    problems += sorted(kinds - {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"})
    for one in (*spec["containers"], *spec.get("initContainers", ())):
        context = one.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            problems.append("may gain privileges")
        if context.get("readOnlyRootFilesystem") is not True:
            problems.append("writable root")
        if context.get("capabilities") != {"drop": ["ALL"]}:
            problems.append("capabilities")
        if "@sha256:" not in one["image"]:
            problems.append("an image by tag")
        if not one.get("resources", {}).get("limits", {}).get("memory"):
            problems.append("no limit of memory")
        mounted = {mount["name"]: mount for mount in one["volumeMounts"]}
        problems += [
            f"{name} is writable"
            for name in ("config", "live", "tls")
            if not mounted.get(name, {"readOnly": 1}).get("readOnly")
        ]
    return problems


@pytest.mark.parametrize("role", STACK_ROLES)
def test_every_pod_is_restricted(role: str) -> None:
    assert insecure(pod(role)) == []


@pytest.mark.parametrize(
    ("description", "change", "problem"),
    [
        ("root", {"securityContext": {}}, "runs as root"),
        ("the node's network", {"hostNetwork": True}, "hostNetwork"),
        ("a token", {"automountServiceAccountToken": True}, "a token of the API server"),
        ("a folder of the node", {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "hostPath"),
    ],
)
def test_the_check_of_pods_can_fail(description: str, change: dict[str, Any], problem: str) -> None:
    assert problem in insecure({**pod("brain"), **change})


def test_the_check_of_containers_can_fail() -> None:
    spec = pod("brain")
    spec["containers"] = [{**spec["containers"][0], "securityContext": {}, "image": "titan:1", "resources": {}}]
    assert insecure(spec) == [
        "may gain privileges",
        "writable root",
        "capabilities",
        "an image by tag",
        "no limit of memory",
    ]


@pytest.mark.parametrize("role", STACK_ROLES)
def test_probes_are_pages_that_every_process_has(role: str) -> None:
    one = container(role)
    paths = {probe: one[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/live", "readinessProbe": "/health", "livenessProbe": "/live"}
    assert {one[probe]["httpGet"]["port"] for probe in paths} == {"http"}
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    assert ports == {
        name: port for name, port in (("grpc", ROLES[role].grpc_port), ("http", ROLES[role].http_port)) if port
    }


def test_the_stack_fits_a_machine_of_4_gb_with_system_operator_and_data() -> None:
    mebibytes = 1024**2
    # k3s with its pods and Debian; the operator's limit; PostgreSQL and NATS.
    others = (1200 + 256 + 700) * mebibytes
    limits = [read_quantity(container(role)["resources"]["limits"]["memory"]) for role in STACK_ROLES]
    assert sum(filter(None, limits)) + others <= 4096 * mebibytes
    cores = [read_quantity(container(role)["resources"]["requests"]["cpu"]) for role in STACK_ROLES]
    assert sum(filter(None, cores)) <= 1


@pytest.mark.parametrize(
    ("description", "given", "requests", "limits"),
    [
        ("nothing", {}, {"cpu": "200m", "memory": "384Mi"}, {"memory": "384Mi"}),
        (
            "a limit is a request too",
            {"limits": {"memory": "100Mi", "cpu": "100m"}},
            {"cpu": "100m", "memory": "100Mi"},
            {"cpu": "100m", "memory": "100Mi"},
        ),
        (
            "a request above the table's limit raises it",
            {"requests": {"memory": "1Gi"}},
            {"cpu": "200m", "memory": "1Gi"},
            {"memory": "1Gi"},
        ),
        (
            "both",
            {"requests": {"memory": "64Mi", "cpu": "1"}, "limits": {"memory": "1Gi"}},
            {"cpu": "1", "memory": "64Mi"},
            {"memory": "1Gi"},
        ),
    ],
)
def test_a_phase_may_say_its_resources(
    description: str, given: dict[str, dict[str, str]], requests: dict[str, str], limits: dict[str, str]
) -> None:
    plan = changed(planned(), "brain", resources=given)
    assert container("brain", plan)["resources"] == {"requests": requests, "limits": limits}


def test_resources_of_a_phase_come_from_its_spec() -> None:
    said = "  role: brain\n  resources: {requests: {cpu: 300m}, limits: {memory: 512Mi}}\n"
    plan = planned(stack=STACK.replace("  role: brain\n", said))
    assert plan.workload("brain").resources == {"requests": {"cpu": "300m"}, "limits": {"memory": "512Mi"}}
    assert {item.role for item in plan.workloads if item.resources} == {"brain"}
    expected = {"requests": {"cpu": "300m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}}
    assert container("brain", plan)["resources"] == expected


def test_kinds_by_role() -> None:
    kinds = {role: workload(role).kind for role in STACK_ROLES}
    assert kinds == dict.fromkeys(STACK_ROLES, "Deployment") | {"execution": "StatefulSet"}
    execution = workload("execution").manifest["spec"]
    assert (execution["replicas"], execution["updateStrategy"]) == (1, {"type": "OnDelete"})
    assert pod("execution")["priorityClassName"] == names.PRIORITY_CLASS
    for role in set(STACK_ROLES) - {"execution"}:
        spec = workload(role).manifest["spec"]
        assert "priorityClassName" not in pod(role)
        assert spec["replicas"] == 1
        recreated = {"type": "Recreate"}
        rolled = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
        assert spec["strategy"] == (recreated if role in WITH_STATE else rolled)


def test_state_is_on_a_claim_where_there_is_any() -> None:
    children = rendered()
    claims = {name for kind, name in children if kind == "PersistentVolumeClaim"}
    assert claims == {"papervenue-state", "brain-state"}
    for role in STACK_ROLES:
        mount = next(item for item in container(role)["volumeMounts"] if item["name"] == names.STATE_VOLUME)
        assert mount["mountPath"] == environment(role)["TITAN_STATE_DIR"] == names.STATE_DIR
        volumes = {item["name"]: item for item in pod(role)["volumes"]}
        if role in ("papervenue", "brain"):
            assert volumes["state"]["persistentVolumeClaim"] == {"claimName": names.volume_claim(role, role)}
        elif role == "execution":
            (template,) = workload(role).manifest["spec"]["volumeClaimTemplates"]
            assert "state" not in volumes
            name = f"{template['metadata']['name']}-{workload(role).name}-0"
            assert name == names.volume_claim("execution", "execution")
            assert template["metadata"]["annotations"] == {names.PROTECTED: "true"}
        else:
            assert "emptyDir" in volumes["state"]


def test_what_a_drain_protects() -> None:
    protected = {(child.kind, child.name) for child in rendered().values() if child.protected}
    assert protected == {("StatefulSet", "execution"), ("ConfigMap", "policy-3e1725d5f33bfa45")}
    for child in rendered().values():
        annotations = child.manifest["metadata"]["annotations"]
        assert (annotations.get(names.PROTECTED) == "true") == child.protected


def test_every_object_is_of_the_namespace_labeled_and_without_an_owner() -> None:
    for (kind, name), child in rendered().items():
        metadata = child.manifest["metadata"]
        assert (child.manifest["kind"], metadata["name"], metadata["namespace"]) == (kind, name, "trading")
        assert metadata["labels"][names.LABEL_MANAGED_BY] == names.OPERATOR
        assert metadata["labels"].get(names.LABEL_INSTANCE, "") == child.phase
        assert metadata["annotations"][names.RENDERED_BY] == "1.2.3"
        assert "ownerReferences" not in metadata
        assert child.manifest["apiVersion"]


def test_stages_follow_what_needs_what() -> None:
    stages = [(child.stage, child.role, child.workload) for child in render_kubernetes(planned(), OPTIONS)]
    assert [stage for stage, _, _ in stages] == sorted(stage for stage, _, _ in stages)
    assert [role for _, role, runs in stages if runs] == list(STACK_ROLES)
    assert len({stage for stage, _, runs in stages if runs}) == len(STACK_ROLES)
    last_mounted = max(stage for stage, _, runs in stages if not runs)
    assert last_mounted < min(stage for stage, _, runs in stages if runs)


def test_everything_a_pod_names_is_rendered_but_its_keys() -> None:
    children = rendered()
    for role in STACK_ROLES:
        spec = pod(role)
        assert ("ServiceAccount", spec["serviceAccountName"]) in children
        assert children["ServiceAccount", spec["serviceAccountName"]].manifest["automountServiceAccountToken"] is False
        mounts = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        claimed = {"state"} if role == "execution" else set()
        assert mounts == {volume["name"] for volume in spec["volumes"]} | claimed
        for volume in spec["volumes"]:
            maps = [source["configMap"] for source in volume.get("projected", {}).get("sources", ())]
            maps += [volume["configMap"]] if "configMap" in volume else []
            for one in maps:
                config = children["ConfigMap", one["name"]].manifest
                assert {item["key"] for item in one.get("items", ())} <= set(config["data"])
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in children
            if "secret" in volume:
                assert volume["secret"]["secretName"] == names.tls_secret(role)
    assert not [name for kind, name in children if kind == "Secret"]


def test_a_service_leads_to_its_pod_whether_ready_or_not() -> None:
    for role in STACK_ROLES:
        service = rendered()["Service", role].manifest["spec"]
        template = workload(role).manifest["spec"]["template"]
        assert service["selector"].items() <= template["metadata"]["labels"].items()
        assert service["publishNotReadyAddresses"] is True
        ports = {port["name"]: port["containerPort"] for port in container(role)["ports"]}
        assert {port["name"]: port["port"] for port in service["ports"]} == ports
        assert {port["targetPort"] for port in service["ports"]} == set(ports)


def test_policies_are_named_by_their_hash_and_hold_the_rules_as_they_are_hashed() -> None:
    named = set()
    for policy in POLICIES:
        plan = planned(policy)
        (config,) = [child for (kind, name), child in rendered(plan).items() if name.startswith("policy-")]
        rules = config.manifest["data"]["policy.json"]
        assert policy_hash(parse_rules(rules.encode())) == plan.policy_hash
        assert config.manifest["immutable"] is True
        assert plan.policy_hash.removeprefix("sha256:").startswith(config.name.removeprefix("policy-"))
        assert rules == json.dumps(json.loads(rules), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert plan.policy_hash not in json.dumps([child.manifest for child in rendered(plan).values()])
        named.add(config.name)
    assert len(named) == len(POLICIES)


def test_other_parameters_are_another_object_and_another_template() -> None:
    other = planned(stack=STACK.replace('stopBps: "60"', 'stopBps: "61"'))
    (before,) = [name for kind, name in rendered() if "-parameters-" in name]
    (after,) = [name for kind, name in rendered(other) if "-parameters-" in name]
    assert before != after
    assert rendered(other)["ConfigMap", after].manifest["immutable"] is True
    assert after in json.dumps(pod("scavenger", other))
    assert before not in json.dumps(pod("scavenger", other))


def test_another_ceiling_changes_the_live_object_and_nothing_else() -> None:
    lower = {key: child.manifest for key, child in rendered(planned_with_ceiling("HALTED")).items()}
    before = {key: child.manifest for key, child in rendered().items()}
    assert [key for key in before if before[key] != lower[key]] == [("ConfigMap", "brain-live")]
    assert lower["ConfigMap", "brain-live"]["data"] == {"posture_ceiling": "HALTED"}
    assert "immutable" not in lower["ConfigMap", "brain-live"]
    assert environment("brain")["TITAN_POSTURE_CEILING_FILE"] == "/etc/titan/live/posture_ceiling"
    assert "TITAN_POSTURE_CEILING" not in environment("brain")


def planned_with_ceiling(posture: str) -> Plan:
    return changed(replace(planned(), posture_ceiling=posture), "brain", live={"posture_ceiling": posture})


def test_manifests_hold_no_key_and_no_certificate() -> None:
    text = json.dumps([child.manifest for child in rendered().values()])
    for word in ("PRIVATE KEY", "CERTIFICATE", "stringData", "secretKeyRef", "envFrom"):
        assert word not in text


def test_a_certificate_renewed_is_no_other_template() -> None:
    # The Secret is named and nothing of its content is: no hash, no version.
    volumes = {item["name"]: item for item in pod("brain")["volumes"]}
    assert volumes["tls"] == {"name": "tls", "secret": {"secretName": "brain-tls", "defaultMode": 0o440}}
    annotations = workload("brain").manifest["spec"]["template"]["metadata"]["annotations"]
    assert set(annotations) == {names.REVISION}


def test_rendering_twice_gives_the_same_and_shares_nothing_with_the_plan() -> None:
    plan = planned()
    first = render_kubernetes(plan, OPTIONS)
    before = json.dumps([child.manifest for child in first])
    for child in render_kubernetes(plan, OPTIONS):
        child.manifest["metadata"]["labels"].clear()  # type: ignore[attr-defined]
        if "data" in child.manifest:
            child.manifest["data"].clear()  # type: ignore[attr-defined]
    assert json.dumps([child.manifest for child in first]) == before
    assert json.dumps([child.manifest for child in render_kubernetes(plan, OPTIONS)]) == before


def test_peers_are_found_under_the_names_of_their_phases() -> None:
    renamed = STACK.replace("name: execution\n", "name: hands\n")
    plan = planned(stack=renamed)
    assert environment("brain", plan)["TITAN_PEERS"] == (
        "marketdata=marketdata.trading.svc:3210,execution=hands.trading.svc:3012"
    )
    assert ("StatefulSet", "hands") in rendered(plan)
    assert (
        names.labels("hands", "execution").items()
        <= rendered(plan)["StatefulSet", "hands"].manifest["metadata"]["labels"].items()
    )
