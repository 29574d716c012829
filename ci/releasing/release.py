"""``ci/release``: builds Titan's images, pushes them by digest, signs and attests them, and writes the signed release file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from releasing.build import Image, build, version_of
from releasing.commands import ReleaseError, say
from releasing.images import add_base, chosen_base, report
from releasing.releasefile import release_file
from releasing.signing import Registry, Signer
from releasing.source import Source, source


def main() -> int:
    """Make a release."""
    parser = argparse.ArgumentParser(
        prog="ci/release",
        description=__doc__,
        epilog="The key's password is read from COSIGN_PASSWORD; credentials of the registry are those of `crane auth login`.",
    )
    parser.add_argument("registry", metavar="REGISTRY[/PATH]", help="where images go: REGISTRY/PATH/operator and so on")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--key", help="private key: a file, env://VARIABLE, or a KMS address as cosign takes it")
    who.add_argument("--keyless", action="store_true", help="by the identity of a hosted workflow (was not run here)")
    parser.add_argument("--output", type=Path, default=Path("release.yaml"), help="the release file (%(default)s)")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS: for tests")
    parser.add_argument("--allow-dirty", action="store_true", help="also of files that are not committed: for tests")
    add_base(parser)
    arguments = parser.parse_args()
    try:
        registry, signer = Registry(arguments.registry, arguments.plain_http), Signer(arguments.key)
        state = source("services")
        if not arguments.allow_dirty:
            _must_be_clean(state)
        images = build(base=chosen_base(arguments))
        if problems := report(images):
            raise ReleaseError("; ".join(problems))
        version = version_of("services", images[0].context)
        for image in images:
            publish(image, registry, signer, version)
        release_file(arguments.output, version, state.revision, registry, images)
        bundle = signer.sign_file(arguments.output)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}\n{bundle}")
    return 0


def publish(image: Image, registry: Registry, signer: Signer, version: str) -> str:
    """Push one image, with its signature and its attestations."""
    reference = registry.push(image, version)
    say(f"{reference}: pushed")
    signer.sign(reference, registry)
    return reference


def _must_be_clean(state: Source) -> None:
    if state.dirty:
        raise ReleaseError("files are not as committed; commit them, or say --allow-dirty for a test")
    if state.shallow:
        raise ReleaseError("the clone is shallow, so nobody can tell which commit it is of: git fetch --unshallow")


if __name__ == "__main__":
    sys.exit(main())
