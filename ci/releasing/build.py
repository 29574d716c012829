"""Images from images/Dockerfile, by buildah, without an engine and without a network."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releasing.base import Base, debian_base
from releasing.commands import ROOT, ReleaseError, key_of, made_once, run, say
from releasing.context import IMAGES, TARGETS, make_context
from releasing.materials import Material, materials, read, write
from releasing.source import Source, source

TITLES = {
    "operator": "Titan's operator",
    "services": "Titan's services: market data, phases, Brain, Execution, the paper venue",
    "postgresql": "PostgreSQL for Titan's tables, of Debian's packages",
    "nats": "NATS for Titan's events",
}


@dataclass(frozen=True)
class Image:
    """A built image.

    Parameters
    ----------
    target
        Its name, and its target in images/Dockerfile.
    layout
        An OCI layout that holds it and nothing else.
    version
        Of what is in it.
    parts
        What is in it.
    state
        What it was built from.
    base
        What it was built on, by digest.
    """

    target: str
    layout: Path
    version: str
    parts: tuple[Material, ...]
    state: Source
    base: str

    @property
    def digest(self) -> str:
        """``sha256:…`` of its manifest: what it is pushed, signed and run by."""
        found: str = json.loads((self.layout / "index.json").read_text())["manifests"][0]["digest"]
        return found

    def blob(self, digest: str) -> Path:
        """The file with the bytes of that digest."""
        return self.layout / "blobs" / digest.replace(":", "/")

    def json(self, digest: str) -> dict[str, Any]:
        """Manifest or configuration."""
        found: dict[str, Any] = json.loads(self.blob(digest).read_text())
        return found


def build(targets: Sequence[str] = TARGETS, base: Base | None = None) -> list[Image]:
    """Build the images of these names, or take those that were built of the same before.

    Raises
    ------
    ReleaseError
        A program is missing or failed.
    """
    if os.geteuid() != 0:
        raise ReleaseError("images are built as root: they get owners, and a network with nothing in it")
    on = base or debian_base()
    version = run("buildah", "--version").split()[2]
    return [_build(target, on, source(target), version) for target in targets]


def labels(target: str, state: Source, context: Path) -> dict[str, str]:
    """Say of the image what it is, by the names of the OCI's annotations."""
    return {
        "org.opencontainers.image.title": TITLES[target],
        "org.opencontainers.image.version": version_of(target, context),
        "org.opencontainers.image.revision": state.revision,
        "org.opencontainers.image.licenses": {"postgresql": "PostgreSQL", "nats": "Apache-2.0"}.get(target, "MIT"),
    }


def version_of(target: str, context: Path) -> str:
    """Titan's, or that of the program that the image is for."""
    if target == "postgresql":
        (package,) = context.glob("packages/postgresql-15_*.deb")
        return package.name.split("_")[1]
    if target == "nats":
        return run(context / "nats-server", "--version").split()[-1].removeprefix("v")
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def _build(target: str, base: Base, state: Source, buildah: str) -> Image:
    with tempfile.TemporaryDirectory() as temporary:
        context = Path(temporary) / "context"
        make_context(target, context / target, base)
        files = sorted(path for path in context.rglob("*") if path.is_file())
        said = {path.relative_to(context).as_posix(): path.read_bytes() for path in files}
        about = labels(target, state, context / target)
        key = key_of(
            *(target, base.reference, buildah, str(state.epoch_s), json.dumps(about)),
            (IMAGES / "Dockerfile").read_bytes(),
            *(part for name, data in said.items() for part in (name, data)),
        )
        with made_once("built", key) as (folder, filling):
            if filling is not None:
                say(f"{target}: building")
                _run_buildah(target, context, base, state, about, filling / "layout")
                made = Image(target, filling / "layout", "", (), state, base.reference)
                layers = [made.blob(layer["digest"]) for layer in made.json(made.digest)["layers"]]
                write(filling / "parts.json", materials(context / target, layers))
        parts = tuple(read(folder / "parts.json"))
    return Image(target, folder / "layout", about["org.opencontainers.image.version"], parts, state, base.reference)


def _run_buildah(target: str, context: Path, base: Base, state: Source, about: Mapping[str, str], layout: Path) -> None:
    temporary = context.parent
    # Its own storage, so that nothing of this machine gets in and nothing is left on it.
    storage = ("--root", str(temporary / "root"), "--runroot", str(temporary / "run"), "--storage-driver", "overlay")
    try:
        if base.layout is not None:
            # By a short path: it becomes the image's first name, and not every path can be one.
            (temporary / "base").symlink_to(base.layout)
            pulled = run("buildah", *storage, "pull", "--quiet", "oci:base", cwd=temporary).split()[-1]
            run("buildah", *storage, "tag", pulled, base.reference.partition("@")[0])
        else:
            run("buildah", *storage, "pull", "--quiet", base.reference)
        name = base.reference.partition("@")[0] if base.layout is not None else base.reference
        notes = {"base.name": base.reference.partition("@")[0], "base.digest": base.digest}
        words = [word for pair in about.items() for word in ("--label", "=".join(pair))]
        words += [
            word for pair in notes.items() for word in ("--annotation", f"org.opencontainers.image.{'='.join(pair)}")
        ]
        # In a network with nothing in it: what a step would fetch would be of this day.
        run(
            *("unshare", "--net", "buildah", *storage, "bud", "--isolation", "chroot", "--pull=never", "--no-cache"),
            *("--format", "oci", "--timestamp", str(state.epoch_s), "--identity-label=false", "--no-hosts", *words),
            *("--build-arg", f"BASE={name}", "--target", target, "--tag", target),
            *("--file", str(IMAGES / "Dockerfile"), str(context)),
        )
        run("buildah", *storage, "push", "--quiet", target, f"oci:{layout}")
    finally:
        run("buildah", *storage, "rmi", "--all", "--force")
