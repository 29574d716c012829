"""``ci/release`` to a registry of the tests' own: what it pushes, signs and writes, by the words of cosign and Helm."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from releasing.commands import ROOT, tool
from releasing.signing import throw_away_key

from support.cluster.charts import NAMESPACES
from support.supplychain.built_images import Built

_IMAGE = re.compile(r"[a-z0-9.:/_-]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Made:
    """A release."""

    file: Path
    key: Path
    values: Mapping[str, object]
    images: Mapping[str, str]


def release(registry: str, key: Path, output: Path, *flags: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "ci/release"), f"{registry}/titan", "--key", str(key), "--output", str(output), *flags],
        env={**os.environ, "PYTHON": sys.executable, "COSIGN_PASSWORD": "", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def cosign(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("cosign"), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(images: Mapping[str, Built], registry: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("release")
    private, public = throw_away_key(folder)
    done = release(registry, private, folder / "release.yaml", "--allow-dirty")
    assert done.returncode == 0, done.stderr
    values = yaml.safe_load((folder / "release.yaml").read_text())
    told = values["release"]
    names = {name: f"{told['registry']}/{name}@{digest}" for name, digest in told["digests"].items()}
    return Made(folder / "release.yaml", public, values, names)


def test_it_names_what_was_built(made: Made, images: Mapping[str, Built], registry: str) -> None:
    assert made.images == {name: f"{registry}/titan/{name}@{built.image.digest}" for name, built in images.items()}


def _verify_file(made: Made, file: Path, key: Path) -> subprocess.CompletedProcess[str]:
    bundle = made.file.with_name("release.yaml.sigstore.json")
    return cosign("verify-blob", "--key", str(key), "--insecure-ignore-tlog", "--bundle", str(bundle), str(file))


def test_its_file_is_signed(made: Made, tmp_path: Path) -> None:
    assert _verify_file(made, made.file, made.key).returncode == 0
    changed = tmp_path / "release.yaml"
    changed.write_text(made.file.read_text().replace("operator: sha256:", "operator:  sha256:"))
    assert _verify_file(made, changed, made.key).returncode != 0
    _, other = throw_away_key(tmp_path)
    assert _verify_file(made, made.file, other).returncode != 0


@pytest.mark.parametrize("name", ["operator", "services", "postgresql", "nats"])
def test_each_image_is_signed_and_attested(made: Made, tmp_path: Path, name: str) -> None:
    flags = ("--insecure-ignore-tlog", "--key")
    assert cosign("verify", *flags, str(made.key), made.images[name]).returncode == 0
    _, other = throw_away_key(tmp_path)
    assert cosign("verify", *flags, str(other), made.images[name]).returncode != 0
    parts = _statement(made, name, "cyclonedx")["predicate"]["components"]
    purls = {part["purl"].partition("@")[0] for part in parts}
    wanted = {
        "operator": "pkg:pypi/kopf",
        "services": "pkg:pypi/numpy",
        "postgresql": "pkg:deb/debian/postgresql-15",
        "nats": "pkg:golang/github.com/nats-io/nats-server/v2",
    }
    assert wanted[name] in purls
    assert ("pkg:deb/debian/libc6" in purls) == (name != "nats")
    built = _statement(made, name, "slsaprovenance1")
    assert built["subject"][0]["digest"]["sha256"] == made.images[name].rpartition(":")[2]
    assert built["predicate"]["buildDefinition"]["externalParameters"]["target"] == name


def _statement(made: Made, name: str, kind: str) -> dict[str, dict[str, object]]:
    flags = ("--insecure-ignore-tlog", "--key", str(made.key), "--type", kind)
    done = cosign("verify-attestation", *flags, made.images[name])
    assert done.returncode == 0, done.stderr
    statement = json.loads(base64.b64decode(json.loads(done.stdout.splitlines()[0])["payload"]))
    assert isinstance(statement, dict)
    return statement


def test_every_chart_takes_its_file_and_names_nothing_else(made: Made, tmp_path: Path) -> None:
    policy = tmp_path / "trust.yaml"
    key = {"name": "test", "pem": made.key.read_text()}
    policy.write_text(yaml.safe_dump({"trustPolicy": {"keys": [key], "images": [{"pattern": "registry.example/*"}]}}))
    named: dict[str, set[str]] = {}
    for chart, namespace in NAMESPACES.items():
        flags = {
            "titan": ("-f", str(policy)),
            "titan-data": ("--set", "postgresql.enabled=true", "--set", "nats.enabled=true"),
        }.get(chart, ())
        done = subprocess.run(
            [
                tool("helm"),
                "template",
                "x",
                str(ROOT / "charts" / chart),
                "-n",
                namespace,
                "-f",
                str(made.file),
                *flags,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        named[chart] = set(_IMAGE.findall(done.stdout))
        digests = set(re.findall(r"sha256:[0-9a-f]{64}", done.stdout))
        of_policies = set(re.findall(r"hash: (sha256:[0-9a-f]{64})", done.stdout))
        assert digests - of_policies <= {image.partition("@")[2] for image in made.images.values()}, chart
        if chart == "titan-admission":
            assert digests == {made.images["operator"].partition("@")[2]}
        for line in done.stdout.splitlines():
            if line.strip().startswith(("image:", "- image:")):
                assert line.split()[-1] in made.images.values(), f"{chart}: {line}"
    assert named["titan-stack"] == {made.images["services"]}
    assert named["titan-data"] == {made.images["postgresql"], made.images["nats"]}
    # The operator's own image, and what its trust policy pins.
    assert named["titan"] == {made.images[name] for name in ("operator", "postgresql", "nats")}


def test_the_hook_of_the_inner_loop_signs_what_was_pushed(made: Made, registry: str, tmp_path: Path) -> None:
    told = made.values["release"]
    assert isinstance(told, dict)
    image = f"{registry}/titan/nats:{told['version']}"
    done = subprocess.run(
        [ROOT / "ci/dev-sign", "--folder", tmp_path],
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "SKAFFOLD_IMAGE": image,
            "TITAN_DEV_REGISTRY": f"{registry}/titan",
            "COSIGN_PASSWORD": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == made.images["nats"]
    key = str(tmp_path / "cosign.pub")
    assert cosign("verify", "--insecure-ignore-tlog", "--key", key, made.images["nats"]).returncode == 0
    assert cosign("verify", "--insecure-ignore-tlog", "--key", key, made.images["operator"]).returncode != 0
    policy = yaml.safe_load((tmp_path / "trust.yaml").read_text())["trustPolicy"]
    assert policy["keys"][0]["pem"] == (tmp_path / "cosign.pub").read_text()


def _clone(target: Path, **files: str) -> Path:
    subprocess.run(["git", "clone", "--quiet", f"file://{ROOT}", str(target)], check=True)
    for name, text in files.items():
        (target / "images" / name.replace("_", ".")).write_text(text)
    return target


def test_files_that_are_not_committed_are_no_release(made: Made, registry: str, tmp_path: Path) -> None:
    clone = _clone(tmp_path / "clone", services_lock="# nothing\n")
    done = release(f"{registry}/dirty", made.key.with_suffix(".key"), tmp_path / "release.yaml", root=clone)
    assert done.returncode == 1
    assert "files are not as committed" in done.stderr
    assert not (tmp_path / "release.yaml").exists()


def test_an_image_above_its_budget_is_not_pushed(
    made: Made, registry: str, tmp_path: Path, images: Mapping[str, Built]
) -> None:
    tight = (ROOT / "images/budgets.yaml").read_text().replace("services: {own: 55,", "services: {own: 5,")
    assert "own: 5," in tight
    clone = _clone(tmp_path / "clone", budgets_yaml=tight)
    flags = ("--allow-dirty",)
    done = release(f"{registry}/large", made.key.with_suffix(".key"), tmp_path / "release.yaml", *flags, root=clone)
    assert done.returncode == 1
    assert "services: own is" in done.stderr
    listed = subprocess.run(
        [tool("crane"), "catalog", registry], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert not [name for name in listed if name.startswith("large/")]
    assert not (tmp_path / "release.yaml").exists()
