"""Events of a stack on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from titan.cli.local.processes import ProcessState, Supervised
from titan.cli.local.view import LiveView


def test_a_process_that_ended_and_came_back_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    brain = Supervised("brain", (), {}, Path("log"), "http://x")
    with LiveView("titan", {"brain": brain}) as view:
        for state, note in (
            (ProcessState.STARTING, ""),
            (ProcessState.READY, ""),
            (ProcessState.RESTARTING, "ended by SIGKILL; again in 0.1 s"),
            (ProcessState.STARTING, ""),
            (ProcessState.READY, ""),
        ):
            brain.state, brain.note = state, note
            view.process(brain)
    lines = [line for line in capsys.readouterr().err.splitlines() if "  brain " in line]
    assert len(lines) == 2
    assert lines[0].rstrip().endswith("brain       restarting: ended by SIGKILL; again in 0.1 s")
    assert lines[1].rstrip().endswith("brain       ready again")


def test_escapes_in_an_event_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveView("titan", {}) as view:
        view.report("a\x1b[31mred")
    assert "a\\x1b[31mred" in capsys.readouterr().err
