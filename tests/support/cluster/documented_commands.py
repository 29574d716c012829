"""Runs the commands that charts and documentation name."""

from __future__ import annotations

import subprocess
from pathlib import Path

from testcluster.controlplane import ControlPlane


def notes(said: str) -> str:
    """Return a chart's NOTES.txt from Helm's output."""
    return said.partition("NOTES:\n")[2]


def commands(text: str) -> str:
    """Return the lines that a person copies: those indented by two or more."""
    return "\n".join(line for line in text.splitlines() if line.startswith("  "))


def typed(plane: ControlPlane, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run as a person's shell would, in ``folder``, where the arguments that each kubectl was given are kept."""
    (folder / "kubectl").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >> {folder}/arguments\nexec {plane.tools["kubectl"]} "$@"\n'
    )
    (folder / "kubectl").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "KUBECONFIG": str(plane.admin), "HOME": str(folder)}
    shell = ["bash", "-ceu", command]
    return subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
