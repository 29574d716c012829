"""Ports for programs that are still to start: each process has its own, and gets those that are free."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from testcluster.ports import BLOCKS, FIRST, LOWER, SIZE, block, free_ports

from support.stack.local_processes import REPOSITORY, free_port_offset
from titan.runtime.topology import ROLES

# The machine takes ports for outgoing connections from here on, unless it is told otherwise.
EPHEMERAL = 32_768
STACK = [port for role in ROLES.values() for port in (role.grpc_port, role.http_port) if port]


def test_another_process_has_another_block() -> None:
    program = "from testcluster.ports import block; print(block()); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=REPOSITORY / "ci", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert int(other.stdout.readline()) != block()


def test_a_port_in_use_is_left_out_and_none_is_given_twice_in_a_row() -> None:
    (taken,) = free_ports(1)
    with socket.create_server(("127.0.0.1", taken)):
        # Once around, but for what others may listen on.
        found = [port for _ in range(4) for port in free_ports((SIZE - LOWER) // 4)]
    assert len(set(found[:100])) == 100
    assert taken not in found
    assert all(block() + LOWER <= port < block() + SIZE for port in found)


def test_more_than_a_block_has_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"ports: 500 wanted, \d+ are free"):
        free_ports(SIZE)


def test_offsets_of_all_processes_share_no_port_with_each_other_or_with_free_ports() -> None:
    own = [free_port_offset(STACK) for _ in range(4)]
    shifts = [offset - block() for offset in own]
    given = [FIRST + number * SIZE + shift + port for number in range(BLOCKS) for shift in shifts for port in STACK]
    assert len(set(given)) == len(given)
    assert max(given) < EPHEMERAL
    assert all((port - FIRST) % SIZE < LOWER for port in given)
