"""TCP ports on loopback that no other process which asks here is given meanwhile.

A port that is found free and given back, to be bound by a program that starts, is anybody's until then. So each
process has a block of ports of its own, below those that the machine takes for outgoing connections. It claims the
block by a name that the kernel keeps as long as the process lives.
"""

from __future__ import annotations

import atexit
import os
import socket
from contextlib import closing, suppress
from functools import cache
from itertools import cycle

# The first block, the size of each, and how many there are.
FIRST, SIZE, BLOCKS = 10_000, 500, 34
# The lower part of a block is for programs whose ports have fixed distances.
LOWER = 330


@cache
def block() -> int:
    """Return the first port of this process's block.

    Raises
    ------
    RuntimeError
        Other processes have claimed all blocks.
    """
    for step in range(BLOCKS):
        number = (os.getpid() + step) % BLOCKS
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0titan-ports-{number}")
        except OSError:
            claim.close()
            continue
        # The name lasts as long as the process.
        atexit.register(claim.close)
        return FIRST + number * SIZE
    raise RuntimeError(f"ports: all {BLOCKS} blocks are claimed by other processes")


@cache
def _upper() -> cycle[int]:
    return cycle(range(block() + LOWER, block() + SIZE))


def free_ports(count: int) -> list[int]:
    """Return different ports on which nobody listens now.

    Raises
    ------
    RuntimeError
        There are not so many in the block.
    """
    found: list[int] = []
    for _ in range(SIZE - LOWER):
        if len(found) == count:
            return found
        port = next(_upper())
        with closing(socket.socket()) as probe, suppress(OSError):
            # As servers bind it: connections of before, which wait for their end, do not hold it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found.append(port)
    raise RuntimeError(f"ports: {count} wanted, {len(found)} are free in the block of {block()}")
