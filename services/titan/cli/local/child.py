"""Launcher that binds a program's life to its parent: it becomes the program, which dies with the supervisor.

The supervisor runs it as a file: ``python -I -S child.py PARENT PROGRAM ARGUMENT …``. The kernel keeps the parent-death
signal (PR_SET_PDEATHSIG) over exec. So a supervisor that SIGKILL ends leaves no process behind, whatever the processes
do. It imports little, because it delays every start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Request the parent-death signal, then exec; returns only by an exception."""
    parent, program = int(arguments[0]), arguments[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")
    # The supervisor may have died before the request.
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    os.execv(program[0], program)  # noqa: S606 - no shell


if __name__ == "__main__":
    main(sys.argv[1:])
