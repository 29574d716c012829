"""Pure: workloads whose pods were refused before their image was listed, and which need not be any more.

Their controllers back off after each refusal, up to a quarter of an hour. A new annotation wakes a StatefulSet's at
once, and a Deployment's is copied to its ReplicaSet, which does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan_operator.api.names import GROUP
from titan_operator.reconcile.effects import Annotate
from titan_operator.reconcile.observed import Observed

# What it was woken for: since when its pods were refused; for a StatefulSet, which does not say, how often.
NUDGED = f"{GROUP}/nudged"
# What is waited for, where a StatefulSet has no pod.
POD = "pod"


def pod_retries(observed: Observed) -> list[Annotate]:
    """Once for each time that pods began to be refused, when admission admits their images.

    A StatefulSet without a pod is woken after two seconds, and each time that the time has doubled.
    """
    if observed.admission:
        return []
    return [
        Annotate(kind, name, NUDGED, wanted)
        for (kind, name), child in observed.children.items()
        if (wanted := _wanted(kind, name, child, observed))
        and (child["metadata"].get("annotations") or {}).get(NUDGED) != wanted
        and all(digest in observed.listed for digest in _digests(child))
    ]


def without_pod(observed: Observed) -> list[str]:
    """Names of StatefulSets that should have a pod and have none."""
    return [
        name
        for (kind, name), child in observed.children.items()
        if kind == "StatefulSet" and child["spec"].get("replicas", 1) and not observed.pods_of(name)
    ]


def _wanted(kind: str, name: str, child: Mapping[str, Any], observed: Observed) -> str:
    if kind == "Deployment":
        return _refused_since(child)
    if kind != "StatefulSet" or name not in without_pod(observed):
        return ""
    doublings = int(observed.waited_s.get((name, POD), 0.0)).bit_length() - 1
    return str(doublings) if doublings > 0 else ""


def _digests(workload: Mapping[str, Any]) -> list[str]:
    pod = workload["spec"]["template"]["spec"]
    return [item["image"].rpartition("@")[2] for item in (*pod["containers"], *(pod.get("initContainers") or ()))]


def _refused_since(deployment: Mapping[str, Any]) -> str:
    conditions = deployment.get("status", {}).get("conditions", ())
    return next(
        (
            str(item["lastTransitionTime"])
            for item in conditions
            if (item["type"], item["status"]) == ("ReplicaFailure", "True")
        ),
        "",
    )
