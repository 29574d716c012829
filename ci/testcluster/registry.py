"""A container registry on a node's address, the same name for this machine, the kubelet and pods. Plain HTTP.

Debian's ``docker-registry``: it keeps tags through a restart, which crane's does not. Neither has a referrers API.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from testcluster.controlplane import ControlPlane
from testcluster.place import Place
from testcluster.processes import ClusterError

PORT = 5000
NAME = "registry"


def address(place: Place) -> str:
    """The form of images' names: ``ADDRESS/name@sha256:…``."""
    return f"{place.address}:{PORT}"


def start_registry(plane: ControlPlane, place: Place, folder: Path) -> None:
    """Start it on what it kept before, if anything.

    Raises
    ------
    ClusterError
        Debian's package is not installed.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise ClusterError("docker-registry is missing: ci/tools/apt installs what a node needs")
    folder.mkdir(exist_ok=True)
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}},
        "http": {"addr": address(place), "headers": {"X-Content-Type-Options": ["nosniff"]}},
    }
    path = plane.folder / "registry.yaml"
    path.write_text(json.dumps(settings, indent=1))
    plane.processes.spawn(NAME, program, "serve", str(path), environment={"OTEL_TRACES_EXPORTER": "none"})
