"""kstatus of a custom resource, as Flux and `helm --wait` compute it.

Source: sigs.k8s.io/cli-utils pkg/kstatus: deletion, then the generation, then Reconciling and Stalled in the order in
which they are written, then Ready. A resource without any of these counts as current.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CURRENT, IN_PROGRESS, FAILED, TERMINATING = "Current", "InProgress", "Failed", "Terminating"


def kstatus(obj: Mapping[str, Any]) -> tuple[str, str]:
    """``(status, message)`` of an object, status included."""
    if obj["metadata"].get("deletionTimestamp"):
        return TERMINATING, "Resource scheduled for deletion"
    status = obj.get("status") or {}
    generation, observed = obj["metadata"].get("generation"), status.get("observedGeneration")
    if generation is not None and observed is not None and generation != observed:
        said = f"{obj['kind']} generation is {generation}, but latest observed generation is {observed}"
        return IN_PROGRESS, said
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            found = IN_PROGRESS if condition["type"] == "Reconciling" else FAILED
            return found, condition.get("message", "")
    for condition in conditions:
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return CURRENT, "Resource is Ready"
            return IN_PROGRESS, condition.get("message", "")
    return CURRENT, "Resource is current"
