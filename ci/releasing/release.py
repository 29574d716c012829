"""``ci/release``: Titan's images built, pushed by digest, signed and attested; and the signed file of their digests."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from releasing.build import TITLES, Image, build
from releasing.commands import ReleaseError, say
from releasing.images import add_base, chosen_base, report
from releasing.materials import bill, provenance
from releasing.releasefile import release_file
from releasing.signing import Registry, Signer
from releasing.source import Source, source


def main() -> int:
    """Make a release."""
    parser = argparse.ArgumentParser(
        prog="ci/release",
        description=__doc__,
        epilog="COSIGN_PASSWORD holds the key's password; `crane auth login` keeps a registry's credentials.",
    )
    parser.add_argument("registry", metavar="REGISTRY[/PATH]", help="where images go: REGISTRY/PATH/operator and so on")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--key", help="private key: a file, env://VARIABLE, or a KMS address as cosign takes it")
    who.add_argument("--keyless", action="store_true", help="by the identity of a hosted workflow (was not run here)")
    parser.add_argument("--output", type=Path, default=Path("release.yaml"), help="the release file (%(default)s)")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS: for tests")
    parser.add_argument("--allow-dirty", action="store_true", help="also of files that are not committed: for tests")
    parser.add_argument("--builder", default="urn:titan:builder:own", help="URI of who builds, for the provenance")
    add_base(parser)
    arguments = parser.parse_args()
    try:
        registry, signer = Registry(arguments.registry, arguments.plain_http), Signer(arguments.key)
        state = source("services")
        if not arguments.allow_dirty:
            _must_be_clean(state)
        images = build(base=chosen_base(arguments))
        _must_fit(report(images))
        version = next(image.version for image in images if image.target == "services")
        for image in images:
            publish(image, registry, signer, version, arguments.builder)
        release_file(arguments.output, version, state.revision, registry, images)
        bundle = signer.sign_file(arguments.output)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}\n{bundle}")
    return 0


def publish(image: Image, registry: Registry, signer: Signer, tag: str, builder: str) -> str:
    """Push one image with its signature, its bill of materials and its provenance; return its name by digest."""
    reference = registry.push(image, tag)
    signer.sign(reference, registry)
    bom = bill(TITLES[image.target], image.version, image.digest, image.parts)
    signer.attest(reference, "cyclonedx", bom, registry)
    signer.attest(
        reference, "slsaprovenance1", provenance(image.target, image.state, image.base, builder, image.parts), registry
    )
    say(f"{reference}: pushed, signed, attested")
    return reference


def _must_fit(problems: list[str]) -> None:
    if problems:
        raise ReleaseError("; ".join(problems))


def _must_be_clean(state: Source) -> None:
    if state.dirty:
        raise ReleaseError("files are not as committed; commit them, or say --allow-dirty for a test")
    if state.shallow:
        raise ReleaseError("the clone is shallow, so nobody can tell which commit it is of: git fetch --unshallow")


if __name__ == "__main__":
    sys.exit(main())
