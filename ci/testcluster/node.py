"""A real cluster of one node: control plane, containerd, kubelet, Services with names, volumes, registry.

All of it is in a network namespace of its own, which this machine reaches by one address. It needs root and the Debian
packages that ``ci/tools/apt`` installs. Like the control plane it ends with the process that started it; what a killed
one leaves (containers outlive their starter) is removed by the next start or by ``ci/node clean``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from testcluster import containerd, kubelet, provisioner, registry
from testcluster.controlplane import ControlPlane, Site
from testcluster.place import Place, claim
from testcluster.processes import ClusterError
from testcluster.toolchain import cache_dir

PROGRAMS = ("runc", "nft", "conntrack", "ip", "nsenter", "docker-registry")
CI = Path(__file__).resolve().parents[1]


class Node:
    """One cluster with its files in ``folder``.

    Attributes
    ----------
    plane
        Its control plane: kubeconfigs, kubectl, logs. Only while it runs.
    registry
        ``HOST:PORT`` that images are pushed to and named by. Only while it runs.
    """

    def __init__(self, folder: Path) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if os.geteuid() != 0:
            raise ClusterError("a node needs root: it makes network namespaces, mounts and cgroups")
        if missing:
            raise ClusterError(f"{', '.join(missing)}: not found; ci/tools/apt installs what a node needs")
        self.folder = folder
        self._place: Place | None = None
        self._plane: ControlPlane | None = None

    @property
    def place(self) -> Place:
        """The node's resources on this machine."""
        if self._place is None:
            raise ClusterError("the node does not run")
        return self._place

    @property
    def plane(self) -> ControlPlane:
        """Its control plane."""
        if self._plane is None:
            raise ClusterError("the node does not run")
        return self._plane

    @property
    def registry(self) -> str:
        """The address of its registry."""
        return registry.address(self.place)

    # Life

    def start(self) -> None:
        """Start everything and wait until the node is ready and the registry answers.

        Raises
        ------
        ClusterError
            A part ended, is not ready in time, or is not to be had.
        """
        self._place = claim(self.folder)
        site = Site(address=self._place.address, enter=self._place.enter, node=True)
        self._plane = plane = ControlPlane(self.folder, site)
        plane.start()
        for name in ("containerd", "kubelet"):
            (self.folder / name).mkdir()
        containerd.write_settings(self.place, self.folder / "containerd", plane.tools, self.registry)
        self._start_containerd()
        self._start_registry()
        kubelet.start_dns(plane, self.place, self.folder)
        kubelet.start_proxy(plane, self.place, self.folder)
        plane.kubectl("apply", "-f", "-", stdin=provisioner.CLASS)
        self._start_provisioner()
        containerd.import_pause(self.place, plane.tools["ctr"], cache_dir().parent)
        self._start_kubelet()
        self.wait("the node is ready", self._ready, "kubelet")

    def stop(self) -> None:
        """End everything and give back what it took of the machine. Its folder stays, for the logs.

        Raises
        ------
        ClusterError
            Something of it is still there.
        """
        if self._plane is not None:
            for name in ("kubelet", "provisioner", "kube-proxy", "coredns", registry.NAME, "containerd"):
                self._plane.processes.end(name)
            self._plane.stop()
        if self._place is None:
            return
        self._place.end()
        # Layers of images and data of pods: gigabytes, and gone before another node may have the folder.
        for path in ("containerd/root", "kubelet/root", "volumes", "registry"):
            shutil.rmtree(self.folder / path, ignore_errors=True)
        self._place.remove()
        if left := self._place.left():
            raise ClusterError(f"left behind: {', '.join(left)}")

    def __enter__(self) -> Node:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Disturbances

    def restart(self, part: str) -> None:
        """End a part, without a chance to tidy up, and start it again, until it is ready."""
        if part == "apiserver":
            self.plane.restart_apiserver(kill=True)
            return
        start = self._starts().get(part)
        if start is None:
            raise ClusterError(f"part: {part!r}; allowed are apiserver, {', '.join(self._starts())}")
        self.plane.processes.end(part, signal.SIGKILL)
        start()

    def halt(self, part: str) -> None:
        """End a part until it is started again."""
        self.plane.processes.end(part)

    def resume(self, part: str) -> None:
        """Start a part that was halted."""
        self._starts()[part]()

    def kill(self, container: str) -> None:
        """Kill a container's processes, by its id: a signal from inside does not reach a container's first process."""
        ctr = (str(self.plane.tools["ctr"]), f"--address={containerd.socket_path(self.place)}", "--namespace=k8s.io")
        done = subprocess.run(
            [*ctr, "tasks", "kill", "--signal=SIGKILL", container], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ClusterError(f"container {container}: {done.stderr.strip()}")

    def cut(self, address: str) -> None:
        """Let no packet to or from a pod through."""
        table = f"cut_{address.replace('.', '_')}"
        rules = "".join(
            f"  chain {hook} {{ type filter hook {hook} priority -300\n"
            f"    ip saddr {address} drop\n    ip daddr {address} drop\n  }}\n"
            for hook in ("prerouting", "output", "postrouting")
        )
        self._nft(f"table ip {table} {{\n{rules}}}\n")

    def heal(self, address: str) -> None:
        """Undo ``cut``."""
        self._nft(f"delete table ip cut_{address.replace('.', '_')}\n")

    def wait(self, what: str, holds: Callable[[], object], blame: str = "kubelet") -> None:
        """Until ``holds()``."""
        self.plane.processes.wait(what, holds, blame)

    # Parts

    def _starts(self) -> dict[str, Callable[[], None]]:
        return {
            "kubelet": self._start_kubelet,
            registry.NAME: self._start_registry,
            "containerd": self._start_containerd,
        }

    def _start_containerd(self) -> None:
        plane = self.plane
        shim = plane.tools["containerd-shim-runc-v2"].parent
        plane.processes.spawn(
            "containerd",
            plane.tools["containerd"],
            f"--config={self.folder / 'containerd' / 'config.toml'}",
            environment={"PATH": f"{shim}:{os.environ['PATH']}"},
        )
        self.wait("containerd listens", containerd.socket_path(self.place).exists, "containerd")

    def _start_kubelet(self) -> None:
        kubelet.start_kubelet(self.plane, self.place, self.folder / "kubelet")

    def _start_registry(self) -> None:
        registry.start_registry(self.plane, self.place, self.folder / "registry")
        self.wait("the registry answers", self._registry_answers, registry.NAME)

    def _start_provisioner(self) -> None:
        self.plane.processes.spawn(
            "provisioner",
            sys.executable,
            *("-m", "testcluster.provisioner"),
            f"--kubeconfig={self.plane.kubeconfig(provisioner.USER)}",
            f"--folder={self.folder / 'volumes'}",
            environment={"PYTHONPATH": str(CI)},
        )

    def _registry_answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.registry}/v2/", timeout=2):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False  # not yet: whoever asked asks again, until a deadline

    def _ready(self) -> bool:
        done = self.plane.kubectl("get", "node", kubelet.NODE, "-o", "json", check=False)
        conditions = json.loads(done.stdout)["status"].get("conditions", []) if done.returncode == 0 else []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def _nft(self, rules: str) -> None:
        done = subprocess.run(
            [*self.place.enter, "nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ClusterError(f"nft: {done.stderr.strip()}")
