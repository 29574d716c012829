"""The release file: all digests of one release, as the values that every chart takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from releasing.build import Image
from releasing.signing import Registry

_HEAD = """\
# Titan {version}: what every chart takes, as `helm install … -f release.yaml`. Verify it before:
#   cosign verify-blob --key cosign.pub --insecure-ignore-tlog --bundle release.yaml.sigstore.json release.yaml
"""


def release_file(path: Path, version: str, revision: str, registry: Registry, images: Sequence[Image]) -> None:
    """Write it."""
    values = {
        "version": version,
        "revision": revision,
        "registry": registry.prefix,
        "digests": {image.target: image.digest for image in images},
    }
    body = yaml.safe_dump({"release": values}, sort_keys=False)
    path.write_text(_HEAD.format(version=version) + body)
