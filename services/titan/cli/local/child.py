"""Becomes the program in its arguments, which then dies with the process that started it.

Run as a file, by the supervisor: ``python -I -S child.py PARENT PROGRAM ARGUMENT …``. The kernel keeps the wish
(PR_SET_PDEATHSIG) over exec, so a supervisor that is killed with SIGKILL leaves no process behind, whatever the
processes themselves do. It imports as little as it can: it stands in the way of every start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Arm the kernel, then exec; returns only by an exception."""
    parent, program = int(arguments[0]), arguments[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")
    # The supervisor may have died before the wish was made.
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
