"""A whole stack in real time whose processes freeze (SIGSTOP) or start again while the market runs on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from support.stack.both_accounts import disagreements, read_both
from support.stack.titan_up import PROCESSES, LocalStack, local_stack

pytestmark = pytest.mark.slow

# Longer than maxSignalAgeMs, shorter than Brain's silence (5 s).
FROZEN_S = 2.5
# A clock that kept the time of a stop, for ever, would be ahead by it.
AHEAD_S = 1.0


def clocks_agree(stack: LocalStack) -> None:
    """Wait until Brain and Execution are at the market's own time again."""
    deadline_s = time.monotonic() + 60
    while True:
        # The market is asked last: what the others are ahead of it is no delay of the answers.
        brain, execution, market = (stack.json("status")[name] for name in ("brain", "execution", "market"))
        ahead_s = [(int(one["market_time_ns"]) - int(market["market_time_ns"])) / 1e9 for one in (brain, execution)]
        if max(ahead_s) < AHEAD_S:
            return
        assert time.monotonic() < deadline_s, f"ahead of the market by {ahead_s} s: {stack.stderr}"


def freeze(stack: LocalStack, name: str) -> None:
    pid = stack.wait_ready(name)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    os.kill(pid, signal.SIGCONT)
    assert stack.wait_ready(name) == pid, "it was not started again"


def kill(stack: LocalStack, name: str) -> None:
    pid = stack.wait_ready(name)
    os.kill(pid, signal.SIGKILL)
    stack.wait_ready(name, other_than_pid=pid)


SAMPLE = [(kill, "marketdata"), (freeze, "brain"), (freeze, "execution")]
ALL = [(how, name) for how in (freeze, kill) for name in PROCESSES]


@pytest.mark.parametrize(
    "disturbances", [pytest.param(SAMPLE, id="sample"), pytest.param(ALL, id="all", marks=pytest.mark.chaos)]
)
def test_a_stack_in_real_time_goes_on_after_processes_froze_and_fell(tmp_path: Path, disturbances: list) -> None:  # type: ignore[type-arg]
    with local_stack(tmp_path / "state", "--arm", "--seed", "5") as stack:
        stack.wait("ready: http://127.0.0.1:")
        for disturb, name in disturbances:
            disturb(stack, name)
            clocks_agree(stack)
        for name in PROCESSES:
            stack.wait_ready(name)
        status = stack.json("status")
        assert status["brain"]["truth"]["known"], stack.stderr
        assert status["brain"]["equity"]["known"], stack.stderr
        assert status["brain"]["posture"]["in_force"] in ("POSTURE_ARMED", "POSTURE_CLOSE_ONLY")
        assert stack.end()[0] == 0, stack.stderr
    books = read_both(tmp_path / "state", tmp_path / "copy")
    assert disagreements(books) == []
