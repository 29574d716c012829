"""The pinned tools: what is said where Go is missing, and when something is built anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from testcluster import toolchain
from testcluster.toolchain import Tool, ToolchainError, ensure, path_of

REPOSITORY = Path(__file__).resolve().parents[3]
TOOL = Tool("small", "module", "example.org/small", 1)
# Stands for Go: notes what it is asked for, and "builds" a file.
GO = """#!/bin/sh
echo "$@" >> "{folder}/asked"
case "$1" in
env) cat "{folder}/version" ;;
build)
  if [ -e "{folder}/broken" ]; then echo "cannot find package" >&2; exit 1; fi
  while [ "$1" != -o ]; do shift; done
  echo built > "$2" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go on the PATH, pins of one tool, and an empty cache; returns the folder of all three."""
    programs, pins = tmp_path / "bin", tmp_path / "pins"
    (pins / "module").mkdir(parents=True)
    (pins / "module" / "go.mod").write_text("module x\n")
    (pins / "module" / "go.sum").write_text("sum 1\n")
    programs.mkdir()
    (programs / "go").write_text(GO.format(folder=tmp_path))
    (programs / "go").chmod(0o755)
    (tmp_path / "version").write_text("go1.26.1\n")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TITAN_TOOLS_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain, "PINS", pins)
    return tmp_path


def builds(folder: Path) -> int:
    return (folder / "asked").read_text().count("build ")


def test_without_go_one_sentence_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "python3"):
        found = shutil.which(name) if name != "python3" else sys.executable
        assert found is not None
        (tmp_path / name).symlink_to(found)
    environment = {"PATH": str(tmp_path), "PYTHON": sys.executable, "TITAN_TOOLS_DIR": str(tmp_path)}
    done = subprocess.run(
        [REPOSITORY / "ci" / "tools" / "build"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "tools: Go 1.26 or newer is needed to build the test cluster's tools, and there is no go on the PATH\n"
    )
    assert not done.stdout


def test_a_go_that_is_too_old_is_refused(go: Path) -> None:
    (go / "version").write_text("go1.25.9\n")
    with pytest.raises(ToolchainError, match=r"^go1.25.9 is too old for the pinned tools: go1.26 or newer is needed$"):
        ensure((TOOL,))


def test_a_tool_is_built_once_with_a_line_of_progress(go: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ensure((TOOL,))["small"]
    assert path.read_text() == "built\n"
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "tools: [1/1] small: building (about 1 s on two cores, once)"
    assert said[1].startswith("tools: [1/1] small: built in ")
    assert ensure((TOOL,))["small"] == path
    assert builds(go) == 1
    assert not capsys.readouterr().err


@pytest.mark.parametrize("changed", ["pins/module/go.sum", "pins/module/go.mod", "version"])
def test_a_changed_pin_or_go_is_built_anew(go: Path, changed: str) -> None:
    before = ensure((TOOL,))["small"]
    file = go / changed
    text = file.read_text()
    file.write_text("go1.27.0\n" if changed == "version" else f"{text}changed\n")
    after = ensure((TOOL,))["small"]
    assert after != before
    assert builds(go) == 2
    # The known one is used again as it is.
    file.write_text(text)
    assert ensure((TOOL,))["small"] == before
    assert builds(go) == 2


def test_another_package_or_flag_is_another_binary(go: Path) -> None:
    paths = {
        path_of(tool, "go1.26.1")
        for tool in (
            TOOL,
            Tool("small", "module", "example.org/other", 1),
            Tool("small", "module", TOOL.package, 1, "-X a=b"),
        )
    }
    assert len(paths) == 3


def test_a_build_that_fails_says_what_go_said_and_leaves_nothing(go: Path) -> None:
    (go / "broken").touch()
    with pytest.raises(ToolchainError, match=r"^building small failed:\ncannot find package$"):
        ensure((TOOL,))
    (go / "broken").unlink()
    assert ensure((TOOL,))["small"].read_text() == "built\n"


def test_each_tier_builds_what_its_tests_run_and_no_more() -> None:
    names = {tier: {tool.name for tool in tools} for tier, tools in toolchain.TIERS.items()}
    assert names["service"] == {"cosign", "crane"}
    assert names["service"] < names["cluster"] < names["node"]
    assert "kubelet" not in names["cluster"]
