"""Render all objects of a stack, and the workloads themselves."""

from __future__ import annotations

from titan_operator.api import names
from titan_operator.planning.plan import Plan, Workload
from titan_operator.planning.roles import START_ORDER
from titan_operator.render.kubernetes.network import default_deny, migration_policy, role_policy
from titan_operator.render.kubernetes.objects import (
    STAGE_MOUNTED,
    STAGE_PROCESSES,
    Child,
    KubernetesOptions,
    Manifest,
    child,
    claim_spec,
    configs,
    policy_config,
    service,
    service_account,
    state_claim,
)
from titan_operator.render.kubernetes.pods import migration_template, pod_template
from titan_operator.render.revision import content_name


def render_kubernetes(plan: Plan, options: KubernetesOptions) -> tuple[Child, ...]:
    """Return the objects of ``plan`` by stage: guards, mounted objects, then each process after its peers.

    Secrets are not among them (:func:`titan_operator.api.names.tls_secret` names them): keys are made, not planned. No
    object has an owner: foreground deletion would remove Execution before it has drained.
    """
    children = [default_deny(options), policy_config(plan, options)]
    for workload in plan.workloads:
        children += [
            service_account(workload, options),
            role_policy(workload, plan, options),
            *configs(workload, options),
            service(workload, options),
            _workload(workload, plan, options),
        ]
        if workload.database:
            children += [migration_policy(workload, options), migration(workload, options)]
        claim = state_claim(workload, options)
        if claim is not None:
            children.append(claim)
    return tuple(sorted(children, key=lambda item: item.stage))


def migration(workload: Workload, options: KubernetesOptions) -> Child:
    """Render the Job that upgrades the tables of ``workload`` in its database, before its image starts on them."""
    template = migration_template(workload)
    manifest: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": names.migration_job(workload.name, content_name(template["spec"]))},
        # Enough retries for a database that is away for some hours: the pauses grow.
        "spec": {"backoffLimit": 100, "template": template},
    }
    return child(manifest, options, workload, STAGE_MOUNTED)


def _workload(workload: Workload, plan: Plan, options: KubernetesOptions) -> Child:
    spec: Manifest = {
        "replicas": 1,
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": names.selector(workload.name)},
        "template": pod_template(workload, plan, options),
    }
    stage = STAGE_PROCESSES + START_ORDER.index(workload.role)
    execution = workload.role == "execution"
    if execution:
        kind = "StatefulSet"
        spec |= {
            "serviceName": workload.name,
            # The operator replaces the pod itself, once it has drained.
            "updateStrategy": {"type": "OnDelete"},
            "volumeClaimTemplates": [_claim_template(workload)],
        }
    else:
        kind = "Deployment"
        spec["strategy"] = _strategy(workload)
    manifest = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": workload.name}, "spec": spec}
    return child(manifest, options, workload, stage, protected=execution, runs_pods=True)


def _strategy(workload: Workload) -> Manifest:
    if workload.storage:
        # Two pods on one volume are two writers, even for a moment.
        return {"type": "Recreate"}
    # Never two of a role at once: its peers know one address.
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def _claim_template(workload: Workload) -> Manifest:
    metadata = {
        "name": names.STATE_VOLUME,
        "labels": names.labels(workload.name, workload.role),
        "annotations": {names.PROTECTED: "true"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim_spec(workload)}
