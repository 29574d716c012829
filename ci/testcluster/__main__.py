"""``ci/cluster``: a control plane for use by hand, in the foreground."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from testcluster.controlplane import ClusterError, ControlPlane, end_leftovers
from testcluster.toolchain import ToolchainError


def main() -> int:
    """Start a control plane and stay until told to stop, or end what a killed one left behind."""
    parser = argparse.ArgumentParser(prog="ci/cluster", description=__doc__)
    parser.add_argument("command", choices=("run", "clean"), nargs="?", default="run")
    parser.add_argument("--folder", type=Path, default=Path(".titan/cluster"), help="where everything of it is kept")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.command == "clean":
        for name in end_leftovers(folder):
            print(f"ended {name}")
        return 0
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with ControlPlane(folder) as plane:
            print(f"export KUBECONFIG={plane.admin}", flush=True)
            print(f"export PATH={plane.tools['kubectl'].parent}:{plane.tools['helm'].parent}:$PATH", flush=True)
            stop.wait()
    except (ClusterError, ToolchainError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
