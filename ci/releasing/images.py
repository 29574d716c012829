"""``ci/images``: Titan's images, built and measured."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from releasing.base import Base, debian_base, given_base
from releasing.build import Image, build
from releasing.commands import ReleaseError
from releasing.context import TARGETS, make_context
from releasing.sizes import budgets, over, size, table


def add_base(parser: argparse.ArgumentParser) -> None:
    """Flags that say what images are built on."""
    parser.add_argument("--base", help="NAME@sha256:… instead of the Debian base that is made here")
    parser.add_argument("--fresh-base", action="store_true", help="make the Debian base anew, of what is served today")


def chosen_base(arguments: argparse.Namespace) -> Base:
    """Return the options of those flags."""
    return given_base(arguments.base) if arguments.base else debian_base(anew=arguments.fresh_base)


def report(images: list[Image]) -> list[str]:
    """Print the images with their sizes; return which budgets they exceed."""
    measured = {image.target: (image.digest, size(image)) for image in images}
    print(table(measured))
    allowed = budgets()
    return [line for target, (_, found) in measured.items() for line in over(target, found, allowed[target])]


def main() -> int:
    """Build images, or only what a build of one's own takes."""
    parser = argparse.ArgumentParser(prog="ci/images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build, print digests and sizes, fail above a budget")
    building.add_argument("targets", nargs="*", metavar="IMAGE", help=f"of {', '.join(TARGETS)}; all without one")
    building.add_argument("--layouts", type=Path, metavar="DIR", help="copy each as an OCI layout to DIR/IMAGE")
    context = commands.add_parser("context", help="the build context, for `docker build --file images/Dockerfile`")
    context.add_argument("folder", type=Path, metavar="DIR", help="gets a folder for each image, made anew")
    context.add_argument("targets", nargs="*", metavar="IMAGE")
    for command in (building, context):
        add_base(command)
    arguments = parser.parse_args()
    targets = tuple(arguments.targets) or TARGETS
    if unknown := [target for target in targets if target not in TARGETS]:
        parser.error(f"no image {unknown[0]!r}: there are {', '.join(TARGETS)}")
    try:
        if arguments.command == "context":
            # Most take nothing of it, and it takes root to make.
            base = chosen_base(arguments) if "postgresql" in targets else None
            for target in targets:
                # Only its own part of the folder: other files in it are not the build's.
                shutil.rmtree(arguments.folder / target, ignore_errors=True)
                make_context(target, arguments.folder / target, base)
            return 0
        images = build(targets, chosen_base(arguments))
        problems = report(images)
        for image in images if arguments.layouts else ():
            shutil.copytree(image.layout, arguments.layouts / image.target, dirs_exist_ok=True)
    except ReleaseError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"images: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
