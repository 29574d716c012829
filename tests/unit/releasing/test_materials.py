"""Bill of materials and provenance of an image."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from releasing.materials import Material, bill, materials, provenance, read, write
from releasing.source import Source

DIGEST = "sha256:" + "a" * 64
BASE = f"localhost/debian@sha256:{'d' * 64}"
STATUS = """\
Package: libc6
Status: install ok installed
Version: 2.36-9+deb12u14
Description: GNU C Library
 Version: of the text, no field

Package: perl
Status: deinstall ok config-files
Version: 5.36

Package: libpq5
Status: install ok installed
Version: 15.1
"""


def _layer(path: Path, **files: str) -> Path:
    with gzip.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    for name, content in {
        "wheels/typing_extensions-4.1-py3-none-any.whl": b"wheel",
        "wheels/pip-26-py3-none-any.whl": b"pip",
        "packages/libpq5_15.20-0+deb12u1_amd64.deb": b"deb",
        "packages/libllvm14_1%3a14.0.6-12_amd64.deb": b"llvm",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_materials(tmp_path: Path, context: Path) -> None:
    base = _layer(tmp_path / "base", **{"./etc/hosts": "", "./var/lib/dpkg/status": STATUS})
    own = _layer(tmp_path / "own", **{"opt/titan/x": "1"})
    found = materials(context, [base, own])
    assert found == [
        Material("deb", "libc6", "2.36-9+deb12u14"),
        Material("deb", "libllvm14", "1:14.0.6-12", hashlib.sha256(b"llvm").hexdigest()),
        # The package of the context, not what a base said of an older one.
        Material("deb", "libpq5", "15.20-0+deb12u1", hashlib.sha256(b"deb").hexdigest()),
        Material("pypi", "typing-extensions", "4.1", hashlib.sha256(b"wheel").hexdigest()),
    ]
    write(tmp_path / "parts.json", found)
    assert read(tmp_path / "parts.json") == found


PARTS = [Material("deb", "libc6", "2.36"), Material("golang", "github.com/nats-io/jwt/v2", "v2.8", "b" * 64)]


def test_a_bill() -> None:
    said = json.loads(bill("Titan's operator", "1.2.3", DIGEST, PARTS))
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
    assert said["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert {part["purl"] for part in said["components"]} == {
        "pkg:deb/debian/libc6@2.36",
        "pkg:golang/github.com/nats-io/jwt/v2@v2.8",
    }
    assert bill("Titan's operator", "1.2.3", DIGEST, PARTS) == bill("Titan's operator", "1.2.3", DIGEST, PARTS)
    assert bill("Titan's operator", "1.2.3", DIGEST[:-1] + "b", PARTS) != json.dumps(said)


@pytest.mark.parametrize(("revision", "dirty"), [("c" * 40, False), ("c" * 40 + "-dirty", True)])
def test_a_provenance(revision: str, dirty: bool) -> None:
    state = Source(revision, 1_700_000_000, dirty=dirty, shallow=False)
    said = json.loads(provenance("nats", state, BASE, "urn:somebody", PARTS))
    definition = said["buildDefinition"]
    assert definition["externalParameters"]["filesNotCommitted"] is dirty
    assert definition["externalParameters"]["target"] == "nats"
    assert {"name": "source", "digest": {"gitCommit": "c" * 40}} in definition["resolvedDependencies"]
    assert {"name": "localhost/debian", "digest": {"sha256": "d" * 64}} in definition["resolvedDependencies"]
    # Only what has a hash is told as what it was built from.
    assert len(definition["resolvedDependencies"]) == 3
    assert said["runDetails"] == {"builder": {"id": "urn:somebody"}}
