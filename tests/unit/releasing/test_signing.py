"""Where a release goes and who signs it: what is refused before anything is pushed; and the file that names it all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from releasing.base import given_base
from releasing.build import Image
from releasing.commands import ReleaseError
from releasing.releasefile import release_file
from releasing.signing import Registry, Signer
from releasing.source import Source

DIGEST = "sha256:" + "a" * 64
STATE = Source("b" * 40, 1_700_000_000, dirty=False, shallow=False)


def _image(folder: Path, target: str, digest: str = DIGEST) -> Image:
    layout = folder / target
    layout.mkdir()
    (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": digest}]}))
    return Image(target, layout, "1.2.3", (), STATE, f"base@{DIGEST}")


@pytest.mark.parametrize(
    "prefix", ["registry.example", "registry.example/titan", "127.0.0.1:5000/a/b_c", "localhost:1"]
)
def test_a_registry(prefix: str) -> None:
    assert Registry(prefix).prefix == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "https://registry.example",
        "registry.example/",
        "registry.example/Titan",
        "r:5000:1",
        "r/a b",
        "r/titan:1",
        "-r",
    ],
)
def test_no_registry(prefix: str) -> None:
    with pytest.raises(ReleaseError, match="allowed is HOST"):
        Registry(prefix)


def test_a_key_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TITAN_TEST_KEY", raising=False)
    with pytest.raises(ReleaseError, match="no such file"):
        Signer(str(tmp_path / "cosign.key"))
    with pytest.raises(ReleaseError, match="that variable is empty"):
        Signer("env://TITAN_TEST_KEY")
    monkeypatch.setenv("TITAN_TEST_KEY", "-----BEGIN")
    assert Signer("env://TITAN_TEST_KEY").key == "env://TITAN_TEST_KEY"
    assert Signer("awskms:///alias/titan").key == "awskms:///alias/titan"


@pytest.mark.parametrize("reference", ["python:3.11", "python", "python@sha256:abc", f"python@{DIGEST}0"])
def test_a_base_is_named_by_digest(reference: str) -> None:
    with pytest.raises(ReleaseError, match="--base"):
        given_base(reference)


def test_a_base_of_somebody_else() -> None:
    base = given_base(f"docker.io/library/python@{DIGEST}")
    assert (base.digest, base.layout, base.packages) == (DIGEST, None, None)


def test_the_release_file(tmp_path: Path) -> None:
    images = [_image(tmp_path, "operator"), _image(tmp_path, "services", "sha256:" + "c" * 64)]
    registry = Registry("registry.example/titan")
    release_file(tmp_path / "release.yaml", "1.2.3", STATE.revision, registry, images)
    assert yaml.safe_load((tmp_path / "release.yaml").read_text()) == {
        "release": {
            "version": "1.2.3",
            "revision": "b" * 40,
            "registry": "registry.example/titan",
            "digests": {"operator": DIGEST, "services": "sha256:" + "c" * 64},
        }
    }
    assert registry.reference(images[0]) == f"registry.example/titan/operator@{DIGEST}"
