"""``ci/node``: a real cluster of one node, for use by hand and around a command, and what disturbs it meanwhile.

``ci/node run`` stays in the foreground; ``ci/node run -- COMMAND`` runs a command with the cluster's addresses in its
environment, and ends with it. The other words are carried out by the run that has the same folder.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from testcluster.node import Node
from testcluster.place import of_folder, remove_dead
from testcluster.processes import ClusterError
from testcluster.toolchain import ToolchainError

_ACTS = {
    "restart": "kill a part (kubelet, containerd, registry, apiserver) and start it again",
    "halt": "end a part until it is resumed",
    "resume": "start a part that was halted",
    "kill": "kill a container, by its id",
    "cut": "let no packet from or to a pod's address through",
    "heal": "undo a cut",
}
_LOOK_EVERY_S = 0.2
_ENDS_WITHIN_S = 30.0
_CONTROL = "control"


def main() -> int:
    """Carry out one command line."""
    parser = argparse.ArgumentParser(
        prog="ci/node", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(".titan/node"), help="where everything of it is kept")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start it and stay").add_argument("then", nargs="*", metavar="COMMAND")
    commands.add_parser("clean", help="remove what killed runs left on this machine")
    for name, what in _ACTS.items():
        commands.add_parser(name, help=what).add_argument("what")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    try:
        if arguments.command == "clean":
            for place in remove_dead():
                print(f"removed {place.name} of {place.folder}")
            return 0
        if arguments.command == "run":
            return _run(folder, arguments.then)
        return _ask(folder, f"{arguments.command} {arguments.what}")
    except (ClusterError, ToolchainError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(folder: Path, command: list[str]) -> int:
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopped.append(got))
    with Node(folder) as node, socket.socket(socket.AF_UNIX) as control:
        control.bind(str(node.place.state / _CONTROL))
        control.listen()
        environment = exports(node)
        child = None
        if command:
            child = subprocess.Popen(command, env={**os.environ, **environment})
        else:
            for name, value in environment.items():
                print(f"export {name}={value}", flush=True)
        while not stopped and (child is None or child.poll() is None):
            if select.select([control], [], [], _LOOK_EVERY_S)[0]:
                _serve(node, control.accept()[0])
        if child is None:
            return 0
        if child.poll() is None:
            child.send_signal(stopped[0])
            try:
                child.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
        return child.wait()


def exports(node: Node) -> dict[str, str]:
    """Return the environment of a command: kubectl's own variables, and those of ``tests/e2e``."""
    tools = dict.fromkeys(str(node.plane.tools[name].parent) for name in ("kubectl", "helm", "crane", "cosign"))
    return {
        "KUBECONFIG": str(node.plane.admin),
        "TITAN_E2E_KUBECONFIG": str(node.plane.admin),
        "TITAN_E2E_REGISTRY": node.registry,
        "TITAN_E2E_NODE": str(node.folder),
        "PATH": ":".join([*tools, os.environ["PATH"]]),
    }


def _serve(node: Node, connection: socket.socket) -> None:
    with connection, connection.makefile("rw") as file:
        act, _, what = file.readline().strip().partition(" ")
        if act not in _ACTS:
            file.write(f"{act!r}: not known here; allowed are {', '.join(_ACTS)}")
            return
        try:
            getattr(node, act)(what)
        except ClusterError as error:
            file.write(str(error))


def _ask(folder: Path, line: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(of_folder(folder).state / _CONTROL))
        with connection.makefile("rw") as file:
            file.write(f"{line}\n")
            file.flush()
            answer = file.read()
    if answer:
        print(answer, file=sys.stderr)
    return 1 if answer else 0


if __name__ == "__main__":
    sys.exit(main())
