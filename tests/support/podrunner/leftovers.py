"""Ends what a killed pod runner would leave behind: a process beside it, which sees the end of the runner's.

A container's first process ends with the runner's by itself; what that one had started would go on.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache

# The other end of its input is the runner's alone: it closes with the runner's process, however that ends.
_WATCH = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


@cache
def _watcher() -> subprocess.Popen[bytes]:
    # In a session of its own, lest Ctrl-C in a terminal ends it before its time.
    watcher = subprocess.Popen([sys.executable, "-ISc", _WATCH], stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(watcher.communicate)
    return watcher


def _send(sign: str, pid: int) -> None:
    stdin = _watcher().stdin
    assert stdin is not None
    # In one piece, and at once: nothing of it may wait in a buffer of a process that is killed.
    os.write(stdin.fileno(), f"{sign}{pid}\n".encode())


def guard_group(pid: int) -> None:
    """Have a process group killed when this process ends, until :func:`kill_group`."""
    _send("+", pid)


def kill_group(pid: int) -> None:
    """Kill a process and all of its group; nothing happens when all have ended."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _send("-", pid)
