"""Images that were built, as a container would see them, and programs run in them as a pod runs them."""

from __future__ import annotations

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from releasing.build import Image


@dataclass(frozen=True)
class Built:
    """One image, and its files as a container would see them."""

    image: Image
    tree: Path


def unpack(image: Image, folder: Path) -> Path:
    """Its layers' files, one over the other."""
    for layer in image.json(image.digest)["layers"]:
        with tarfile.open(image.blob(layer["digest"])) as archive:
            archive.extractall(folder, filter="fully_trusted")
    return folder


def run(
    built: Built, user: int, *command: str, writable: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run within the image's files, read-only but for tmpfs at ``writable``, without a network but loopback."""
    image = built.image
    config = image.json(image.json(image.digest)["config"]["digest"])["config"]
    own = dict(entry.split("=", 1) for entry in config["Env"])
    mounts = "".join(f"mkdir -p '{built.tree}{path}'; " for path in writable)
    mounts += f"mount --bind '{built.tree}' '{built.tree}'; mount -o remount,ro,bind '{built.tree}'; "
    mounts += "".join(
        f"mount -t tmpfs -o mode=0700,uid={user},gid={user} tmpfs '{built.tree}{path}'; " for path in writable
    )
    mounts += f"mount -t proc proc '{built.tree}/proc'; ip link set lo up; "
    inside = f'exec setpriv --reuid={user} --regid={user} --clear-groups --no-new-privs --inh-caps=-all env -i "$@"'
    # The working directory is the new root's; setpriv is the base's own.
    script = f"set -e; {mounts} cd '{built.tree}'; exec chroot '{built.tree}' sh -c '{inside}' sh \"$@\""
    words = [f"{name}={value}" for name, value in {**own, **variables}.items()]
    return subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script, "sh", *words, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
