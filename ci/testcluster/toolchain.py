"""The pinned Go tools, built on demand into a cache outside the work tree.

Each folder of ``ci/tools`` pins unmodified upstream commands by ``go.mod`` and ``go.sum``. A binary's folder is named
by the hash of both, of the Go version and of the build flags, so a changed pin builds anew and a known one is used at
once.
Only the standard library is imported: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "tools"
KUBERNETES_VERSION = "v1.36.3"
_KUBERNETES_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in (("gitVersion", KUBERNETES_VERSION), ("gitMajor", "1"), ("gitMinor", "36"))
)
MINIMUM_GO = (1, 26)


class ToolchainError(Exception):
    """A tool cannot be built; the message names what is missing."""


@dataclass(frozen=True)
class Tool:
    """One command of the toolchain.

    Parameters
    ----------
    name
        File name of the binary.
    module
        Folder of ``ci/tools`` that pins it.
    package
        Go package of its ``main``.
    cold_s
        About how long a first build takes on two cores, in seconds; told to who waits.
    """

    name: str
    module: str
    package: str
    cold_s: int
    ldflags: str = ""


CLUSTER_TIER = (
    Tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", 500, _KUBERNETES_FLAGS),
    Tool(
        "kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", 110, _KUBERNETES_FLAGS
    ),
    Tool("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", 45, _KUBERNETES_FLAGS),
    Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3", 45),
    Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm", 185),
    Tool("kubeconform", "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", 15),
)
SIGNING = (
    Tool("cosign", "cosign", "github.com/sigstore/cosign/v3/cmd/cosign", 275),
    Tool("crane", "crane", "github.com/google/go-containerregistry/cmd/crane", 10),
)
NATS = Tool("nats-server", "nats", "github.com/nats-io/nats-server/v2", 20)
# What `make test` needs.
TEST_TIER = (*CLUSTER_TIER, *SIGNING, NATS)
_CNI = "github.com/containernetworking/plugins/plugins"
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
NODE_TIER = (
    *TEST_TIER,
    Tool("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", 10, _KUBERNETES_FLAGS),
    Tool("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", 40, _KUBERNETES_FLAGS),
    Tool("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", 20, _KUBERNETES_FLAGS),
    Tool("containerd", "containerd", f"{_CONTAINERD}/containerd", 90),
    Tool("containerd-shim-runc-v2", "containerd", f"{_CONTAINERD}/containerd-shim-runc-v2", 15),
    Tool("ctr", "containerd", f"{_CONTAINERD}/ctr", 15),
    Tool("bridge", "cni", f"{_CNI}/main/bridge", 5),
    Tool("loopback", "cni", f"{_CNI}/main/loopback", 2),
    Tool("host-local", "cni", f"{_CNI}/ipam/host-local", 2),
    Tool("portmap", "cni", f"{_CNI}/meta/portmap", 2),
    Tool("coredns", "coredns", "github.com/coredns/coredns", 165),
)
BY_NAME = {tool.name: tool for tool in NODE_TIER}
# What each tier of tests needs, by its folder in tests/.
TIERS = {"service": SIGNING, "cluster": TEST_TIER, "node": NODE_TIER}


def cache_dir() -> Path:
    """Return where the binaries are kept: ``TITAN_TOOLS_DIR``, or ``titan/tools`` in the user's cache folder."""
    if chosen := os.environ.get("TITAN_TOOLS_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "titan" / "tools"


def go_version() -> str:
    """Return the output of ``go env GOVERSION``.

    Raises
    ------
    ToolchainError
        Go is missing or too old.
    """
    if shutil.which("go") is None:
        wanted = ".".join(map(str, MINIMUM_GO))
        raise ToolchainError(
            f"Go {wanted} or newer is needed to build the test cluster's tools, and there is no go on the PATH"
        )
    version = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    numbers = tuple(int(part) for part in version.removeprefix("go").split("-")[0].split(".")[:2])
    if numbers < MINIMUM_GO:
        raise ToolchainError(
            f"{version} is too old for the pinned tools: go{'.'.join(map(str, MINIMUM_GO))} or newer is needed"
        )
    return version


def path_of(tool: Tool, version: str) -> Path:
    """Return where the tool's binary is, or will be."""
    digest = hashlib.sha256(f"{version}\n{tool.ldflags}\n{tool.package}\n".encode())
    for name in ("go.mod", "go.sum"):
        digest.update((PINS / tool.module / name).read_bytes())
    return cache_dir() / digest.hexdigest()[:16] / tool.name


def ensure(tools: tuple[Tool, ...] = CLUSTER_TIER) -> dict[str, Path]:
    """Return the path of each tool by name, building what is missing with a line of progress for each.

    Raises
    ------
    ToolchainError
        Go is missing or too old, or a build fails.
    """
    version = go_version()
    paths = {tool.name: path_of(tool, version) for tool in tools}
    missing = [tool for tool in tools if not paths[tool.name].exists()]
    if not missing:
        return paths
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "lock").open("w") as lock:
        # Two runs at once would each compile the whole of Kubernetes.
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [tool for tool in missing if not paths[tool.name].exists()]
        for number, tool in enumerate(missing, 1):
            _build(tool, paths[tool.name], f"[{number}/{len(missing)}]")
    return paths


def _build(tool: Tool, target: Path, count: str) -> None:
    _say(f"{count} {tool.name}: building (about {tool.cold_s} s on two cores, once)")
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / tool.name
        command = [
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            f"-s -w {tool.ldflags}".strip(),
            "-o",
            str(made),
            tool.package,
        ]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        result = subprocess.run(
            command, cwd=PINS / tool.module, env=environment, check=False, capture_output=True, text=True
        )
        if result.returncode != 0:
            raise ToolchainError(f"building {tool.name} failed:\n{result.stderr.strip()[-2000:]}")
        made.rename(target)
    _say(f"{count} {tool.name}: built in {time.monotonic() - started:.0f} s")


def _say(line: str) -> None:
    print(f"tools: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Build the named tools, or those of a tier of tests, and print each one's path."""
    parser = argparse.ArgumentParser(prog="ci/tools/build", description="Build the pinned tools of the test cluster.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BY_NAME)}; without a name those of --tier"
    )
    parser.add_argument("--tier", choices=TIERS, default="cluster", help="tests that they are for (cluster)")
    arguments = parser.parse_args()
    names = arguments.names
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        parser.error(f"no tool {unknown[0]!r}: the pinned ones are {', '.join(BY_NAME)}")
    try:
        paths = ensure(tuple(BY_NAME[name] for name in names) or TIERS[arguments.tier])
    except ToolchainError as error:
        _say(str(error))
        return 1
    for name, path in paths.items():
        print(f"{name} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
