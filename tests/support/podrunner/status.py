"""Pure: a pod's status from what its containers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.podrunner.api import Object
from support.podrunner.container import Container

NODE_ADDRESS = "127.0.0.1"


def pod_status(
    before: Object,
    containers: Sequence[Container],
    init: Sequence[Container],
    address: str,
    since: str,
    at: str,
    refused: str = "",
) -> dict[str, Any]:
    """The status to write.

    Parameters
    ----------
    before
        Status as it is known: conditions that stay the same keep their times.
    since, at
        When the pod was seen first, and now.
    refused
        Why the runner does not run it.
    """
    phase = _phase(containers, init)
    initialized = all(item.exit_code == 0 for item in init)
    all_ready = bool(containers) and all(item.ready for item in containers) and phase == "Running"
    names = ", ".join(item.name for item in containers if not item.ready)
    unready = ("ContainersNotReady", f"containers with unready status: [{names}]")
    if phase == "Succeeded":
        unready = ("PodCompleted", "")
    conditions: list[tuple[str, bool, tuple[str, str]]] = [
        ("PodScheduled", True, ("", "")),
        ("Initialized", initialized, ("ContainersNotInitialized", "")),
        ("ContainersReady", all_ready, unready),
        ("Ready", all_ready, unready),
    ]
    known = {item["type"]: item for item in before.get("conditions") or ()}
    status: dict[str, Any] = {
        "phase": phase,
        "message": refused or None,
        "reason": "Refused" if refused else None,
        "hostIP": NODE_ADDRESS,
        "startTime": since,
        "conditions": [_condition(known.get(kind), kind, holds, why, at) for kind, holds, why in conditions],
        "containerStatuses": [_container(item) for item in containers],
    }
    if init:
        status["initContainerStatuses"] = [_container(item) for item in init]
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return status


def _phase(containers: Sequence[Container], init: Sequence[Container]) -> str:
    codes = [item.exit_code for item in containers]
    if any(item.exit_code not in (None, 0) for item in init):
        return "Failed"
    if all(code is not None for code in codes):
        return "Failed" if any(codes) else "Succeeded"
    return "Running" if all("waiting" not in item.state or item.last for item in containers) else "Pending"


def _condition(known: Object | None, kind: str, holds: bool, why: tuple[str, str], at: str) -> Object:
    status = "True" if holds else "False"
    since = known["lastTransitionTime"] if known and known["status"] == status else at
    condition = {"type": kind, "status": status, "lastTransitionTime": since}
    return condition if holds else condition | {"reason": why[0], "message": why[1]}


def _container(container: Container) -> Object:
    image = container.spec["image"]
    return {
        "name": container.name,
        "state": container.state,
        "lastState": container.last,
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "image": image,
        "imageID": image if "@" in image else "",
        "containerID": f"process://{container.process.pid}" if container.process else "",
    }
