"""kill -9 of every process at random moments of the recorded replay; the venue's own records are the judge.

``make test`` kills each process twice in one run, ``make chaos`` ten times each, one run a process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest

from support.both_books import BothBooks, disagreements, read_both
from support.local_stack import PROCESSES, REPLAY, LocalStack, local_stack, port_offset
from support.stack import recording
from titan.domain.kinds import Leg, Posture
from titan.runtime.topology import ROLES

pytestmark = [pytest.mark.slow, pytest.mark.replay]

CHAOS = bool(os.environ.get("TITAN_CHAOS"))
SEED = int(os.environ.get("TITAN_CHAOS_SEED", "20240808"))


def replay_arguments(offset: int) -> list[str]:
    files = [str(recording(f"examples_{kind}_btcusdt_20240808.gz")) for kind in ("usdm", "spot")]
    speed = ["--speed", "max", "--until-end", "-o", "json"]
    return ["--arm", "--port-offset", str(offset), *(word for file in files for word in ("--market", file)), *speed]


class PostureWatch(threading.Thread):
    """Asks Brain and Execution again and again what posture they have in force, and keeps what they said."""

    def __init__(self, offset: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, str, str]] = []
        self._ended = threading.Event()
        self._ports = {role: ROLES[role].http_port + offset for role in ("brain", "execution")}

    def run(self) -> None:
        while not self._ended.wait(0.05):
            for role, port in self._ports.items():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1) as answer:
                        posture = json.load(answer).get("posture", {})
                except OSError:
                    # It is being killed: that it says nothing then is no word on its posture.
                    continue
                said = posture.get("in_force", "") if isinstance(posture, dict) else ""
                if said:
                    self.seen.append((time.monotonic(), role, said.removeprefix("POSTURE_")))

    def end(self) -> None:
        self._ended.set()
        self.join()


def kill_at_random_moments(stack: LocalStack, victims: list[str], chance: random.Random) -> int:
    """Kill each in turn; returns how many were killed before the run ended."""
    killed = 0
    for name in victims:
        # The random moment is the experiment; what follows waits for the process to be back.
        time.sleep(chance.uniform(0.05, 0.9))
        if stack.process.poll() is not None or "market has ended" in stack.said:
            break
        pid = stack.processes()[name]["pid"]
        if not pid:
            continue
        os.kill(pid, signal.SIGKILL)
        killed += 1
        stack.wait_ready(name, other_than_pid=pid, timeout_s=40)
    return killed


def run_with_kills(tmp_path: Path, victims: list[str], halt_after: int | None) -> tuple[BothBooks, PostureWatch, float]:
    offset = port_offset()
    chance = random.Random(SEED)
    watch = PostureWatch(offset)
    halted_s = 0.0
    with local_stack(tmp_path / "state", *replay_arguments(offset), resources=REPLAY) as stack:
        stack.wait("ready: http://127.0.0.1:")
        watch.start()
        first, rest = (victims, []) if halt_after is None else (victims[:halt_after], victims[halt_after:])
        killed = kill_at_random_moments(stack, first, chance)
        if halt_after is not None:
            done = stack.titan("halt")
            assert done.returncode == 0, done.stderr
            halted_s = time.monotonic()
            killed += kill_at_random_moments(stack, rest, chance)
        code, out = stack.result(timeout_s=200)
        watch.end()
        assert code == 0, stack.said
        result = json.loads(out)
        assert result["book_checks"]["mismatches"] == 0
        assert result["ledger_balanced"] is True
        print(f"seed {SEED}: killed {killed} of {len(victims)}: {victims}; {out}")
        assert killed >= len(victims) // 2, f"only {killed} of {len(victims)} were killed before the end"
    return read_both(tmp_path / "state", tmp_path / "copy"), watch, halted_s


def test_every_process_killed_and_nothing_lost_or_doubled(tmp_path: Path) -> None:
    victims = [*PROCESSES, *PROCESSES]
    random.Random(SEED + 1).shuffle(victims)
    books, watch, _ = run_with_kills(tmp_path, victims, halt_after=None)
    assert books.venue.trades, "no trade: nothing was put to the test"
    assert disagreements(books) == []
    assert {said for _, _, said in watch.seen} <= {"ARMED", "CLOSE_ONLY"}


def test_a_halt_outlives_every_kill(tmp_path: Path) -> None:
    books, watch, halted_s = run_with_kills(tmp_path, list(PROCESSES), halt_after=1)
    assert disagreements(books) == []
    after = [(role, said) for moment, role, said in watch.seen if moment > halted_s]
    assert after, "nobody was asked after the halt"
    assert {said for _, said in after} <= {"HALTED", "FLATTEN"}
    assert set(books.latches.values()) == {Posture.HALTED}


@pytest.mark.skipif(not CHAOS, reason="the full sweep: make chaos")
@pytest.mark.parametrize("name", PROCESSES)
def test_one_process_killed_ten_times(tmp_path: Path, name: str) -> None:
    books, watch, _ = run_with_kills(tmp_path, [name] * 10, halt_after=None)
    assert books.venue.trades, "no trade: nothing was put to the test"
    assert disagreements(books) == []
    assert {said for _, _, said in watch.seen} <= {"ARMED", "CLOSE_ONLY"}


def test_two_undisturbed_runs_are_equal_and_the_comparison_can_fail(tmp_path: Path) -> None:
    outs = []
    for number in ("one", "two"):
        begin_s = time.monotonic()
        with local_stack(tmp_path / number, *replay_arguments(port_offset()), resources=REPLAY) as stack:
            code, out = stack.result(timeout_s=120)
            assert code == 0, stack.said
        assert time.monotonic() - begin_s < 45
        outs.append(json.loads(out))
    assert outs[0] == outs[1]
    result = outs[0]
    assert result["book_checks"] == {"checked": 9996, "mismatches": 0}
    assert result["round_trips"] >= 1
    assert sum(count for reason, count in result["decisions"].items() if reason != "OK") >= 1
    books = read_both(tmp_path / "one", tmp_path / "copy")
    assert disagreements(books) == []

    trade = books.venue.trades[-1]
    books.venue.trades.remove(trade)
    assert any("the venue has none" in line for line in disagreements(books))
    books.venue.trades.append(trade)
    fill = books.ours.fills.pop()
    assert any("is not booked" in line for line in disagreements(books))
    books.ours.fills += [fill, fill]
    assert any("booked 2 times" in line for line in disagreements(books))
    books.ours.fills.pop()
    order = next(order for order in books.ours.orders.values() if order.leg is Leg.ENTRY)
    books.ours.orders["doubled"] = msgspec.structs.replace(order, client_order_id="doubled")
    assert any("has 2 entries" in line for line in disagreements(books))
    del books.ours.orders["doubled"]
    assert disagreements(books) == []
