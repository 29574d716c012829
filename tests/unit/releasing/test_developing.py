"""A developer's own trust policy: as the operator and the chart read it; and skaffold.yaml, which uses it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from releasing import developing
from releasing.commands import ROOT
from releasing.context import PYTHON_IMAGES
from releasing.signing import Registry

from titan_operator.supplychain.trust import load_trust_policy


def _public(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    path = folder / "cosign.pub"
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.mark.parametrize("plain_http", [True, False])
def test_the_operator_reads_it(tmp_path: Path, plain_http: bool) -> None:
    registry = Registry("k3d-titan.localhost:5000/titan", plain_http)
    policy = yaml.safe_load(developing.trust_policy(_public(tmp_path), registry))["trustPolicy"]
    read = load_trust_policy(yaml.safe_dump(policy).encode())
    assert [key.name for key in read.keys] == ["throw-away"]
    assert policy.get("registries") == ({"plainHttp": ["k3d-titan.localhost:5000"]} if plain_http else None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["registry.example/titan/operator:1", "--registry", "other.example/titan"], "is none of other.example/titan/"),
        (["registry.example/titan2/operator:1", "--registry", "registry.example/titan"], "is none of"),
        (["registry.example/titan/operator:1", "--registry", ""], "allowed is HOST"),
    ],
)
def test_nothing_else_is_signed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "cosign.key").write_text("is there")
    _public(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ci/dev-sign", "--folder", str(tmp_path), *arguments])
    assert developing.main() == 1
    assert said in capsys.readouterr().err


def test_skaffold_names_what_there_is() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    artifacts = config["build"]["artifacts"]
    assert tuple(artifact["image"] for artifact in artifacts) == PYTHON_IMAGES
    for artifact in artifacts:
        command = artifact["custom"]["buildCommand"].split()
        assert command[1] == artifact["image"]
        for script in (command[0], *artifact["hooks"]["after"][0]["command"]):
            assert (ROOT / script).stat().st_mode & 0o100
        for path in artifact["custom"]["dependencies"]["paths"]:
            assert (ROOT / path.removesuffix("/**")).exists()
    releases = config["deploy"]["helm"]["releases"]
    assert [Path(release["chartPath"]).name for release in releases] == ["titan-admission", "titan", "titan-stack"]
    for release in releases:
        values = yaml.safe_load((ROOT / release["chartPath"] / "values.yaml").read_text())
        for key in release["setValueTemplates"]:
            assert key.split(".")[0] in values
