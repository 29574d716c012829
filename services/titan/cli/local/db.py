"""``db upgrade``: upgrade the tables of a stopped stack to the schema of this program."""

from __future__ import annotations

import asyncio
from pathlib import Path

from titan.cli.errors import Refused
from titan.cli.local.prepare import migrate
from titan.cli.local.state import State
from titan.cli.output import print_text


def upgrade(state: State) -> None:
    """Upgrade every database below ``state``; ``titan up`` does it by itself.

    Raises
    ------
    Refused
        While the stack runs: its processes check the schema only at their start.
    """
    folders = {one["role"]: Path(one["state_dir"]) for one in state.read_plan()["processes"]}
    if state.supervisor_pid() is not None:
        raise Refused(f"a stack runs on {state.path}; stop it with `titan down`, and `titan up` upgrades by itself")
    asyncio.run(migrate(folders))
    print_text(f"tables in {state.path} are up to date")
