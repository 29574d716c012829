"""containerd, with runc and CNI plugins, as a node's kubelet uses it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from testcluster.place import Place
from testcluster.processes import ClusterError

PODS = "10.244.0.0/24"
PAUSE = "titan.test/pause:1"
_CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_PAUSE_C = """\
#include <signal.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
int main(void) {
  struct sigaction reap = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, leave = {.sa_handler = end};
  sigaction(SIGCHLD, &reap, 0), sigaction(SIGTERM, &leave, 0), sigaction(SIGINT, &leave, 0);
  for (;;) pause();
}
"""


def write_settings(place: Place, folder: Path, tools: dict[str, Path], registry: str) -> None:
    """``config.toml``, the network of pods, and how ``registry`` is spoken with."""
    runc = shutil.which("runc")
    if runc is None:
        raise ClusterError("runc is missing: ci/tools/apt installs what a node needs")
    plugins = sorted({str(tools[name].parent) for name in _CNI_PLUGINS})
    (folder / "config.toml").write_text(
        f"""\
version = 3
root = "{folder / "root"}"
state = "{place.state / "containerd"}"
imports = []
disabled_plugins = ["io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{socket_path(place)}"

[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.internal.v1.opt"]
path = "{folder / "opt"}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{folder / "registries"}"

[plugins."io.containerd.cri.v1.runtime"]
# Without the capability to lower it no sandbox would start: "can't get final child's PID".
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
disable_apparmor = true
cdi_spec_dirs = []

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = {json.dumps(plugins)}
conf_dir = "{folder / "cni"}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
Root = "{place.state / "runc"}"
SystemdCgroup = false
"""
    )
    (folder / "cni").mkdir()
    network = {
        "cniVersion": "1.0.0",
        "name": place.name,
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(place.state / "addresses"),
                    "ranges": [[{"subnet": PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}},
        ],
    }
    (folder / "cni" / "10-node.conflist").write_text(json.dumps(network, indent=1))
    hosts = folder / "registries" / registry
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(f'server = "http://{registry}"\n')


def socket_path(place: Place) -> Path:
    """The socket on which it listens."""
    return place.state / "containerd.sock"


def import_pause(place: Place, ctr: Path, cache: Path) -> None:
    """The image of every pod's first process, made here once: nothing is pulled for it.

    Raises
    ------
    ClusterError
        There is no C compiler, or containerd does not take the image.
    """
    archive = cache / f"pause-{hashlib.sha256(_PAUSE_C.encode()).hexdigest()[:16]}.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "image.tar"
            _write_image(made, _compile(Path(folder)))
            made.rename(archive)
    command = (str(ctr), f"--address={socket_path(place)}", "--namespace=k8s.io", "images", "import", str(archive))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"the pause image: {done.stderr.strip()}")


def _compile(folder: Path) -> bytes:
    (folder / "pause.c").write_text(_PAUSE_C)
    compiler = os.environ.get("CC") or "cc"
    try:
        subprocess.run(
            [compiler, "-Os", "-static", "-s", "-o", "pause", "pause.c"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{compiler}: a C compiler is missing: ci/tools/apt installs what a node needs") from error
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"the pause program does not compile: {error.stderr}") from error
    return (folder / "pause").read_bytes()


def _write_image(archive: Path, program: bytes) -> None:
    layer = _tar({"pause": (program, 0o755)})
    settings = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    archive.write_bytes(
        _tar(
            {
                "config.json": (json.dumps(settings).encode(), 0o644),
                "layer.tar": (layer, 0o644),
                "manifest.json": (json.dumps(manifest).encode(), 0o644),
            }
        )
    )


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return output.getvalue()
