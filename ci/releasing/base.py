"""The images' base: Debian with Python, made by mmdebstrap to the same bytes wherever the same packages are served.

And Debian's packages for PostgreSQL, resolved against that base in the same run, so that both are of one moment.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from releasing.commands import ReleaseError, key_of, made_once, run, say, tool
from releasing.localregistry import local_registry

SUITE = "bookworm"
PYTHON = "3.11"
POSTGRESQL = 15
NAME = f"localhost/debian-{SUITE}-python{PYTHON}"
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_COMPILE = (
    'PYTHONHASHSEED=0 chroot "$1" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.11'
)
_DOWNLOAD = (
    'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; apt-get clean; '
    f"apt-get -q=2 -y --no-install-recommends --download-only install postgresql-{POSTGRESQL} >&2"
)
_RECIPE = (
    *("--mode=root", "--variant=minbase", "--format=tar"),
    # usrmerge, which it would take else, brings all of Perl.
    *("--include=python3,ca-certificates,usr-is-merged", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"),
    *(
        f"--dpkgopt=path-{rule}"
        for rule in (
            *("exclude=/usr/share/doc/*", "include=/usr/share/doc/*/copyright", "exclude=/usr/share/man/*"),
            *("exclude=/usr/share/info/*", "exclude=/usr/share/locale/*"),
        )
    ),
    f"--customize-hook={_COMPILE}",
    f"--customize-hook={_DOWNLOAD}",
)


@dataclass(frozen=True)
class Base:
    """The base of images.

    Parameters
    ----------
    reference
        Its name with its digest.
    layout
        An OCI layout that holds it; None where it is some registry's.
    packages
        Folder of Debian's packages for PostgreSQL that it has not; empty where nobody resolved them.
    """

    reference: str
    layout: Path | None
    packages: Path | None

    @property
    def digest(self) -> str:
        """``sha256:…`` of its manifest."""
        return self.reference.rpartition("@")[2]


def debian_base(*, anew: bool = False) -> Base:
    """Return the base kept from before, or one of what Debian serves now.

    Raises
    ------
    ReleaseError
        mmdebstrap is missing, not root's, or failed.
    """
    with made_once("bases", key_of(SUITE, *_RECIPE), anew=anew) as (folder, filling):
        if filling is not None:
            say(f"base: Debian {SUITE} with Python {PYTHON} (about 30 s, once)")
            tree, packages = filling / "tree.tar", filling / "packages"
            packages.mkdir()
            out = f"--customize-hook=sync-out /var/cache/apt/archives {packages}"
            # In mounts of its own: a run that is killed leaves none on the machine.
            command = ("unshare", "--mount", "mmdebstrap", *_RECIPE, out, SUITE, str(tree))
            run(*command, environment={"SOURCE_DATE_EPOCH": "0"}, within_s=1200)
            for path in packages.iterdir():
                if path.suffix != ".deb":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            _into_layout(tree, filling / "layout")
            tree.unlink()
    layout = folder / "layout"
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return Base(f"{NAME}@{digest}", layout, folder / "packages")


def given_base(reference: str) -> Base:
    """Return a base of somebody else's: by digest only, and without PostgreSQL's packages.

    Raises
    ------
    ReleaseError
        It is named by a tag.
    """
    if not _DIGEST.search(reference):
        raise ReleaseError(f"--base: {reference!r} is no digest; allowed is NAME@sha256:<64 hexadecimal digits>")
    return Base(reference, None, None)


def _into_layout(tree: Path, layout: Path) -> None:
    crane = tool("crane")
    with local_registry() as address:
        name = f"{address}/base"
        run(crane, "append", "--oci-empty-base", "--new_layer", str(tree), "--new_tag", f"{name}:tree")
        said = run(crane, "mutate", f"{name}:tree", "--set-platform", "linux/amd64", "--tag", f"{name}:base")
        run(crane, "pull", "--format=oci", said.strip(), str(layout))
