"""The kubelet of a node, and what makes Services and their names work: kube-proxy and CoreDNS."""

from __future__ import annotations

import json
from pathlib import Path

from testcluster.containerd import PODS, socket_path
from testcluster.controlplane import ControlPlane
from testcluster.place import Place

NODE = "node"
DNS_ADDRESS = "10.96.0.10"
_DNS_PORT = 53
# For DNS a Service with an endpoint made by hand, as k3s has it: the server is a process of the node and no pod.
_DNS_OBJECTS = """\
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {address}
  ports:
    - {{name: dns, protocol: UDP, port: 53, targetPort: {port}}}
    - {{name: dns-tcp, protocol: TCP, port: 53, targetPort: {port}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: [{node}], conditions: {{ready: true}}}}]
ports:
  - {{name: dns, protocol: UDP, port: {port}}}
  - {{name: dns-tcp, protocol: TCP, port: {port}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: system:coredns}}
rules:
  - {{apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}}
  - {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: system:coredns}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}}]
"""
_COREFILE = """\
cluster.local:{port} in-addr.arpa:{port} {{
    bind {node}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
}}
.:{port} {{
    bind {node}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def start_kubelet(plane: ControlPlane, place: Place, folder: Path) -> None:
    """Start it; the node is registered some seconds later."""
    certificate, key = plane.issue("kubelet-server", f"system:node:{NODE}", server=place.address)
    resolver = folder / "resolv.conf"
    # Its pods ask the cluster's server, which knows no other names.
    resolver.write_text(f"nameserver {DNS_ADDRESS}\n")
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(plane.folder / "pki" / "ca.pem")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "healthzBindAddress": "127.0.0.1",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        "containerRuntimeEndpoint": f"unix://{socket_path(place)}",
        "podLogsDir": str(folder / "logs"),
        "volumePluginDir": str(folder / "plugins"),
        "staticPodPath": "",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        # Of a volume's files: a rotated certificate is to arrive within a test's patience.
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "maxPods": 60,
        "registryPullQPS": 0,
        "registerWithTaints": [],
        "shutdownGracePeriod": "0s",
    }
    (folder / "kubelet.yaml").write_text(json.dumps(settings, indent=1))
    plane.processes.spawn(
        "kubelet",
        plane.tools["kubelet"],
        f"--config={folder / 'kubelet.yaml'}",
        f"--kubeconfig={plane.kubeconfig(f'system:node:{NODE}', ('system:nodes',))}",
        f"--hostname-override={NODE}",
        f"--node-ip={place.address}",
        f"--root-dir={folder / 'root'}",
        f"--cert-dir={folder / 'pki'}",
        "--v=2",
    )


def start_proxy(plane: ControlPlane, place: Place, folder: Path) -> None:
    """Services by nftables. Limits of connection tracking are the machine's and left alone."""
    kubeconfig = plane.kubeconfig("system:kube-proxy")
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        "nodePortAddresses": [f"{place.address}/32"],
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
        "nftables": {"syncPeriod": "30s", "minSyncPeriod": "200ms"},
    }
    (folder / "proxy.yaml").write_text(json.dumps(settings, indent=1))
    plane.processes.spawn("kube-proxy", plane.tools["kube-proxy"], f"--config={folder / 'proxy.yaml'}")


def start_dns(plane: ControlPlane, place: Place, folder: Path) -> None:
    """Names of Services."""
    objects = _DNS_OBJECTS.format(address=DNS_ADDRESS, port=_DNS_PORT, node=place.address)
    plane.kubectl("apply", "-f", "-", stdin=objects)
    kubeconfig = plane.kubeconfig("system:coredns")
    (folder / "Corefile").write_text(_COREFILE.format(port=_DNS_PORT, node=place.address, kubeconfig=kubeconfig))
    plane.processes.spawn("coredns", plane.tools["coredns"], f"-conf={folder / 'Corefile'}")
