"""The build context: everything that an image takes, named by hash, in one folder. No build needs a network.

One folder an image, of the name of its target in images/Dockerfile.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from pathlib import Path

from releasing.base import PYTHON, Base
from releasing.commands import ROOT, ReleaseError, key_of, made_once, run, say, sha256, tool
from releasing.source import WHEEL, copy_files

IMAGES = ROOT / "images"
PYTHON_IMAGES = ("operator", "services")
TARGETS = (*PYTHON_IMAGES, "postgresql", "nats")
# Debian bookworm's C library is 2.36.
_PLATFORMS = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1))
# Of what Debian's PostgreSQL depends on, what its server and clients load. The rest is for clusters made by
# postgresql-common, locales, and compiling queries (libLLVM: 110 MB).
_POSTGRESQL = (
    *("postgresql-15", "postgresql-client-15", "libpq5", "libicu72", "libxml2", "libxslt1.1", "libstdc++6", "tzdata"),
    *("libldap-2.5-0", "libsasl2-2", "libsasl2-modules-db", "libgssapi-krb5-2", "libkrb5-3", "libkrb5support0"),
    *("libk5crypto3", "libkeyutils1", "libcom-err2", "libreadline8", "readline-common"),
)


def make_context(target: str, folder: Path, base: Base | None) -> None:
    """Fill ``folder`` with what the image of that name takes.

    Raises
    ------
    ReleaseError
        Something cannot be built or fetched, or the machine is not one that images are made for.
    """
    if platform.machine() != "x86_64":
        raise ReleaseError(f"images are made for x86_64 only yet, on such a machine; this one is {platform.machine()}")
    folder.mkdir(parents=True)
    if target in PYTHON_IMAGES:
        _python(target, folder)
    elif target == "postgresql":
        _postgresql(folder, base)
    else:
        shutil.copyfile(tool("nats-server"), folder / "nats-server")
        (folder / "nats-server").chmod(0o755)
    for path in (IMAGES / "parts" / target).glob("*"):
        shutil.copyfile(path, folder / path.name)


def _python(target: str, folder: Path) -> None:
    wheels = folder / "wheels"
    wheels.mkdir()
    lock = IMAGES / f"{target}.lock"
    for wanted in (lock, IMAGES / "installer.lock"):
        for wheel in locked_wheels(wanted).iterdir():
            shutil.copyfile(wheel, wheels / wheel.name)
    own = own_wheel(wheels)
    name, version = own.name.split("-")[:2]
    requirements = f"{lock.read_text()}{name}=={version} --hash=sha256:{sha256(own)}\n"
    (folder / "requirements.txt").write_text(requirements)
    shutil.copyfile(IMAGES / "install", folder / "install")


def locked_wheels(lock: Path) -> Path:
    """Return a folder with the wheels of a lock file, each of a hash that the lock names."""
    with made_once("wheels", key_of(lock.read_bytes(), *_PLATFORMS)) as (folder, filling):
        if filling is not None:
            say(f"wheels of {lock.name}: fetching")
            platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
            arguments = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
            run(
                *(sys.executable, "-m", "pip", "download", *arguments, "--only-binary", ":all:", *platforms),
                *("--implementation", "cp", "--python-version", PYTHON, "-r", str(lock), "--dest", str(filling)),
            )
    return folder


def own_wheel(target: Path) -> Path:
    """Build this repository's wheel into ``target``: the same bytes for the same files, wherever they are."""
    with tempfile.TemporaryDirectory() as temporary:
        # A copy, as the build makes the protos' Python anew, which whoever runs from this tree has open.
        tree = Path(temporary) / "tree"
        copy_files(tree, WHEEL)
        arguments = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
        # 2020, for all times within: so the wheel is of the files alone, not of their commit.
        run(
            *(sys.executable, "-m", "pip", "wheel", *arguments, "--wheel-dir", temporary, str(tree)),
            environment={"SOURCE_DATE_EPOCH": "1580601600"},
        )
        (made,) = Path(temporary).glob("*.whl")
        return Path(shutil.move(made, target / made.name))


def _postgresql(folder: Path, base: Base | None) -> None:
    if base is None or base.packages is None:
        raise ReleaseError("postgresql: its packages are resolved against the own base only; leave --base out for it")
    (folder / "packages").mkdir()
    for name in _POSTGRESQL:
        found = list(base.packages.glob(f"{name}_*.deb"))
        # None: the base has it.
        for package in found:
            shutil.copyfile(package, folder / "packages" / package.name)
    if not any(folder.glob("packages/postgresql-15_*.deb")):
        raise ReleaseError(f"postgresql: no package of it in {base.packages}")
