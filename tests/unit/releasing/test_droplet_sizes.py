"""The sizing of docs/install/droplet.md: what charts and operator really ask for, and that it fits 4 GB."""

from __future__ import annotations

import re
from typing import Any

import yaml
from releasing.commands import ROOT

from titan_operator.planning.roles import PLANNED_ROLES

# Of 4 GB about 3.8 GiB are seen, and 1.2 GiB of those are planned for k3s and the system.
MIB_FOR_PODS = 2600
_ROW = re.compile(r"^\| (?P<what>[^|]+?) \| (?P<request>\d+) MiB \| (?P<limit>\d+) MiB \|$", re.MULTILINE)


def _values(chart: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "charts" / chart / "values.yaml").read_text())
    return read


def _mib(text: str) -> int:
    assert text.endswith("Mi")
    return int(text.removesuffix("Mi"))


def test_the_table_is_what_is_asked_for() -> None:
    text = (ROOT / "docs/install/droplet.md").read_text()
    rows = {row["what"].split()[0].strip(",:"): (int(row["request"]), int(row["limit"])) for row in _ROW.finditer(text)}
    stack = sum(_mib(role.memory) for role in PLANNED_ROLES.values())
    data = _values("titan-data")
    asked = {
        "operator": _values("titan")["resources"],
        "PostgreSQL": data["postgresql"]["resources"],
        "NATS": data["nats"]["resources"],
    }
    wanted = {what: (_mib(it["requests"]["memory"]), _mib(it["limits"]["memory"])) for what, it in asked.items()}
    wanted["a"] = (stack, stack)
    wanted["all"] = (sum(one for one, _ in wanted.values()), sum(most for _, most in wanted.values()))
    assert rows == wanted
    for role in PLANNED_ROLES.values():
        assert f"{role.name} {_mib(role.memory)}" in text
    assert wanted["all"][1] < MIB_FOR_PODS
    assert wanted["all"][1] + stack > MIB_FOR_PODS, "a second stack fits now: the guide says that it does not"
