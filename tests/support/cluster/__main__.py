"""``make cluster``: a control plane with our charts on this machine, its pods as local processes, for use by hand."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from testcluster.controlplane import ClusterError
from testcluster.toolchain import ToolchainError

from support.cluster.installation import SYSTEM, installation
from support.podrunner.runner import PodRunnerError


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".titan/cluster"), help="where everything of it is kept")
    parser.add_argument("--namespace", default="titan", help="the stack's namespace")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print("starting a control plane, and the charts titan-admission and titan on it", file=sys.stderr)
    try:
        with installation(arguments.folder.resolve(), [arguments.namespace]) as made:
            tools = f"{made.plane.tools['kubectl'].parent}:{made.plane.tools['helm'].parent}"
            programs = Path(sys.executable).parent
            print(
                f"""\
# In another terminal:
export KUBECONFIG={made.plane.admin}
export PATH={tools}:{programs}:$PATH

kubectl apply -n {arguments.namespace} -f policies/demo.yaml -f examples/quickstart.yaml
kubectl get titan -n {arguments.namespace}
kubectl titan status -n {arguments.namespace}
kubectl titan arm -n {arguments.namespace}

# The operator is in {SYSTEM}. In this cluster a list stands for signatures,
# {made.images}
# Logs of pods: {made.folder / "run" / "pods"}. Ctrl-C ends everything.""",
                flush=True,
            )
            stop.wait()
    except (ClusterError, ToolchainError, PodRunnerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
