"""The control plane itself: started by hand, real users, and nothing left of it, however it ends."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from testcluster.controlplane import ClusterError, ControlPlane, end_leftovers

from support.stack.titan_up import alive, wait_until_gone

CLUSTER = Path(__file__).resolve().parents[3] / "ci" / "cluster"
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager")


def pids(folder: Path) -> dict[str, int]:
    return {file.stem: int(file.read_text().split()[0]) for file in folder.glob("*.pid")}


def run_by_hand(folder: Path) -> subprocess.Popen[str]:
    """``ci/cluster run`` as a person starts it, once it is ready."""
    process = subprocess.Popen(
        [CLUSTER, "run", "--folder", folder], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("export KUBECONFIG=")
    return process


def test_it_starts_by_hand_and_a_killed_one_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / "plane"
    with run_by_hand(folder) as first:
        parts = pids(folder)
        assert set(parts) == set(PARTS)
        first.kill()
    assert wait_until_gone(list(parts.values())) == []
    # Its files are there still; the next one starts all the same, on data of its own.
    with run_by_hand(folder) as second:
        again = pids(folder)
        assert not set(again.values()) & set(parts.values())
        second.send_signal(signal.SIGINT)
        assert second.wait(120) == 0
    assert [pid for pid in again.values() if alive(pid)] == []
    assert not pids(folder)


def test_what_a_killed_one_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as left, subprocess.Popen(["sleep", "600"]) as stranger:
        started = Path(f"/proc/{left.pid}/stat").read_text().rpartition(")")[2].split()[19]
        (tmp_path / "etcd.pid").write_text(f"{left.pid} {started}")
        # This number was given to another process since.
        (tmp_path / "kube-apiserver.pid").write_text(f"{stranger.pid} 1")
        assert end_leftovers(tmp_path) == ["etcd"]
        assert left.wait(60) == -signal.SIGKILL
        assert stranger.poll() is None
        assert not list(tmp_path.iterdir())
        stranger.kill()


def test_a_part_that_cannot_start_is_named_with_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = ControlPlane(tmp_path / "plane")
    script = tmp_path / "kube-apiserver"
    script.write_text("#!/bin/sh\necho this is why >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setitem(plane.tools, "kube-apiserver", script)
    with pytest.raises(ClusterError, match=r"(?s)^kube-apiserver ended with 3:\nthis is why"), plane:
        pass
    assert not pids(tmp_path / "plane")


def test_users_are_who_their_certificates_and_tokens_say(cluster: ControlPlane, namespace: str) -> None:
    ana = cluster.kubeconfig("ana", ("traders",))
    who = cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo}", kubeconfig=ana).stdout
    assert '"username":"ana"' in who
    assert "traders" in who
    with pytest.raises(ClusterError, match='User "ana" cannot list resource "pods"'):
        cluster.kubectl("get", "pods", "-n", namespace, kubeconfig=ana)
    account = cluster.service_account(namespace, "default")
    name = cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", kubeconfig=account).stdout
    assert name == f"system:serviceaccount:{namespace}:default"


def test_the_audit_keeps_who_did_what_to_our_resources(cluster: ControlPlane, namespace: str) -> None:
    cluster.kubectl("get", "titanphases", "-n", namespace, "--as=ana", check=False)
    found = [
        event
        for event in cluster.audit()
        # A list over all namespaces has none.
        if {"resource": "titanphases", "namespace": namespace}.items() <= event.get("objectRef", {}).items()
    ]
    assert found
    assert {event["impersonatedUser"]["username"] for event in found} == {"ana"}
    assert {event["responseStatus"]["code"] for event in found} == {403}


def test_what_was_written_outlives_api_server_and_datastore(cluster: ControlPlane, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=1", "-n", namespace)
    before = pids(cluster.folder)
    cluster.restart_apiserver(kill=True)
    cluster.restart_datastore()
    after = pids(cluster.folder)
    assert {name for name in PARTS if before[name] != after[name]} == {"kube-apiserver", "etcd"}
    assert all(alive(pid) for pid in after.values())
    assert cluster.kubectl("get", "configmap", "kept", "-n", namespace, "-o", "jsonpath={.data.a}").stdout == "1"
