"""``kubectl titan explain``: Brain's page of decisions, through the API server's own proxy to a Service."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from testcluster.controlplane import ControlPlane

from support.cluster.objects import HASH, IMAGE
from titan.brain.status import decisions_page
from titan.cli.cluster.app import app
from titan.cli.root import run_app
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c

LABELS = {"app": "brain"}
# The endpoints controller wants a pod's node to be there.
NODE = "node-of-brain"


def own_address() -> str:
    """An address of this machine that is not loopback: the API server forwards to none that is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def decision(name: str, *, approved: bool) -> b.Decision:
    verdict = b.VERDICT_PASS if approved else b.VERDICT_REJECT
    reason = c.REASON_OK if approved else c.REASON_SCORE_TOO_LOW
    guard = b.GuardResult(number=7, name="score", value="score=0.3", limit="min=0.6", verdict=verdict, reason=reason)
    return b.Decision(
        intent_id=name, phase_id="scavenger", symbol="BTC/USDT:USDT", approved=approved, guards=[guard], reason=reason
    )


@contextmanager
def serving(*decisions: b.Decision, page: str = "/decisions") -> Iterator[int]:
    """Brain's page of these decisions; gives the port."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = decisions_page(decisions)
            found = self.path == page
            self.send_response(status if found else 404)
            self.send_header("content-type", kind if found else "text/plain")
            self.end_headers()
            self.wfile.write(body if found else b"served here: /health\n")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("0.0.0.0", 0), Pages) as server:  # the API server comes from outside loopback
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Desk:
    """A namespace with a TitanPhase brain and the Service and pod that an operator would have made."""

    def __init__(self, cluster: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.cluster, self.namespace, self._capsys = cluster, namespace, capsys
        spec = {"role": "brain", "image": IMAGE, "policyRef": {"name": "demo", "hash": HASH}, "mode": "paper"}
        self.apply(
            {"apiVersion": "titan.trading/v1alpha1", "kind": "TitanPhase", "metadata": {"name": "brain"}, "spec": spec}
        )

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.cluster.kubectl(
            "apply", "--server-side", "-n", self.namespace, "-f", "-", stdin=yaml.safe_dump_all(manifests)
        )

    def run_at(self, port: int) -> None:
        """Let the API server find the process at ``port``, by way of the cluster's own endpoints controller."""
        container = {"name": "brain", "image": IMAGE}
        ports = [{"name": "http", "port": 3100, "targetPort": port}]
        spec = {"containers": [container], "nodeName": NODE}
        self.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "brain-0", "labels": LABELS}, "spec": spec},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "brain"},
                "spec": {"selector": LABELS, "ports": ports},
            },
        )
        ready = [{"type": "Ready", "status": "True"}]
        address = own_address()
        status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready}}
        self.cluster.kubectl(
            "patch", "pod", "brain-0", "-n", self.namespace, "--subresource=status", "-p", json.dumps(status)
        )
        wanted = f"{address}:{port}"
        deadline = time.monotonic() + 20
        while wanted not in self._endpoints():
            assert time.monotonic() < deadline, f"{wanted} does not become an endpoint: {self._endpoints()}"
            time.sleep(0.1)

    def _endpoints(self) -> str:
        return self.cluster.kubectl("get", "endpoints", "brain", "-n", self.namespace, check=False).stdout

    def explain(self, *arguments: str) -> tuple[int, str, str]:
        where = ("-n", self.namespace, "--kubeconfig", str(self.cluster.admin))
        self._capsys.readouterr()
        code = run_app(app, "kubectl titan", ["explain", *arguments, *where])
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err


@pytest.fixture
def desk(cluster: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    cluster.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    )
    yield Desk(cluster, namespace, capsys)
    cluster.kubectl("delete", "node", NODE)


def test_decisions_are_explained_guard_by_guard(desk: Desk) -> None:
    with serving(decision("bbbb-refused", approved=False), decision("aaaa-taken", approved=True)) as port:
        desk.run_at(port)
        code, out, err = desk.explain()
        assert (code, err) == (0, "")
        assert out.index("aaaa-taken") < out.index("bbbb-refused")
        assert "REJECT SCORE_TOO_LOW" in out
        found = json.loads(desk.explain("bbbb", "-o", "json")[1])
        assert (found["intent_id"], found["guards"][0]["limit"]) == ("bbbb-refused", "min=0.6")
        code, _, err = desk.explain("cccc")
        assert (code, err) == (1, "titan: ID: none of the last 2 decisions has an id that begins with 'cccc'\n")


def test_a_brain_that_has_decided_nothing_or_has_no_such_page(desk: Desk) -> None:
    with serving() as port:
        desk.run_at(port)
        assert desk.explain()[2].startswith("titan: no decision yet")
    with serving(page="/else") as port:
        desk.run_at(port)
        told = desk.explain()
    assert told == (1, "", "titan: brain has no page /decisions: its image is of an earlier version\n")


def test_a_brain_that_does_not_answer_is_not_reached(desk: Desk) -> None:
    with serving() as port:
        desk.run_at(port)
    code, out, err = desk.explain()
    assert (code, out) == (3, "")
    assert err.startswith("titan: the API server cannot reach brain: error trying to reach service: ")
