"""HTTP pages of an installation's processes, the operator's and those of stacks."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from support.cluster.installation import SYSTEM, Installation

OPERATOR_PORT = 8080
# Passes after which the operator has seen all that was there before, and has acted upon what it saw.
ENOUGH = 2

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(address: str, port: int, path: str) -> tuple[int, str]:
    """``(status, body)`` of one GET."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(address: str, port: int, name: str = "") -> Samples:
    """All samples of ``/metrics``, or those of one name, by name and labels; to read all of a page takes 20 ms."""
    status, text = page(address, port, "/metrics")
    assert status == HTTPStatus.OK, text
    if name:
        text = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(f"{name}{{"))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    """Sum over all samples of a name that carry these labels."""
    return sum(
        value for (said, carried), value in found.items() if said == name and labels.items() <= dict(carried).items()
    )


def operator_pod(at: Installation) -> dict[str, Any]:
    """The operator's pod that runs, not one on its way out."""

    def running() -> dict[str, Any] | None:
        pods = [pod for pod in at.list("pods", SYSTEM) if "deletionTimestamp" not in pod["metadata"]]
        statuses = {pod["metadata"]["uid"]: pod.get("status", {}).get("containerStatuses", []) for pod in pods}
        ready = [pod for pod in pods if any(item["ready"] for item in statuses[pod["metadata"]["uid"]])]
        return ready[0] if len(ready) == 1 else None

    found: dict[str, Any] = at.wait("the operator's pod", running)
    return found


def operator_samples(at: Installation) -> Samples:
    """The operator's metrics."""
    return samples(operator_pod(at)["status"]["podIP"], OPERATOR_PORT)


def passes(at: Installation, namespace: str, more: int = ENOUGH) -> None:
    """Wait until the operator has gone over a stack some times more; a new operator begins to count anew."""
    address = operator_pod(at)["status"]["podIP"]

    def count() -> float:
        name = "titan_operator_reconcile_seconds_count"
        return total(samples(address, OPERATOR_PORT, name), name, namespace=namespace)

    before = count()
    at.wait(f"{more} passes over {namespace}", lambda: count() >= before + more)


def log_lines(at: Installation, namespace: str, pod: str) -> list[dict[str, Any]]:
    """Return a pod's log: JSON, a line each."""
    return [json.loads(line) for line in at.runner.log(namespace, pod).splitlines()]


def kill_operator(at: Installation) -> None:
    """``kill -9``, until its pod has started it again."""

    def process() -> str:
        found: str = operator_pod(at)["status"]["containerStatuses"][0]["containerID"]
        return found

    before = process()
    at.runner.kill(SYSTEM, operator_pod(at)["metadata"]["name"])
    at.wait("another operator's process", lambda: process() != before)
