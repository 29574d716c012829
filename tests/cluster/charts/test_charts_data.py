"""Commands of chart titan-data and docs/database.md work as described, and show no password."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcluster.controlplane import ControlPlane

from support.cluster.charts import DIGEST, ROOT
from support.cluster.documented_commands import commands, notes, typed

CHART = str(ROOT / "charts" / "titan-data")
DATA, STACK = "titan-data", "titan"
URL = re.compile(r"postgresql\+asyncpg://titan:([0-9a-f]{48})@postgresql\.titan-data\.svc:5432/titan")
ENABLED = ("--set", "postgresql.enabled=true", "--set", f"postgresql.image=postgres@{DIGEST}")


def secret(plane: ControlPlane, name: str, namespace: str, key: str) -> str:
    data = json.loads(plane.kubectl("get", "secret", name, "-n", namespace, "-o", "json").stdout)["data"]
    return base64.b64decode(data[key]).decode()


def documented() -> str:
    block = (ROOT / "docs" / "database.md").read_text().split("```")[1]
    return "\n".join(line for line in block.splitlines() if not line.startswith(("helm ", "kubectl create namespace")))


@pytest.fixture(params=["as the chart says", "as the documentation says"])
def way(request: pytest.FixtureRequest, plane: ControlPlane) -> Iterator[str]:
    yield request.param
    plane.helm("uninstall", "titan-data", "--namespace", DATA, check=False)
    plane.kubectl("delete", "secret", "--all", "-n", DATA)
    plane.kubectl("delete", "secret", "--all", "-n", STACK)


def test_the_told_commands_give_the_stack_its_url_and_show_no_password(
    plane: ControlPlane, way: str, tmp_path: Path
) -> None:
    if way.startswith("as the chart"):
        first = notes(plane.helm("install", "titan-data", CHART, "--namespace", DATA).stdout)
        begun = typed(plane, commands(first).partition("  helm ")[0], tmp_path)
        assert begun.returncode == 0, begun.stderr
        second = notes(plane.helm("upgrade", "titan-data", CHART, "--namespace", DATA, *ENABLED).stdout)
        done = typed(plane, "printf " + second.partition("  printf ")[2], tmp_path)
    else:
        done = typed(plane, documented(), tmp_path)
    assert done.returncode == 0, done.stderr
    url = secret(plane, "titan-database", STACK, "url")
    found = URL.fullmatch(url)
    assert found is not None, "a URL of another shape"
    assert found[1] == secret(plane, "titan-postgresql", DATA, "password")
    assert found[1] not in (tmp_path / "arguments").read_text() + done.stdout + done.stderr


def test_a_chart_that_runs_nats_says_that_nothing_uses_it(plane: ControlPlane) -> None:
    values = ("--set", "nats.enabled=true", "--set", f"nats.image=nats@{DIGEST}")
    said = notes(plane.helm("install", "with-nats", CHART, "--namespace", DATA, *values).stdout)
    plane.helm("uninstall", "with-nats", "--namespace", DATA)
    assert "NATS is used by nothing in this version" in said
    assert "postgresql" not in said
