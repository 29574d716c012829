"""The documents about clusters: every named file, command and value exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.stack.local_processes import REPOSITORY
from titan.cli.cluster.advice import ADVICE
from titan.cli.cluster.app import app, policy_app

DOCS = REPOSITORY / "docs"
CLUSTER = (DOCS / "cluster.md").read_text()
COMMANDS = (DOCS / "kubectl-titan.md").read_text()


def table(text: str, title: str) -> list[list[str]]:
    """Read the rows of the table whose head begins with ``title``."""
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"| {title} |"))
    rows = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.replace("NAME|FILE", "NAME"))[1:-1]])
    return rows


def test_every_command_has_its_row_and_no_other() -> None:
    named = {name for row in table(COMMANDS, "Command") for name in re.findall(r"`([a-z-]+(?: [a-z]+)?)", row[0])}
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    commands |= {f"policy {command.name}" for command in policy_app.registered_commands}
    assert named == commands


def test_every_condition_has_its_row() -> None:
    named = [name.strip() for row in table(CLUSTER, "Condition") for name in row[0].split(",")]
    assert sorted(named) == sorted(ADVICE)


def test_verbs_are_those_that_the_charts_check() -> None:
    named = {row[0].strip("`"): row[2] for row in table(CLUSTER, "Verb")}
    templates = "".join(path.read_text() for path in (REPOSITORY / "charts/titan-admission/templates").glob("*.yaml"))
    checked = set(re.findall(r'include "titan-admission\.may" "(\w+)"', templates))
    roles = (REPOSITORY / "charts/titan/templates/userroles.yaml").read_text()
    assert set(named) == checked
    assert all(f"name: {role}" in roles for role in named.values())


@pytest.mark.parametrize("path", [DOCS / "cluster.md", DOCS / "kubectl-titan.md", REPOSITORY / "README.md"], ids=str)
def test_linked_and_named_paths_exist(path: Path) -> None:
    text = path.read_text()
    linked = [path.parent / target for target in re.findall(r"\]\(([\w./-]+)\)", text)]
    named = [REPOSITORY / target for target in re.findall(r"(?:charts|examples|policies|crds)/[\w./-]*[\w/]", text)]
    assert [str(each) for each in (*linked, *named) if not each.exists()] == []


def test_values_of_the_installation_exist() -> None:
    for chart, keys in re.findall(r"helm install [\w-]+ charts/([\w-]+)((?:[^`]*?\\\n)?[^\n`]*)", CLUSTER):
        known = yaml.safe_load((REPOSITORY / "charts" / chart / "values.yaml").read_text())
        files = {"release.yaml": "release", "trust.yaml": "trustPolicy"}
        settings = re.findall(r"--set '?([\w.]+)=", keys) + [files[name] for name in re.findall(r"-f (\S+)", keys)]
        assert settings, chart
        for setting in settings:
            value = known
            for key in setting.split("."):
                assert key in value, f"{chart}: {setting}"
                value = value[key]


def test_the_example_of_a_diff_is_what_is_printed(tmp_path: Path) -> None:
    program = [Path(sys.executable).parent / "kubectl-titan", "policy"]
    standard = str(REPOSITORY / "policies" / "standard.yaml")
    new = subprocess.run(
        [*program, "new", "--from", standard, "--set", "maxOrderNotional=5000"],
        check=True,
        capture_output=True,
        text=True,
    )
    (tmp_path / "new.yaml").write_text(new.stdout)
    shown = subprocess.run(
        [*program, "diff", standard, "new.yaml"], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    row = shown.splitlines()[1].split()
    assert " ".join(row) in re.sub(r" +", " ", COMMANDS)
