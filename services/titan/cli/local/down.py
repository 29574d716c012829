"""``down``: stop the stack that another terminal runs."""

from __future__ import annotations

import os
import signal
import time

from titan.cli.errors import BadInput, Refused
from titan.cli.local.processes import STOP_S
from titan.cli.local.state import State
from titan.cli.output import print_text

_POLL_S = 0.05
# Every process may use its whole time to stop.
_LONGEST_S = STOP_S * 8


def down(state: State) -> None:
    """Stop the ``titan up`` of a state directory, and wait until it has ended."""
    if not state.path.is_dir():
        raise BadInput(f"--state: {state.path} is no directory; allowed is one that `titan up` made")
    pid = state.supervisor_pid()
    if pid is None or pid <= 0:
        print_text(f"nothing runs on {state.path}")
        return
    os.kill(pid, signal.SIGTERM)
    deadline_s = time.monotonic() + _LONGEST_S
    while state.supervisor_pid() is not None:
        if time.monotonic() > deadline_s:
            raise Refused(f"process {pid} has not stopped within {_LONGEST_S:g} s; `kill -9 {pid}` ends all of it")
        time.sleep(_POLL_S)
    print_text(f"stopped {state.path}")
