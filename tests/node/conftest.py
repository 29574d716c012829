"""A real node of the tests' own: needs root and what ``ci/tools/apt`` installs."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcluster.node import Node
from testcluster.processes import ClusterError
from testcluster.toolchain import ToolchainError

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "cat", "dd", "httpd", "id", "nslookup", "sleep", "timeout", "touch", "wget")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for the module's tests."""
    try:
        made = Node(tmp_path_factory.mktemp("node") / "files")
    except (ClusterError, ToolchainError) as error:
        pytest.fail(str(error), pytrace=False)
    with made:
        yield made


@pytest.fixture(scope="module")
def image(node: Node, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small image in the node's registry, by digest."""
    return push_image(node, tmp_path_factory.mktemp("image"))


def push_image(node: Node, folder: Path) -> str:
    """Push one layer with a static busybox on top of nothing."""
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        archive.add(BUSYBOX, "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    command = [node.plane.tools["crane"], "append", "--oci-empty-base", "-f", layer, "-t", f"{node.registry}/small:1"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
