"""Pure: retry pods that admission refused before their image was listed.

Their controllers back off after each refusal, up to a quarter of an hour. A new annotation wakes a StatefulSet's
controller at once. A Deployment's annotation is copied to its ReplicaSet, whose controller wakes as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan_operator.api.names import GROUP
from titan_operator.reconcile.effects import Annotate
from titan_operator.reconcile.observed import Observed

# Annotation with the cause of the retry: the time of the first refusal. A StatefulSet has none: there it is a count.
NUDGED = f"{GROUP}/nudged"
# Key of the controller's clock for a StatefulSet without a pod.
POD = "pod"


def pod_retries(observed: Observed) -> list[Annotate]:
    """Annotate a workload once for each series of refusals, as soon as admission admits its images.

    A StatefulSet without a pod is annotated after two seconds, and each time that the waiting time has doubled.
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
    """Name the StatefulSets that should have a pod and have none."""
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
