"""Namespace desk under the admission chart, for ``kubectl titan``: its people, its resources, the operator's hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.objects import HASH, IMAGE, RULES

DESK = "desk"
DEMO = "demo-3e1725d5"
OPERATOR = "system:serviceaccount:titan-system:titan-operator"
# Who is there: ana writes stacks, tom trades too, pia may reach processes, dee may enter them too, eve may nothing.
PEOPLE = {
    "ana": ("author",),
    "tom": ("author", "trader"),
    "olaf": ("author", "risk-officer"),
    "pia": ("author", "proxy"),
    "dee": ("author", "proxy", "debugger"),
    "eve": (),
}
ROLES = {
    "author": [("titan.trading", ["riskpolicies", "titanphases"], ["get", "list", "patch"])],
    "trader": [("titan.trading", ["riskpolicies"], ["arm", "loosen", "release"])],
    "risk-officer": [("titan.trading", ["riskpolicies"], ["rebase"])],
    "debugger": [("titan.trading", ["riskpolicies"], ["debug"])],
    "proxy": [("", ["services/proxy"], ["get"])],
}
Run = Callable[..., tuple[int, str, str]]


def policy_manifest(name: str = DEMO, posture: str = "CLOSE_ONLY", rules: dict[str, Any] = RULES) -> dict[str, Any]:
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "RiskPolicy",
        "metadata": {"name": name, "namespace": DESK},
        "spec": {"rules": rules, "hash": HASH, "posture": posture},
    }


def phase_manifest(role: str, pin: str | None = DEMO) -> dict[str, Any]:
    spec: dict[str, Any] = {"role": role, "image": IMAGE}
    if pin is None:
        spec |= {"symbols": ["BTC/USDT"], "parameters": {"source": "simulated", "seed": 1}}
    else:
        spec |= {"policyRef": {"name": pin, "hash": HASH}, "mode": "paper"}
    return {
        "apiVersion": "titan.trading/v1alpha1",
        "kind": "TitanPhase",
        "metadata": {"name": role, "namespace": DESK},
        "spec": spec,
    }


class Stage:
    """The namespace, and the operator's hand in it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self._operator = plane.kubeconfig(OPERATOR, ("system:masters",))

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def clear(self) -> None:
        self.plane.kubectl("delete", "titanphases,riskpolicies", "--all", "-n", DESK)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        plural = {"riskpolicy": "riskpolicies", "titanphase": "titanphases"}[kind]
        return self.plane.call("GET", f"/apis/titan.trading/v1alpha1/namespaces/{DESK}/{plural}/{name}")

    def say(self, kind: str, name: str, **status: Any) -> None:
        """Write a status as the operator does."""
        live = self.get(kind, name)
        body = {"status": {"observedGeneration": live["metadata"]["generation"], **status}}
        self.plane.kubectl(
            "patch", kind, name, "-n", DESK, "--subresource=status", "--type=merge", "-p", json.dumps(body),
            kubeconfig=self._operator,
        )  # fmt: skip

    @contextmanager
    def answering(self, outcome: str, message: str, posture: dict[str, Any], name: str = DEMO) -> Iterator[None]:
        """Answer the next new act on a policy: the act first and the posture a moment after, as the operator does."""
        stop, before = threading.Event(), self._nonce(name)

        def operator() -> None:
            while not stop.is_set():
                act = self.get("riskpolicy", name)["spec"].get("act", {})
                if act.get("nonce", before) != before:
                    answer = {"nonce": act["nonce"], "verb": act["verb"], "outcome": outcome, "message": message}
                    self.say("riskpolicy", name, act=answer)
                    self.say("riskpolicy", name, posture=posture)
                    return
                stop.wait(0.05)

        thread = threading.Thread(target=operator)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _nonce(self, name: str) -> str | None:
        nonce: str | None = self.get("riskpolicy", name)["spec"].get("act", {}).get("nonce")
        return nonce


def conditions(*found: dict[str, str]) -> list[dict[str, Any]]:
    return [{**one, "lastTransitionTime": "2026-01-01T00:00:00Z"} for one in found]


HALTED = {"ceiling": "CLOSE_ONLY", "latch": "HALTED", "inForce": "HALTED", "workingOrders": 2, "openPositions": 1}
ACKNOWLEDGED = "acknowledged by Execution: HALTED, 2 working orders, 1 open positions"
