"""Rows of requests: refused ones with their policy, and admitted ones."""

from __future__ import annotations

from support.cluster.admission_fixture import (
    BOB,
    DATA,
    DATAS,
    DORA,
    HOME,
    LISTED,
    NODE,
    NODES,
    OPERATORS,
    STACK,
    STRANGER,
    TESS,
    container,
    image,
    path_of,
    pod_spec,
    workload,
)
from support.cluster.admission_requests import (
    BAD,
    BINDING,
    EPHEMERAL,
    EVICTION,
    FOREIGN,
    GOOD,
    HOST_PATH,
    HOST_VOLUME,
    MASTERS,
    NAMESPACES,
    NOTE,
    OPERATORS_OWN,
    POD,
    POLICY,
    PRIVILEGED,
    PROTECT,
    PROVISIONER,
    REPLICAS,
    REPLICASET,
    REPLICASETS,
    REVISION,
    STATUS,
    TAG,
    UNPROTECT,
    VOLUME,
    VOLUMES,
    AdmissionRequest,
    act,
    armed_policy,
    ceiling,
    creates,
    deletes,
    enters,
    patches,
    token,
    token_secret,
    trust_policy,
    verified,
)
from support.cluster.as_user import OPERATOR, controller

# description, policy, what the message names, request
DENIED = [
    ("a digest that nobody listed", "titan-images", STRANGER, creates(OPERATOR, "Deployment", pod_spec(BAD))),
    ("a tag", "titan-images", TAG, creates(OPERATOR, "Deployment", pod_spec(TAG))),
    (
        "a listed digest as a tag's text",
        "titan-images",
        "a:sha256",
        creates(OPERATOR, "Deployment", pod_spec("a:sha256-" + "a" * 64)),
    ),
    (
        "an init container",
        "titan-images",
        STRANGER,
        creates(OPERATOR, "StatefulSet", pod_spec(GOOD, initContainers=[container(BAD, "init")])),
    ),
    ("an image volume", "titan-images", STRANGER, creates(OPERATOR, "Deployment", pod_spec(GOOD, **VOLUME))),
    *(
        (f"in a {kind}", "titan-images", STRANGER, creates(user, kind, pod_spec(BAD)))
        for kind, user in (
            ("Pod", REPLICASETS),
            ("ReplicaSet", controller("deployment-controller")),
            ("Job", OPERATOR),
            ("Job", controller("cronjob-controller")),
        )
    ),
    *(
        (f"in a {kind}", "titan-images", STRANGER, creates(OPERATOR, kind, pod_spec(BAD), groups=MASTERS))
        for kind in ("DaemonSet", "CronJob", "ReplicationController", "PodTemplate")
    ),
    (
        "an ephemeral container, by who may debug",
        "titan-images",
        STRANGER,
        patches(DORA, "pods", POD, EPHEMERAL, "ephemeralcontainers"),
    ),
    (
        "a pod's image changed",
        "titan-images",
        STRANGER,
        patches(REPLICASETS, "pods", POD, {"spec": {"containers": [container(BAD)]}}),
    ),
    (
        "a Deployment's image changed",
        "titan-images",
        STRANGER,
        patches(OPERATOR, "deployments", "brain", {"spec": {"template": {"spec": pod_spec(BAD)}}}),
    ),
    (
        "PostgreSQL's image in a stack",
        "titan-images",
        DATAS,
        creates(OPERATOR, "Deployment", pod_spec(image(DATAS))),
    ),
    ("the operator's own namespace", "titan-images-operator", LISTED, creates("", "Deployment", pod_spec(GOOD), HOME)),
    ("a data namespace", "titan-images-data", LISTED, creates("", "Deployment", pod_spec(GOOD), DATA)),
    ("a foreign command on a listed image", "titan-writers", BOB, creates(BOB, "Deployment", FOREIGN)),
    ("a Deployment by an administrator", "titan-writers", "admin", creates("", "Deployment", pod_spec(GOOD))),
    ("a pod by somebody", "titan-writers", BOB, creates(BOB, "Pod", pod_spec(GOOD))),
    (
        "a pod by the operator itself: it makes none",
        "titan-writers",
        "pods",
        AdmissionRequest(OPERATOR, "POST", path_of("pods"), workload("Pod", pod_spec(GOOD)), MASTERS),
    ),
    ("a ReplicaSet by somebody", "titan-writers", BOB, creates(BOB, "ReplicaSet", pod_spec(GOOD))),
    ("a Job by somebody", "titan-writers", BOB, creates(BOB, "Job", pod_spec(GOOD))),
    ("what a StatefulSet's pods are made from", "titan-writers", BOB, deletes(BOB, "controllerrevisions", REVISION)),
    (
        "a command added",
        "titan-writers",
        BOB,
        patches(BOB, "deployments", "brain", {"spec": {"template": {"spec": FOREIGN}}}),
    ),
    ("a second Execution", "titan-writers", BOB, patches(BOB, "statefulsets", "execution", REPLICAS, "scale")),
    ("a ReplicaSet changed", "titan-writers", BOB, patches(BOB, "replicasets", REPLICASET, REPLICAS)),
    ("a Deployment deleted", "titan-writers", BOB, deletes(BOB, "deployments", "brain")),
    ("a pod deleted", "titan-writers", BOB, deletes(BOB, "pods", POD)),
    (
        "a pod evicted",
        "titan-writers",
        BOB,
        AdmissionRequest(BOB, "POST", path_of("pods", name=POD, subresource="eviction"), EVICTION),
    ),
    (
        "a pod bound to a machine",
        "titan-writers",
        BOB,
        AdmissionRequest(BOB, "POST", path_of("pods", name=POD, subresource="binding"), BINDING),
    ),
    (
        "a pod's state forged",
        "titan-writers",
        BOB,
        patches(BOB, "pods", POD, {"status": {"podIP": "10.6.6.6"}}, "status"),
    ),
    *(
        (f"{what} in the operator's namespace", "titan-writers-operator", BOB, request)
        for what, request in (
            ("the operator changed", AdmissionRequest(BOB, "PATCH", OPERATORS_OWN, NOTE)),
            ("the operator doubled", AdmissionRequest(BOB, "PATCH", f"{OPERATORS_OWN}/scale", REPLICAS)),
            ("the operator deleted", AdmissionRequest(BOB, "DELETE", OPERATORS_OWN)),
            (
                "the operator's state forged",
                AdmissionRequest(BOB, "PATCH", f"{OPERATORS_OWN}/status", {"status": {"replicas": 1}}),
            ),
        )
    ),
    (
        "a Deployment in the operator's namespace",
        "titan-writers-operator",
        BOB,
        creates(BOB, "Deployment", pod_spec(image(OPERATORS)), HOME),
    ),
    (
        "the ceiling's file",
        "titan-configuration",
        "brain-live",
        patches(BOB, "configmaps", "brain-live", {"data": {"posture_ceiling": "ARMED"}}),
    ),
    (
        "the operator's label taken off",
        "titan-configuration",
        "brain-live",
        patches(BOB, "configmaps", "brain-live", {"metadata": {"labels": None}}),
    ),
    (
        "a key replaced",
        "titan-configuration",
        "brain-tls",
        patches(BOB, "secrets", "brain-tls", {"data": {"key.pem": "eA=="}}),
    ),
    ("the trust policy by somebody", "titan-configuration", "loosen", trust_policy(BOB)),
    ("the trust policy by a trader of a stack", "titan-configuration", "titan-trust-policy", trust_policy(TESS)),
    ("a configuration deleted", "titan-configuration", "configmaps", deletes(BOB, "configmaps", "brain-live")),
    *((f"pods/{sub}", "titan-interactive", "debug", enters(BOB, sub)) for sub in ("exec", "attach", "portforward")),
    ("pods/proxy", "titan-interactive", "debug", enters(BOB, "proxy")),
    (
        "an ephemeral container of a listed image",
        "titan-interactive",
        "debug",
        patches(BOB, "pods", POD, {"spec": {"ephemeralContainers": [container(GOOD, "d")]}}, "ephemeralcontainers"),
    ),
    (
        "a token",
        "titan-interactive",
        "debug",
        AdmissionRequest(BOB, "POST", path_of("serviceaccounts", name="default", subresource="token"), token()),
    ),
    (
        "the operator's token",
        "titan-interactive",
        HOME,
        AdmissionRequest(BOB, "POST", path_of("serviceaccounts", HOME, "titan-operator", "token"), token()),
    ),
    (
        "a token that the cluster fills in",
        "titan-interactive",
        "token",
        AdmissionRequest(BOB, "POST", path_of("secrets"), token_secret()),
    ),
    ("a protected Secret deleted", "titan-protected", "release", deletes(BOB, "secrets", "account")),
    (
        "protected ones deleted as a collection",
        "titan-protected",
        "account",
        AdmissionRequest(BOB, "DELETE", path_of("secrets") + "?fieldSelector=metadata.name=account"),
    ),
    (
        "a stack's pods deleted with its protected namespace",
        "titan-protected",
        "drained",
        deletes(NAMESPACES, "pods", POD),
    ),
    ("the namespace deleted", "titan-protected", STACK, AdmissionRequest(BOB, "DELETE", f"/api/v1/namespaces/{STACK}")),
    ("protection taken off", "titan-protected", "release", patches(BOB, "secrets", "account", UNPROTECT)),
    (
        "protection of the namespace taken off",
        "titan-protected",
        STACK,
        AdmissionRequest(BOB, "PATCH", f"/api/v1/namespaces/{STACK}", UNPROTECT),
    ),
    ("protection put on by somebody", "titan-protected", BOB, patches(BOB, "serviceaccounts", "default", PROTECT)),
    (
        "our finalizer taken off",
        "titan-protected",
        "release",
        patches(BOB, "titanphases", "brain", {"metadata": {"finalizers": None}}),
    ),
    ("a higher ceiling", "titan-loosening", "loosen", ceiling(BOB, "ARMED")),
    (
        "a new policy above CLOSE_ONLY",
        "titan-loosening",
        "loosen",
        AdmissionRequest(BOB, "POST", path_of("riskpolicies"), armed_policy()),
    ),
    ("arming without the verb", "titan-loosening", "arm", act(BOB, "arm", BOB)),
    ("arming in another's name", "titan-loosening", "bob", act(TESS, "arm", BOB)),
    ("halting in another's name", "titan-loosening", "tess", act(BOB, "halt", TESS)),
    ("releasing without the verb", "titan-loosening", "release", act(BOB, "release", BOB)),
    ("arming by who may only debug", "titan-loosening", "arm", act(DORA, "arm", DORA)),
    (
        "a status by somebody",
        "titan-status",
        "status",
        patches(BOB, "riskpolicies", POLICY, {"status": {"equity": "1"}}, "status"),
    ),
    (
        "a phase's status by an administrator",
        "titan-status",
        "status",
        patches("", "titanphases", "brain", {"status": {"allocation": "20"}}, "status"),
    ),
    (
        "the list, by an administrator",
        "titan-verified-images",
        "admin",
        AdmissionRequest("", "PATCH", path_of("verifiedimages", "", "titan"), {"spec": {"images": []}}),
    ),
    (
        "a second list",
        "titan-verified-images",
        BOB,
        AdmissionRequest(BOB, "POST", path_of("verifiedimages", ""), verified("other")),
    ),
    (
        "the list deleted",
        "titan-verified-images",
        BOB,
        AdmissionRequest(BOB, "DELETE", path_of("verifiedimages", "", "titan")),
    ),
    (
        "a kind of Titan deleted",
        "titan-verified-images",
        "release",
        AdmissionRequest(BOB, "DELETE", path_of("customresourcedefinitions", "", "riskpolicies.titan.trading")),
    ),
    ("a volume of a host's path", "titan-host-volumes", "debug", AdmissionRequest(BOB, "POST", VOLUMES, HOST_VOLUME)),
    ("a privileged pod anywhere", "titan-host", "privileged", creates(BOB, "Pod", PRIVILEGED, "default")),
    ("a host path anywhere", "titan-host", "host path", creates(BOB, "Pod", {**pod_spec(TAG), **HOST_PATH}, "default")),
    (
        "a host's namespace anywhere",
        "titan-host",
        "namespace of its host",
        creates(BOB, "Pod", pod_spec(TAG, hostPID=True), "default"),
    ),
]


