"""``make cluster``: what it prints is all that a person needs, and a killed one leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.cluster.installation import ROOT
from support.stack.titan_up import alive, wait_until_gone


def below(pid: int) -> list[int]:
    """All processes that a process started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return [*found, *(further for child in found for further in below(child))]


def test_what_it_prints_is_all_that_is_needed_and_killed_it_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "support.cluster", "--folder", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'ci'}:{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        # As a shell takes it: the exports, then a command that is found by them.
        exports = "\n".join(line for line in said.splitlines() if line.startswith("export "))
        script = f"{exports}\nkubectl -n titan-system wait --for=condition=Ready pod --all --timeout=180s"
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "titan-operator" in done.stdout
        started = below(process.pid)
        assert len(started) >= 4, "etcd, API server, controller manager and the operator"
        assert all(alive(pid) for pid in started)
        process.kill()
        assert wait_until_gone(started) == []
