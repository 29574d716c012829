"""Pushing by digest, and signatures and attestations beside what was pushed, by the real crane and cosign."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from releasing.build import Image
from releasing.commands import ReleaseError, run, tool

# Registry with an optional port, and a path of small names: what every client reads the same way.
_REGISTRY = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*$")


@dataclass(frozen=True)
class Registry:
    """The target of a push: ``prefix/NAME@sha256:…``.

    Parameters
    ----------
    prefix
        Registry and path.
    plain_http
        It has no TLS; for tests only.
    """

    prefix: str
    plain_http: bool = False

    def __post_init__(self) -> None:
        if not _REGISTRY.match(self.prefix):
            raise ReleaseError(
                f"registry: {self.prefix!r}; allowed is HOST[:PORT][/PATH] in small letters, without scheme or tag"
            )

    def reference(self, image: Image) -> str:
        """The image's name by digest."""
        return f"{self.prefix}/{image.target}@{image.digest}"

    def push(self, image: Image, tag: str) -> str:
        """Push it and return its name by digest; ``tag`` only keeps a registry from deleting what no tag names.

        Raises
        ------
        ReleaseError
            The registry refuses, or holds another digest than was built.
        """
        crane = tool("crane")
        flags = ["--insecure"] if self.plain_http else []
        tagged = f"{self.prefix}/{image.target}:{tag}"
        run(crane, "push", *flags, str(image.layout), tagged)
        found = run(crane, "digest", *flags, tagged).strip()
        if found != image.digest:
            raise ReleaseError(f"{tagged}: the registry says {found}, and {image.digest} was pushed")
        return self.reference(image)


@dataclass(frozen=True)
class Signer:
    """The signer.

    Parameters
    ----------
    key
        As cosign takes it: a file, ``env://VARIABLE`` or a KMS address; its password in ``COSIGN_PASSWORD``. None signs
        keyless, by the identity of a hosted workflow.
    """

    key: str | None

    def __post_init__(self) -> None:
        if self.key is None:
            return
        if self.key.startswith("env://"):
            if not os.environ.get(self.key.removeprefix("env://")):
                raise ReleaseError(f"--key {self.key}: that variable is empty")
        elif "://" not in self.key and not Path(self.key).is_file():
            raise ReleaseError(f"--key {self.key}: no such file")

    def sign(self, reference: str, registry: Registry) -> None:
        """Put a signature beside an image."""
        run(tool("cosign"), "sign", *self._flags(), *_plain(registry), reference, environment=_SILENT)

    def attest(self, reference: str, kind: str, predicate: str, registry: Registry) -> None:
        """Put a signed statement about an image beside it; ``kind`` is cosign's name of the predicate's type."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "predicate.json"
            file.write_text(predicate)
            words = ("--type", kind, "--predicate", str(file))
            run(tool("cosign"), "attest", *self._flags(), *_plain(registry), *words, reference, environment=_SILENT)

    def sign_file(self, path: Path) -> Path:
        """Sign a file; its bundle is written beside it."""
        bundle = path.with_name(f"{path.name}.sigstore.json")
        run(tool("cosign"), "sign-blob", *self._flags(), "--bundle", str(bundle), str(path), environment=_SILENT)
        return bundle

    def _flags(self) -> list[str]:
        if self.key is None:
            return ["--yes"]
        # With a key of one's own there is nothing to be logged publicly, and no service to ask.
        return ["--yes", "--key", self.key, "--tlog-upload=false", "--use-signing-config=false"]


# cosign would prompt for an unset password on a terminal.
_SILENT = {"COSIGN_PASSWORD": os.environ.get("COSIGN_PASSWORD", "")}


def throw_away_key(folder: Path) -> tuple[Path, Path]:
    """Make a key pair without a password for tests and a developer's own cluster; returns private and public file."""
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / "cosign.key", folder / "cosign.pub"
    if not (private.exists() and public.exists()):
        run(tool("cosign"), "generate-key-pair", cwd=folder, environment={"COSIGN_PASSWORD": ""})
        private.chmod(0o600)
    return private, public


def _plain(registry: Registry) -> list[str]:
    return ["--allow-http-registry"] if registry.plain_http else []
