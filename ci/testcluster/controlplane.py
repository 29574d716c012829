"""A real control plane as local processes: etcd, kube-apiserver, kube-controller-manager. Ready in seconds.

There is no kubelet: pods stay Pending unless something runs them (``node.py`` adds one, and then a scheduler).
Everything is in one folder and ends with the process that started it, also when that is killed; what a killed one left
behind is ended by the next start in the same folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testcluster.api import Api, ApiError
from testcluster.pki import Pki
from testcluster.ports import free_ports
from testcluster.processes import ClusterError, Processes, end_leftovers
from testcluster.toolchain import CLUSTER_TIER, NODE_TIER, ensure

# Controllers of nodes, volumes and garbage of nodes: without a kubelet they would only undo what runs pods in tests.
_NOT_OF_PODS = (
    "-node-lifecycle-controller",
    "-node-ipam-controller",
    "-node-route-controller",
    "-pod-garbage-collector-controller",
)
_NOT_OF_SERVICES = ("-endpoints-controller", "-endpointslice-controller", "-endpointslice-mirroring-controller")
# Several control planes and their users share few cores: one thread each looks for no work that another one has, and
# memory is spent for fewer collections of garbage.
_FRUGAL = {"GOMAXPROCS": "1", "GOGC": "400"}
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


__all__ = ["LOOPBACK", "ClusterError", "ControlPlane", "Site", "end_leftovers"]


@dataclass(frozen=True)
class Site:
    """The address and the files of a control plane.

    Parameters
    ----------
    address
        Where the API server listens.
    enter
        Command that brings a program into the network namespace which has that address; empty for this one.
    node
        Whether a kubelet comes to it: then it schedules, keeps nodes in mind, and Service ``kubernetes`` leads to it.
    endpoints
        Whether Services get endpoints; with a node they do. Pods that run as processes have loopback addresses, which
        the API server takes for no endpoint, and the controllers would ask again for ever.
    """

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()
    node: bool = False
    endpoints: bool = False


LOOPBACK = Site()
# In a network namespace of its own nobody else is there.
_FIXED_PORTS = {"etcd": 2379, "peer": 2380, "api": 6443, "manager": 10257, "scheduler": 10259}


class ControlPlane:
    """One control plane in ``folder``.

    Attributes
    ----------
    server
        Address of the API server.
    tools
        Paths of the pinned binaries, by name.
    processes
        Its processes, and whatever else is to run beside them.
    """

    def __init__(self, folder: Path, site: Site = LOOPBACK) -> None:
        self.folder = folder
        self.site = site
        self.tools = ensure(NODE_TIER if site.node else CLUSTER_TIER)
        self.server = ""
        self.processes = Processes(folder, site.enter)
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
        own = _FIXED_PORTS.values() if self.site.enter else free_ports(len(_FIXED_PORTS))
        self._ports = dict(zip(_FIXED_PORTS, own, strict=True))
        self.server = f"https://{self.site.address}:{self._ports['api']}"
        self._pki.issue("apiserver", "kube-apiserver", server=self.site.address)
        self.kubeconfig("admin", ("system:masters",))
        self.kubeconfig("system:kube-controller-manager")
        (self.folder / "audit.yaml").write_text(_AUDIT_POLICY)
        self._start_etcd()
        self._start_apiserver()
        self._start_manager()
        if self.site.node:
            self._start_scheduler()
        self._wait("default has its ServiceAccount", self._default_account)

    def stop(self) -> None:
        """End everything. The folder stays, for its logs."""
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            self.processes.end(name)

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
        self.processes.end("kube-apiserver", signal.SIGKILL if kill else signal.SIGTERM)
        self._start_apiserver()

    def restart_datastore(self) -> None:
        """Kill the datastore and start it again on the same data."""
        self.processes.end("etcd", signal.SIGKILL)
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

    def issue(self, file: str, user: str, groups: tuple[str, ...] = (), *, server: str = "") -> tuple[Path, Path]:
        """Paths of a certificate of this cluster's authority and its key; made once."""
        assert self._pki is not None
        made = self.folder / "pki" / f"{file}.pem", self.folder / "pki" / f"{file}.key"
        return made if made[0].exists() else self._pki.issue(file, user, groups, server=server)

    @property
    def admin(self) -> Path:
        """The kubeconfig of an administrator: RBAC allows it everything."""
        return self.kubeconfig("admin", ("system:masters",))

    def service_account(self, namespace: str, name: str) -> Path:
        """Path of a kubeconfig with a fresh token of a ServiceAccount."""
        path = self.folder / f"sa-{namespace}-{name}.kubeconfig"
        self._write_kubeconfig(path, {"token": self.token(namespace, name)})
        return path

    def create_namespace(self, name: str) -> None:
        """Make a namespace, until it has what the cluster puts into each: pods need its ServiceAccount."""
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        own = ("serviceaccounts/default", "configmaps/kube-root-ca.crt")
        path = f"/api/v1/namespaces/{name}"
        self._wait(f"{name} has {own}", lambda: all(self._get(f"{path}/{one}") is not None for one in own))

    def token(self, namespace: str, name: str, lasts_s: int = 3600) -> str:
        """A fresh token of a ServiceAccount."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.call("POST", path, {"spec": {"expirationSeconds": lasts_s}})["status"]["token"])

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One plain call as an administrator, over a connection of its own: a tenth of the price of a kubectl.

        Raises
        ------
        ClusterError
            The API server refused, or cannot be reached.
        """
        with closing(Api(self.admin)) as api:
            try:
                return api.call(method, path, body)
            except (ApiError, OSError) as error:
                raise ClusterError(str(error)) from error

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
        """Return the log of a part."""
        return self.processes.log(name)

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
        self._run(
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
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            f"--bind-address={self.site.address}",
            f"--advertise-address={self.site.address}",
            f"--endpoint-reconciler-type={'lease' if self.site.node else 'none'}",
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
            *(self._node_flags() if self.site.node else ()),
        )
        self._wait("the API server is ready", self._ready)

    def _node_flags(self) -> tuple[str, ...]:
        certificate, key = self.issue("kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
        return (
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
            f"--kubelet-certificate-authority={self.folder / 'pki' / 'ca.pem'}",
            # Else logs and exec ask a name server for the node's name.
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-admission-plugins=NodeRestriction",
        )

    def _start_scheduler(self) -> None:
        kubeconfig = self.kubeconfig("system:kube-scheduler")
        self._run(
            "kube-scheduler",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
            f"--secure-port={self._ports['scheduler']}",
            "--bind-address=127.0.0.1",
        )

    def _start_manager(self) -> None:
        pki = self.folder / "pki"
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('system:kube-controller-manager')}",
            "--use-service-account-credentials",
            f"--root-ca-file={pki / 'ca.pem'}",
            f"--service-account-private-key-file={pki / 'service-account.key'}",
            "--leader-elect=false",
            f"--secure-port={self._ports['manager']}",
            "--bind-address=127.0.0.1",
            f"--flex-volume-plugin-dir={self.folder / 'plugins'}",
            f"--controllers={self._controllers()}",
        )

    def _controllers(self) -> str:
        if self.site.node:
            return "*,-node-ipam-controller,-node-route-controller"
        return ",".join(("*", *_NOT_OF_PODS, *(() if self.site.endpoints else _NOT_OF_SERVICES)))

    def _run(self, name: str, *flags: str) -> None:
        self.processes.spawn(name, self.tools[name], *flags, environment={} if self.site.node else _FRUGAL)

    def _wait(self, what: str, holds: Any) -> None:
        self.processes.wait(what, holds, "kube-apiserver")

    def _ready(self) -> bool:
        return self._get("/readyz") is not None

    def _default_account(self) -> bool:
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _get(self, path: str) -> bytes | None:
        pki = self.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
        context.load_cert_chain(pki / "user-admin_system-masters.pem", pki / "user-admin_system-masters.key")
        # Whatever proxies the machine's user has: this is beside him.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"{self.server}{path}", timeout=2) as answer:
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
