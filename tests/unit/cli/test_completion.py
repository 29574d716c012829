"""Shell completion and the version, as a shell asks the installed programs for them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from titan.cli.local.logs import known_processes
from titan.cli.local.state import State

BIN = Path(sys.executable).parent
SHELLS = [
    ("bash", "complete -o default -F _titan_completion titan"),
    ("zsh", "#compdef titan"),
    ("fish", "complete --command titan"),
]


def answer(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / program), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("shell", "line"), SHELLS)
def test_the_script_of_a_shell(shell: str, line: str) -> None:
    done = answer("titan", _TITAN_COMPLETE=f"source_{shell}")
    assert (done.returncode, done.stderr) == (0, "")
    assert line in done.stdout


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "titan ha", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "titan ha"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "titan ha", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_ha_is_completed_to_halt(shell: str, environment: dict[str, str]) -> None:
    done = answer("titan", _TITAN_COMPLETE=f"complete_{shell}", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "halt" in done.stdout
    assert "arm" not in done.stdout


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("titan logs ", "marketdata papervenue execution brain scavenger hunter sentinel"),
        ("titan logs s", "scavenger sentinel"),
    ],
)
def test_names_of_processes_are_completed(tmp_path: Path, words: str, names: str) -> None:
    state = {"TITAN_STATE": str(tmp_path)}
    done = answer("titan", _TITAN_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="2", **state)
    assert (done.stdout.split(), done.stderr) == (names.split(), "")


def test_the_processes_of_a_stack_are_completed(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.plan.parent.mkdir(parents=True, exist_ok=True)
    state.plan.write_text('{"processes": [{"role": "marketdata"}, {"role": "brain"}]}')
    assert known_processes(state) == ["marketdata", "brain"]


def test_bash_completes_by_the_installed_script(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}"}
    script = """
        titan --install-completion > /dev/null
        source ~/.bashrc
        COMP_WORDS=(titan ha) COMP_CWORD=1
        _titan_completion titan
        echo "${COMPREPLY[*]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("halt\n", "")


@pytest.mark.parametrize(("program", "name"), [("titan", "titan"), ("kubectl-titan", "kubectl titan")])
def test_the_version_is_that_of_the_package(program: str, name: str) -> None:
    done = answer(program, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name} {version('titan')}\n", "")
