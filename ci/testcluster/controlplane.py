"""A real control plane as three local processes: etcd, kube-apiserver, kube-controller-manager. Ready in seconds.

There is no kubelet: pods stay Pending unless something runs them. Everything is in one folder and ends with the process
that started it, also when that is killed; what a killed one left behind is ended by the next start in the same folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from testcluster.pki import Pki
from testcluster.toolchain import ensure

READY_WITHIN_S = 60.0
_PR_SET_PDEATHSIG = 1
# Controllers of nodes, volumes and garbage of nodes: without a kubelet they would only undo what runs pods in tests.
_CONTROLLERS = (
    "*,-node-lifecycle-controller,-node-ipam-controller,-node-route-controller,-pod-garbage-collector-controller"
)
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: RequestResponse
    resources: [{group: titan.trading}]
  - level: None
    verbs: [get, list, watch]
  - level: Metadata
"""


class ClusterError(Exception):
    """A part of the control plane does not work; the message says which, with the end of its log."""


class ControlPlane:
    """One control plane in ``folder``.

    Attributes
    ----------
    server
        Address of the API server.
    tools
        Paths of the pinned binaries, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = ensure()
        self.server = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._pki: Pki | None = None
        self._ports: dict[str, int] = {}

    # Life

    def start(self) -> None:
        """Start everything and wait until the API server is ready and ``default`` has its ServiceAccount.

        Raises
        ------
        ClusterError
            A part ended, or is not ready in time.
        """
        end_leftovers(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._pki = Pki(self.folder / "pki")
        self._ports = {name: _free_port() for name in ("etcd", "peer", "api", "manager")}
        self.server = f"https://127.0.0.1:{self._ports['api']}"
        self._pki.issue("apiserver", "kube-apiserver", server=True)
        self.kubeconfig("admin", ("system:masters",))
        self.kubeconfig("system:kube-controller-manager")
        (self.folder / "audit.yaml").write_text(_AUDIT_POLICY)
        self._start_etcd()
        self._start_apiserver()
        self._start_manager()
        self._wait("default has its ServiceAccount", self._default_account)

    def stop(self) -> None:
        """End everything. The folder stays, for its logs."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._end(name)

    def __enter__(self) -> ControlPlane:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def restart_apiserver(self, *, kill: bool = False) -> None:
        """End the API server (without a chance to tidy up, with ``kill``) and start it again on the same data."""
        self._end("kube-apiserver", signal.SIGKILL if kill else signal.SIGTERM)
        self._start_apiserver()

    def restart_datastore(self) -> None:
        """Kill the datastore and start it again on the same data."""
        self._end("etcd", signal.SIGKILL)
        self._start_etcd()
        self._wait("the API server is ready", self._ready)

    # Use

    def kubeconfig(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Path of a kubeconfig for a user with a client certificate; made once."""
        assert self._pki is not None
        name = "_".join((user, *groups)).replace(":", "-").replace("/", "-")
        path = self.folder / f"{name}.kubeconfig"
        if not path.exists():
            certificate, key = self._pki.issue(f"user-{name}", user, groups)
            self._write_kubeconfig(path, {"client-certificate": str(certificate), "client-key": str(key)})
        return path

    @property
    def admin(self) -> Path:
        """The kubeconfig of an administrator: RBAC allows it everything."""
        return self.kubeconfig("admin", ("system:masters",))

    def service_account(self, namespace: str, name: str) -> Path:
        """Path of a kubeconfig with a fresh token of a ServiceAccount."""
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=1h").stdout.strip()
        path = self.folder / f"sa-{namespace}-{name}.kubeconfig"
        self._write_kubeconfig(path, {"token": token})
        return path

    def kubectl(
        self, *arguments: str, kubeconfig: Path | None = None, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl, as an administrator unless another kubeconfig is given.

        Raises
        ------
        ClusterError
            It failed and ``check`` is set; the message is what it said.
        """
        return self._tool("kubectl", arguments, kubeconfig, stdin, check)

    def helm(
        self, *arguments: str, kubeconfig: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run helm; its caches are in the folder."""
        return self._tool("helm", arguments, kubeconfig, None, check)

    def audit(self) -> list[dict[str, Any]]:
        """Every request that the audit policy keeps, oldest first."""
        path = self.folder / "audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self, name: str) -> str:
        """What a part has logged."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _tool(
        self, name: str, arguments: tuple[str, ...], kubeconfig: Path | None, stdin: str | None, check: bool
    ) -> subprocess.CompletedProcess[str]:
        caches = {f"HELM_{kind}_HOME": str(self.folder / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(kubeconfig or self.admin),
        }
        done = subprocess.run(
            [str(self.tools[name]), *arguments],
            env=environment | caches,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise ClusterError(f"{name} {' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done

    # Parts

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peer"))
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def _start_apiserver(self) -> None:
        pki = self.folder / "pki"
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._ports['api']}",
            "--authorization-mode=Node,RBAC",
            # As on every real cluster, whose own pods need it: what refuses them is then ours.
            "--allow-privileged=true",
            f"--client-ca-file={pki / 'ca.pem'}",
            f"--tls-cert-file={pki / 'apiserver.pem'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={pki / 'service-account.key'}",
            f"--service-account-key-file={pki / 'service-account.key'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--audit-policy-file={self.folder / 'audit.yaml'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            "--audit-log-mode=blocking",
        )
        self._wait("the API server is ready", self._ready)

    def _start_manager(self) -> None:
        pki = self.folder / "pki"
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('system:kube-controller-manager')}",
            "--use-service-account-credentials",
            f"--root-ca-file={pki / 'ca.pem'}",
            f"--service-account-private-key-file={pki / 'service-account.key'}",
            "--leader-elect=false",
            f"--secure-port={self._ports['manager']}",
            "--bind-address=127.0.0.1",
            f"--controllers={_CONTROLLERS}",
        )

    def _spawn(self, name: str, *flags: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [str(self.tools[name]), *flags],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                preexec_fn=_die_with_parent,
            )
        self._processes[name] = process
        (self.folder / f"{name}.pid").write_text(f"{process.pid} {_start_time(process.pid)}")

    def _end(self, name: str, first: signal.Signals = signal.SIGTERM) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(first)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def _wait(self, what: str, holds: Any) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not holds():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise ClusterError(f"{name} ended with {process.returncode}:\n{self.log(name)[-2000:]}")
            if time.monotonic() > deadline:
                tail = self.log("kube-apiserver")[-2000:]
                raise ClusterError(f"not within {READY_WITHIN_S:.0f} s: {what}; the API server's log ends:\n{tail}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        return self._get("/readyz") is not None

    def _default_account(self) -> bool:
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _get(self, path: str) -> bytes | None:
        pki = self.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
        context.load_cert_chain(pki / "user-admin_system-masters.pem", pki / "user-admin_system-masters.key")
        try:
            with urllib.request.urlopen(f"{self.server}{path}", context=context, timeout=2) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None  # not yet: whoever asked asks again, until a deadline

    def _write_kubeconfig(self, path: Path, user: dict[str, str]) -> None:
        authority = str(self.folder / "pki" / "ca.pem")
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "titan",
            "clusters": [{"name": "titan", "cluster": {"server": self.server, "certificate-authority": authority}}],
            "contexts": [{"name": "titan", "context": {"cluster": "titan", "user": "titan"}}],
            "users": [{"name": "titan", "user": user}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=1))


def end_leftovers(folder: Path) -> list[str]:
    """End what an earlier control plane in ``folder`` left running; return the names of what was ended."""
    ended = []
    for file in folder.glob("*.pid"):
        pid, _, started = file.read_text().partition(" ")
        # The number may be another process's by now: the time of its start tells.
        if pid and started and _start_time(int(pid)) == started:
            os.kill(int(pid), signal.SIGKILL)
            while _start_time(int(pid)) == started:
                time.sleep(0.02)
            ended.append(file.stem)
        file.unlink()
    return ended


def _start_time(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
