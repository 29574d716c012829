"""What hosted machines keep between two runs is where the tools and images are built, on whatever machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from releasing import commands
from testcluster import toolchain

WORKFLOWS = Path(__file__).resolve().parents[3] / ".github" / "workflows"
FILES = sorted(WORKFLOWS.glob("*.yml"))
# A path of one machine, as it was written where somebody ran it once.
_HOME = re.compile(r"(?<![\w}/])/(?:root|home|Users)\b")


def steps(file: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(file.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_workflow_names_the_home_of_a_machine(file: Path) -> None:
    assert _HOME.findall(file.read_text()) == []


@pytest.mark.parametrize("text", ["path: /{}/.cache", "HOME=/{}", "run: cd /{}/ana"])
@pytest.mark.parametrize("home", ["root", "home"])
def test_such_a_name_would_be_found(text: str, home: str) -> None:
    assert _HOME.search(text.format(home))


def test_what_is_kept_is_where_tools_and_images_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = [step["with"]["path"] for step in steps(WORKFLOWS / "ci.yml") if "actions/cache" in step.get("uses", "")]
    (run,) = [step for step in steps(WORKFLOWS / "ci.yml") if step.get("run", "").endswith(".ci/run")]
    home = run["env"]["XDG_CACHE_HOME"]
    # sudo begins with an environment of its own.
    assert '"XDG_CACHE_HOME=$XDG_CACHE_HOME"' in run["run"]
    for name in ("TITAN_TOOLS_DIR", "TITAN_IMAGES_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    assert Path(kept) in toolchain.cache_dir().parents
    assert Path(kept) in commands.cache("built").parents


def test_the_kept_tools_are_known_by_what_their_paths_are_made_of() -> None:
    (key,) = [step["with"]["key"] for step in steps(WORKFLOWS / "ci.yml") if "actions/cache" in step.get("uses", "")]
    # Else each change of the program that builds them has a hosted machine build them all.
    assert re.findall(r"'([^']+)'", key) == ["ci/tools/**/go.mod", "ci/tools/**/go.sum"]
