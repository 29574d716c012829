"""A release on the target's registry, and images that differ from it: newer, unsigned, broken."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from support.e2e.story import Story
from support.e2e.target import ROOT, Target


@dataclass
class Release:
    """Images by digest, and the key that signed them.

    Parameters
    ----------
    images
        ``REGISTRY/name@sha256:…`` by name.
    values
        The release file: charts take it as values.
    key
        cosign's private key file; its password is empty.
    """

    target: Target
    images: Mapping[str, str]
    values: Path
    key: Path

    @property
    def operator(self) -> str:
        """The operator's image."""
        return self.images["operator"]

    @property
    def services(self) -> str:
        """The image of every process of a stack."""
        return self.images["services"]

    @property
    def public_key(self) -> str:
        """PEM of the key."""
        return self.key.with_suffix(".pub").read_text()

    def changed(self, name: str, files: dict[str, str]) -> str:
        """Push the services' image with one more layer and without a signature; return its name by digest.

        ``files`` are programs by their absolute paths.
        """
        folder = self.target.folder / f"image-{name}"
        folder.mkdir()
        with tarfile.open(folder / "layer.tar", "w") as archive:
            for path, text in files.items():
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(text), 0o755
                archive.addfile(entry, io.BytesIO(text.encode()))
        repository = self.services.partition("@")[0]
        flags = ("--base", self.services, "--new_layer", folder / "layer.tar", "--new_tag", f"{repository}:{name}")
        return self.target.run("crane", "append", *flags).stdout.strip()

    def sign(self, image: str) -> str:
        """Sign an image of ``changed`` with the release's key; return it."""
        self.target.run(
            *("cosign", "sign", "--key", self.key, "--tlog-upload=false", "--use-signing-config=false"),
            *("--allow-http-registry", "--yes", image),
            COSIGN_PASSWORD="",
        )
        return image


def make_release(target: Target, story: Story) -> Release:
    """Build what is in the work tree, push it to the target's registry and sign it with a key of this run."""
    key = target.folder / "cosign.key"
    target.run("cosign", "generate-key-pair", "--output-key-prefix", key.with_suffix(""), COSIGN_PASSWORD="")
    values = target.folder / "release.yaml"
    with story.timed("images built, pushed by digest, signed and attested"):
        said = target.run(
            *(ROOT / "ci" / "release", target.registry, "--key", key, "--output", values),
            *("--plain-http", "--allow-dirty"),
            COSIGN_PASSWORD="",
            PYTHON=sys.executable,
        )
    story.tell(said.stdout)
    told = yaml.safe_load(values.read_text())["release"]
    images = {name: f"{told['registry']}/{name}@{digest}" for name, digest in told["digests"].items()}
    return Release(target, images=images, values=values, key=key)
