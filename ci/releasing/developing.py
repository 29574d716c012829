"""``ci/dev-sign``: what a developer's own cluster runs, signed by a throw-away key that this cluster alone trusts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml

from releasing.commands import ROOT, ReleaseError, run, tool
from releasing.signing import Registry, Signer, throw_away_key

FOLDER = ROOT / ".titan" / "dev"


def trust_policy(public: Path, registry: Registry) -> str:
    """Values for chart titan: images of that registry run when the key signed them."""
    policy: dict[str, object] = {
        "keys": [{"name": "throw-away", "pem": public.read_text()}],
        "images": [{"pattern": f"{registry.prefix}/*"}],
    }
    if registry.plain_http:
        policy["registries"] = {"plainHttp": [registry.prefix.partition("/")[0]]}
    return yaml.safe_dump({"trustPolicy": policy}, sort_keys=False)


def main() -> int:
    """Sign one image, or only make key and trust policy."""
    parser = argparse.ArgumentParser(prog="ci/dev-sign", description=__doc__)
    parser.add_argument("image", nargs="?", default=os.environ.get("SKAFFOLD_IMAGE", ""), help="else SKAFFOLD_IMAGE")
    parser.add_argument("--registry", default=os.environ.get("TITAN_DEV_REGISTRY", ""), help="else TITAN_DEV_REGISTRY")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where key and trust.yaml are (%(default)s)")
    parser.add_argument("--only-key", action="store_true", help="sign nothing")
    arguments = parser.parse_args()
    try:
        registry = Registry(arguments.registry, plain_http=True)
        private, public = throw_away_key(arguments.folder)
        (arguments.folder / "trust.yaml").write_text(trust_policy(public, registry))
        if arguments.only_key:
            return 0
        reference = _by_digest(arguments.image, registry)
        Signer(str(private)).sign(reference, registry)
    except ReleaseError as error:
        print(f"dev-sign: {error}", file=sys.stderr)
        return 1
    print(reference)
    return 0


def _by_digest(image: str, registry: Registry) -> str:
    if not image.startswith(f"{registry.prefix}/"):
        raise ReleaseError(f"image: {image!r} is none of {registry.prefix}/, and nothing else is signed")
    path, _, name = image.partition("@")[0].rpartition("/")
    return f"{path}/{name.partition(':')[0]}@{run(tool('crane'), 'digest', '--insecure', image).strip()}"


if __name__ == "__main__":
    sys.exit(main())