# description, request
ADMITTED = [
    ("a volume of a host's path, by a provisioner", AdmissionRequest(PROVISIONER, "POST", VOLUMES, HOST_VOLUME)),
    ("a listed digest, by the operator", creates(OPERATOR, "Deployment", pod_spec(GOOD))),
    ("the same digest from another registry", creates(OPERATOR, "Deployment", pod_spec(f"mirror.example/t@{LISTED}"))),
    (
        "a listed digest in every place",
        creates(
            OPERATOR,
            "StatefulSet",
            pod_spec(
                GOOD, initContainers=[container(GOOD, "init")], volumes=[{"name": "v", "image": {"reference": GOOD}}]
            ),
        ),
    ),
    ("a ReplicaSet by its controller", creates(controller("deployment-controller"), "ReplicaSet", pod_spec(GOOD))),
    ("a pod by its controller", creates(REPLICASETS, "Pod", pod_spec(GOOD))),
    ("a Deployment by the operator", patches(OPERATOR, "deployments", "brain", NOTE)),
    ("a pod deleted by the operator", deletes(OPERATOR, "pods", POD)),
    ("a pod deleted by who may debug", deletes(DORA, "pods", POD)),
    ("a pod reported by its node", patches(NODE, "pods", POD, STATUS, "status", NODES)),
    ("a pod deleted by its node", AdmissionRequest(NODE, "DELETE", path_of("pods", name=POD), None, NODES)),
    (
        "a token for a node's pod",
        AdmissionRequest(NODE, "POST", path_of("serviceaccounts", name="default", subresource="token"), token(), NODES),
    ),
    ("exec by who may debug", enters(DORA, "exec")),
    (
        "a person's own ConfigMap",
        AdmissionRequest(
            BOB, "POST", path_of("configmaps"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
        ),
    ),
    (
        "a person's own Secret",
        AdmissionRequest(
            BOB, "POST", path_of("secrets"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}}
        ),
    ),
    ("a protected Secret deleted by who may release", deletes(TESS, "secrets", "account")),
    ("protection taken off by who may release", patches(TESS, "secrets", "account", UNPROTECT)),
    ("protection taken off by the operator", patches(OPERATOR, "secrets", "account", UNPROTECT)),
    (
        "our finalizer taken off by who may release",
        patches(TESS, "titanphases", "brain", {"metadata": {"finalizers": None}}),
    ),
    ("a phase changed by somebody", patches(BOB, "titanphases", "brain", {"spec": {"suspend": True}})),
    ("phases deleted with their namespace", deletes(NAMESPACES, "titanphases", "brain")),
    ("a lower ceiling by somebody", ceiling(BOB, "HALTED")),
    ("the same ceiling by somebody", ceiling(BOB, "CLOSE_ONLY")),
    ("a higher ceiling by who may loosen", ceiling(TESS, "ARMED")),
    *((f"{verb} by somebody in the own name", act(BOB, verb, BOB)) for verb in ("closeOnly", "halt", "flatten")),
    *((f"{verb} by who may", act(TESS, verb, TESS)) for verb in ("arm", "release")),
    ("a status by the operator", patches(OPERATOR, "riskpolicies", POLICY, {"status": {"equity": "200"}}, "status")),
    (
        "a status by the operator, of a phase",
        patches(OPERATOR, "titanphases", "brain", {"status": {"allocation": "20"}}, "status"),
    ),
    (
        "the list by the operator",
        AdmissionRequest(
            OPERATOR, "PATCH", path_of("verifiedimages", "", "titan"), {"spec": {"images": [{"digest": LISTED}]}}
        ),
    ),
    ("the operator's chart upgraded by an administrator", creates("", "Deployment", pod_spec(image(OPERATORS)), HOME)),
    ("PostgreSQL by anybody, in a data namespace", creates(BOB, "StatefulSet", pod_spec(image(DATAS)), DATA)),
    ("the trust policy by an administrator", trust_policy("")),
    ("another ConfigMap beside the operator", trust_policy(BOB, "notes")),
    ("a ConfigMap of that name elsewhere", trust_policy(BOB, namespace="default")),
    ("anything elsewhere", creates(BOB, "Deployment", pod_spec(TAG), "default")),
    ("an ordinary pod elsewhere", creates(BOB, "Pod", pod_spec(TAG), "default")),
    ("a privileged pod in an exempt namespace", creates(BOB, "Pod", PRIVILEGED, "kube-system")),
]
