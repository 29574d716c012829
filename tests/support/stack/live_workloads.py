"""Rendered workloads of the example stack, and how an API server has them."""

from __future__ import annotations

import copy
from typing import Any

from support.cluster.managed_fields import live
from support.stack.plans import OPTIONS, planned
from titan_operator.api.names import RENDERED_BY
from titan_operator.render.kubernetes import render_kubernetes

Object = dict[str, Any]


def child(kind: str, name: str) -> Object:
    children = render_kubernetes(planned(), OPTIONS)
    return copy.deepcopy(dict(next(item.manifest for item in children if (item.kind, item.name) == (kind, name))))


def brain() -> Object:
    return child("Deployment", "brain")


def execution() -> Object:
    return child("StatefulSet", "execution")


def pod(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Object) -> Object:
    one: Object = pod(workload)["containers"][0]
    return one


def variable(workload: Object, name: str) -> Object:
    return next(item for item in container(workload)["env"] if item["name"] == name)


def with_defaults(workload: Object) -> Object:
    """Return a workload with the API server's defaults."""
    made = live(workload)
    made["metadata"] |= {"generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    made["status"] = {"replicas": 1}
    made["spec"] |= {"progressDeadlineSeconds": 600}
    made["spec"]["template"]["metadata"]["creationTimestamp"] = None
    pod(made).update({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler"})
    container(made).update({"terminationMessagePath": "/dev/termination-log"})
    container(made)["readinessProbe"]["successThreshold"] = 1
    return made


def env_fields(name: str, *fields: str) -> Object:
    item = {f'k:{{"name":"{name}"}}': {**{f"f:{field}": {} for field in fields}}}
    containers = {'k:{"name":"brain"}': {"f:env": item}}
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": containers}}}}


def upgraded(workload: Object) -> Object:
    """Return the same revision as a newer operator renders it."""
    newer = copy.deepcopy(workload)
    newer["metadata"]["annotations"][RENDERED_BY] = "2.0.0"
    container(newer)["livenessProbe"]["periodSeconds"] = 20
    container(newer)["env"].append({"name": "PYTHONSAFEPATH", "value": "1"})
    newer["spec"]["revisionHistoryLimit"] = 5
    return newer
