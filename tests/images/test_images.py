"""Contents of the images, and their programs as in a pod: another user, a read-only root, no capabilities."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from releasing import build as building
from releasing.base import debian_base
from releasing.build import build
from releasing.commands import ROOT, ReleaseError
from releasing.context import PYTHON_IMAGES, TARGETS, make_context
from releasing.images import report

from support.supplychain.built_images import Built, run

USER, POSTGRES = 10001, 999
COMMANDS = {
    "operator": {"titan-operator"},
    "services": {
        *("titan-marketdata", "titan-papervenue", "titan-execution", "titan-brain", "titan-phase", "titan-migrate"),
    },
}
_UNCHECKED = 1


@pytest.mark.parametrize("target", PYTHON_IMAGES)
def test_it_has_its_commands_and_no_other(images: Mapping[str, Built], target: str) -> None:
    scripts = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])
    found = {path.name for path in (images[target].tree / "opt/titan/bin").iterdir()}
    assert found & scripts == COMMANDS[target]
    assert not {"pip", "activate", "f2py", "alembic"} & found
    # Whatever a pod may be planned with is in one of the two.
    assert set().union(*COMMANDS.values()) == scripts - {"titan", "kubectl-titan"}


@pytest.mark.parametrize("target", TARGETS)
def test_it_is_nobody_s_and_says_what_it_is(images: Mapping[str, Built], target: str) -> None:
    image = images[target].image
    manifest = image.json(image.digest)
    config = image.json(manifest["config"]["digest"])
    user, group = config["config"]["User"].split(":")
    assert user == group == str(POSTGRES if target == "postgresql" else USER)
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == image.version
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert "io.buildah.version" not in labels
    if target != "nats":
        assert manifest["annotations"]["org.opencontainers.image.base.digest"] == debian_base().digest
    text = image.blob(image.digest).read_text() + image.blob(manifest["config"]["digest"]).read_text()
    assert str(ROOT) not in text
    assert "127.0.0.1" not in text


@pytest.mark.parametrize("target", PYTHON_IMAGES)
def test_its_files(images: Mapping[str, Built], target: str) -> None:
    root = images[target].tree / "opt/titan"
    sources = [path for path in root.rglob("*.py") if "/lib2to3/" not in path.as_posix()]
    assert len(sources) > 500
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"
        header = compiled.read_bytes()[:8]
        assert int.from_bytes(header[4:], "little") == _UNCHECKED, compiled
    assert list(root.rglob("direct_url.json")) == []
    for path in root.rglob("*"):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (0, 0), path
        assert stat.S_ISLNK(status.st_mode) or not status.st_mode & (stat.S_IWOTH | stat.S_IWGRP), path
        assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), path
    foreign = str(ROOT).encode()
    assert [path for path in root.rglob("*") if path.is_file() and foreign in path.read_bytes()] == []


def test_its_library_is_compiled_too(images: Mapping[str, Built]) -> None:
    compiled = images["services"].tree / "usr/lib/python3.11/json/__pycache__/decoder.cpython-311.pyc"
    assert int.from_bytes(compiled.read_bytes()[4:8], "little") == _UNCHECKED


def test_services_run_with_a_read_only_root(images: Mapping[str, Built]) -> None:
    modules = "grpc, numpy, asyncpg, titan.brain.app, titan.execution.app, titan.marketdata.app, titan.phase.app"
    done = run(images["services"], USER, "python3", "-c", f"import {modules}, titan.papervenue.app")
    assert done.returncode == 0, done.stderr
    migrated = run(
        *(images["services"], USER, "sh", "-c", "titan-migrate && test -s /var/lib/titan/*.db"),
        writable=("/var/lib/titan", "/tmp"),
        TITAN_ROLE="brain",
        TITAN_STATE_DIR="/var/lib/titan",
    )
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr


def test_a_root_that_cannot_be_written_is_one(images: Mapping[str, Built]) -> None:
    done = run(images["services"], 0, "sh", "-c", "touch /opt/titan/x")
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_the_operator_runs_until_it_misses_its_cluster(images: Mapping[str, Built]) -> None:
    done = run(images["operator"], USER, "titan-operator")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert "role is missing" in done.stdout + done.stderr


POSTGRES_SCRIPT = """
printf '%s' "$SECRET" > /var/lib/postgresql/data/password
titan-postgresql > /tmp/log 2>&1 &
server=$!
i=0
until pg_isready --quiet --username titan --dbname titan; do
  i=$((i+1)); [ $i -lt 200 ] || { cat /tmp/log; exit 9; }
  kill -0 $server 2>/dev/null || { cat /tmp/log; exit 8; }
  sleep 0.1
done
PGPASSWORD="$SECRET" psql --host 127.0.0.1 --username titan -At --command 'select current_database()'
PGPASSWORD=wrong psql --host 127.0.0.1 --username titan --command 'select 1' 2>&1 && exit 7
kill -INT $server; wait $server
"""


def test_postgresql_starts_with_a_password_and_ends_in_order(images: Mapping[str, Built]) -> None:
    data = "/var/lib/postgresql/data"
    done = run(
        *(images["postgresql"], POSTGRES, "sh", "-c", POSTGRES_SCRIPT + f"pg_controldata {data}/pgdata | grep state"),
        writable=(data, "/run/postgresql", "/tmp", "/dev/shm"),
        PGDATA=f"{data}/pgdata",
        POSTGRES_USER="titan",
        POSTGRES_DB="titan",
        POSTGRES_PASSWORD_FILE=f"{data}/password",
        SECRET="no-guess",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("titan\n")
    assert "password authentication failed" in done.stdout
    assert "shut down" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("missing", ["PGDATA", "POSTGRES_PASSWORD_FILE"])
def test_postgresql_says_what_it_misses(images: Mapping[str, Built], missing: str) -> None:
    given = {"PGDATA": "/tmp/data", "POSTGRES_PASSWORD_FILE": "/tmp/password"}
    done = run(images["postgresql"], POSTGRES, "titan-postgresql", **{k: v for k, v in given.items() if k != missing})
    assert done.returncode != 0
    assert f"{missing}: missing" in done.stderr


def test_nats_is_one_file(images: Mapping[str, Built]) -> None:
    files = [path for path in images["nats"].tree.rglob("*") if path.is_file()]
    assert [path.relative_to(images["nats"].tree).as_posix() for path in files] == ["usr/local/bin/nats-server"]
    done = subprocess.run([files[0], "--version"], capture_output=True, text=True, check=True, env={})
    assert done.stdout.strip().endswith(images["nats"].image.version)
    assert os.access(files[0], os.X_OK)


def test_they_fit_their_budgets(images: Mapping[str, Built], capsys: pytest.CaptureFixture[str]) -> None:
    assert report([built.image for built in images.values()]) == []
    said = capsys.readouterr().out
    assert all(target in said for target in TARGETS)


def test_a_wheel_of_another_hash_is_not_installed(
    images: Mapping[str, Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tampered(target: str, folder: Path, base: object) -> None:
        make_context(target, folder, debian_base())
        wheel = next(folder.glob("wheels/h11-*.whl"))
        data = bytearray(wheel.read_bytes())
        data[len(data) // 2] ^= 1
        wheel.write_bytes(data)

    monkeypatch.setattr(building, "make_context", tampered)
    with pytest.raises(ReleaseError, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        build(("services",))
