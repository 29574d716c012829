"""The node itself: real pods with limits, volumes, Services by name; and nothing left of it, however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from testcluster.node import Node
from testcluster.place import CGROUPS, Place, of_folder
from testcluster.processes import ClusterError
from testcluster.toolchain import BY_NAME, ensure

COMMAND = Path(__file__).resolve().parents[2] / "ci" / "node"
# What a stack's pods are held to.
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, image: str, *command: str, **container: Any) -> dict[str, Any]:
    """A pod of one container."""
    main = {"name": "main", "image": image, "command": list(command), "securityContext": RESTRICTED} | container
    spec = {"containers": [main], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def apply(node: Node, *objects: dict[str, Any]) -> None:
    node.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def ready(node: Node, name: str) -> None:
    node.plane.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def inside(node: Node, name: str, *command: str) -> str:
    return node.plane.kubectl("exec", name, "--", *command).stdout


def get(node: Node, *what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.plane.kubectl("get", *what, "-o", "json").stdout)
    return found


@pytest.fixture(scope="module")
def web(node: Node, image: str) -> str:
    """A pod that serves what is on its volume, behind a Service."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pages"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    server = pod(
        *("web", image, "/bin/sh", "-c", "echo kept > /pages/index.html; exec httpd -f -p 8080 -h /pages"),
        volumeMounts=[{"name": "pages", "mountPath": "/pages"}],
        resources={"limits": {"memory": "32Mi", "cpu": "200m"}},
        readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    )
    server["spec"]["volumes"] = [{"name": "pages", "persistentVolumeClaim": {"claimName": "pages"}}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "site"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    apply(node, claim, service, server, pod("client", image, "sleep", "600"))
    ready(node, "web")
    ready(node, "client")
    return "web"


@pytest.mark.usefixtures("web")
def test_a_service_is_reached_by_its_name(node: Node) -> None:
    assert inside(node, "client", "timeout", "5", "wget", "-qO-", "http://site.default.svc.cluster.local/") == "kept\n"
    # Names of others are told to be unknown, at once, and not asked for outside.
    with pytest.raises(ClusterError, match="exit code 1"):
        inside(node, "client", "timeout", "5", "nslookup", "example.org")


@pytest.mark.usefixtures("web")
def test_pods_reach_registry_and_api_server(node: Node) -> None:
    assert inside(node, "client", "timeout", "5", "wget", "-qO-", f"http://{node.registry}/v2/") == "{}"
    assert "10.96.0.1" in inside(node, "client", "nslookup", "-type=a", "kubernetes.default.svc.cluster.local")


@pytest.mark.usefixtures("web")
def test_a_claim_gets_a_volume_that_outlives_the_pod_and_goes_with_the_claim(node: Node) -> None:
    volume = get(node, "pvc", "pages")["spec"]["volumeName"]
    folder = Path(get(node, "pv", volume)["spec"]["hostPath"]["path"])
    assert (folder / "index.html").read_text() == "kept\n"
    node.plane.kubectl("delete", "pod", "web")
    assert (folder / "index.html").exists()
    node.plane.kubectl("delete", "pvc", "pages")
    node.wait("the volume's end", lambda: not folder.exists())
    assert volume not in {item["metadata"]["name"] for item in get(node, "pv")["items"]}


def test_limits_hold(node: Node, image: str) -> None:
    # dd takes a buffer of its block size and fills it.
    def greedy(name: str, size: str) -> dict[str, Any]:
        command = f"dd if=/dev/zero of=/dev/null bs={size} count=1 && exec sleep 600"
        return pod(name, image, "/bin/sh", "-c", command, resources={"limits": {"memory": "24Mi"}})

    apply(node, greedy("modest", "4M"), greedy("greedy", "64M"))
    ready(node, "modest")

    def killed() -> bool:
        status = get(node, "pod", "greedy").get("status", {}).get("containerStatuses", [{}])[0]
        ends = [status.get(key, {}).get("terminated") or {} for key in ("state", "lastState")]
        return any(end.get("reason") == "OOMKilled" for end in ends)

    node.wait("the end of who takes too much", killed)
    assert get(node, "pod", "modest")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_an_image_that_is_not_there_does_not_start(node: Node, image: str) -> None:
    unknown = image.partition("@")[0] + "@sha256:" + "0" * 64
    apply(node, pod("missing", unknown, "sleep", "600"))

    def refused() -> bool:
        statuses = get(node, "pod", "missing").get("status", {}).get("containerStatuses", [{}])
        return statuses[0].get("state", {}).get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")

    node.wait("the refusal", refused)


def test_a_cut_pod_is_reached_by_nobody_until_it_is_healed(node: Node, image: str) -> None:
    apply(node, pod("cut", image, "httpd", "-f", "-p", "8080", "-h", "/bin"), pod("near", image, "sleep", "600"))
    ready(node, "cut")
    ready(node, "near")
    address = get(node, "pod", "cut")["status"]["podIP"]
    fetch = ("timeout", "2", "wget", "-qO", "/dev/null", f"http://{address}:8080/busybox")
    inside(node, "near", *fetch)
    node.cut(address)
    with pytest.raises(ClusterError, match="exit code 143"):
        inside(node, "near", *fetch)
    node.heal(address)
    inside(node, "near", *fetch)


def test_a_killed_container_is_started_again(node: Node, image: str) -> None:
    apply(node, pod("victim", image, "sleep", "600"))
    ready(node, "victim")

    def status() -> dict[str, Any]:
        found: dict[str, Any] = get(node, "pod", "victim")["status"]["containerStatuses"][0]
        return found

    node.kill(status()["containerID"].removeprefix("containerd://"))
    node.wait("another container", lambda: status()["restartCount"] == 1 and status()["ready"])
    assert status()["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    with pytest.raises(ClusterError, match=r"no running task|not found"):
        node.kill("0" * 64)


@pytest.mark.parametrize("part", ["kubelet", "containerd", "registry", "apiserver"])
def test_pods_and_images_outlive_a_part_that_is_killed(node: Node, image: str, part: str) -> None:
    name = f"lasting-{part}"
    apply(node, pod(name, image, "sleep", "600"))
    ready(node, name)
    before = get(node, "pod", name)["status"]["containerStatuses"][0]
    node.restart(part)
    apply(node, pod(f"after-{part}", image, "sleep", "600", imagePullPolicy="Always"))
    ready(node, f"after-{part}")
    after = get(node, "pod", name)["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)


# Its life


def run_by_hand(folder: Path) -> subprocess.Popen[str]:
    """``ci/node run`` as a person starts it, once it is ready."""
    process = subprocess.Popen(
        [COMMAND, "--folder", folder, "run"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("export KUBECONFIG=")
    return process


def start_a_pod(place: Place, folder: Path) -> None:
    """A pod of the pause image, which every node has: its container outlives who started it."""
    program = ensure((BY_NAME["kubectl"],))["kubectl"]
    kubectl = [program, f"--kubeconfig={folder / 'admin_system-masters.kubeconfig'}"]
    subprocess.run([*kubectl, "run", "pod", "--image=titan.test/pause:1", "--image-pull-policy=Never"], check=True)
    subprocess.run([*kubectl, "wait", "--for=condition=Ready", "pod/pod", "--timeout=60s"], check=True)
    assert [line for line in place.left() if "pause" in line]


def test_stopped_or_killed_it_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = [Path("/proc/sys", name) for name in ("kernel/panic", "vm/overcommit_memory", "net/ipv4/ip_forward")]
    before = [setting.read_text() for setting in settings]
    folder = tmp_path / "node"
    with run_by_hand(folder) as first:
        place = of_folder(folder)
        start_a_pod(place, folder)
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 0
    assert place.left() == []
    # Containers of a killed node go on: the next node that starts, in any folder, removes them.
    with run_by_hand(folder) as second:
        place = of_folder(folder)
        start_a_pod(place, folder)
        second.kill()
    assert [line for line in place.left() if "pause" in line]
    subprocess.run([COMMAND, "clean"], check=True)
    assert place.left() == []
    assert not list(CGROUPS.glob(f"*/{place.name}"))
    assert [setting.read_text() for setting in settings] == before


def test_a_command_runs_beside_it_and_its_end_is_the_node_s(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    script = 'kubectl get nodes -o name; echo "$TITAN_E2E_REGISTRY"; exit 7'
    done = subprocess.run(
        [COMMAND, "--folder", folder, "run", "--", "bash", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "node/node" in done.stdout
    assert ":5000" in done.stdout
    with pytest.raises(ClusterError, match="no node runs there"):
        of_folder(folder)


def test_what_it_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"runc, nft, .*: not found; ci/tools/apt installs what a node needs"):
        Node(tmp_path / "node")
