"""Pure: Deployments whose pods were refused before their image was listed, and which need not be any more.

Their controller backs off after each refusal, up to minutes. A new annotation of a Deployment is copied to its
ReplicaSet, which wakes the controller at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan_operator.effects import Annotate
from titan_operator.names import GROUP
from titan_operator.world import World

# Since when its pods were refused, when it was woken.
NUDGED = f"{GROUP}/nudged"


def nudges(world: World) -> list[Annotate]:
    """Once for each time that pods began to be refused, when admission admits their images."""
    if world.admission:
        return []
    return [
        Annotate(kind, name, NUDGED, since)
        for (kind, name), child in world.children.items()
        if kind == "Deployment"
        and (since := _refused_since(child))
        and (child["metadata"].get("annotations") or {}).get(NUDGED) != since
        and all(digest in world.listed for digest in _digests(child))
    ]


def _digests(deployment: Mapping[str, Any]) -> list[str]:
    pod = deployment["spec"]["template"]["spec"]
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
