"""kill -9 of every process at random moments of a recorded replay; the venue's own records are the reference.

``make test`` kills each process once in one replay of the cut. ``make chaos`` replays the whole recordings: each
process is killed twice in one run, and ten times in a run of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import threading
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from support.market.recorded import RECORDED
from support.stack.both_accounts import BothAccounts, disagreements, read_both
from support.stack.local_processes import REPOSITORY
from support.stack.titan_up import PROCESSES, LocalStack, ended_well, local_stack, port_offset
from titan.domain.enums import Posture
from titan.domain.policy_hash import parse_rules, policy_hash
from titan.runtime.topology import ROLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = int(os.environ.get("TITAN_CHAOS_SEED", "20240808"))


@pytest.fixture
def resources(tmp_path: Path) -> tuple[str, str]:
    """``examples/replay`` with times and a bar by which the recording holds whole trades and refused entries."""
    folder = tmp_path / "resources"
    shutil.copytree(REPOSITORY / "examples" / "replay", folder)
    file = folder / "stack.yaml"
    text = file.read_text()
    for name, shipped, used in (("holdMs", 30_000, RECORDED.hold_ms), ("cooldownMs", 5_000, RECORDED.cooldown_ms)):
        assert text.count(f"{name}: {shipped}\n") == 1
        text = text.replace(f"{name}: {shipped}\n", f"{name}: {used}\n")
    policy = (folder / "policy.yaml").read_text()
    edited = policy.replace('minConfidence: "0.6"', f'minConfidence: "{RECORDED.bar}"')
    before, rules = (yaml.safe_load(one)["spec"] for one in (policy, edited))
    digest = policy_hash(parse_rules(json.dumps(rules["rules"]).encode()))
    for path, content in ((file, text), (folder / "policy.yaml", edited)):
        for old, new in ((before["hash"], digest), (_short(before["hash"]), _short(digest))):
            content = content.replace(old, new)
        path.write_text(content)
    return "-f", str(folder)


def _short(digest: str) -> str:
    """Return the digits of a policy's hash at the end of its name."""
    return digest.removeprefix("sha256:")[:8]


def replay_arguments(offset: int, speed: str) -> list[str]:
    files = [str(path) for path in RECORDED.books]
    end = ["--speed", speed, "--until-end", "-o", "json"]
    return ["--arm", "--port-offset", str(offset), *(word for file in files for word in ("--market", file)), *end]


class PostureWatch(threading.Thread):
    """Polls the posture in force of Brain and Execution, and stores every answer."""

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
                except (OSError, http.client.HTTPException):
                    # It is being killed: that it says nothing then is no word on its posture.
                    continue
                said = posture.get("in_force", "") if isinstance(posture, dict) else ""
                if said:
                    self.seen.append((time.monotonic(), role, said.removeprefix("POSTURE_")))

    def end(self) -> None:
        self._ended.set()
        self.join()


def wait_for_event(stack: LocalStack, port: int, event: int, timeout_s: float = 60) -> None:
    """Wait until the market has reached ``event``."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        assert stack.process.poll() is None, f"ended before event {event}: {stack.stderr}"
        assert time.monotonic() < deadline_s, f"event {event} did not come within {timeout_s} s: {stack.stderr}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1) as answer:
                if json.load(answer)["events"] >= event:
                    return
        except (OSError, http.client.HTTPException):
            # Between its death and its return.
            pass
        time.sleep(0.03)


def run_with_kills(
    tmp_path: Path, resources: tuple[str, str], victims: list[str], halt_after: int | None = None
) -> tuple[BothAccounts, PostureWatch, float]:
    """Kill each of ``victims`` at a random event of the replay; halt the stack after ``halt_after`` of them."""
    offset = port_offset()
    moments = sorted(random.Random(SEED).sample(RECORDED.moments, len(victims)))
    print(f"seed {SEED}: {list(zip(moments, victims, strict=True))}")
    watch = PostureWatch(offset)
    halted_s = killed_s = 0.0
    with local_stack(tmp_path / "state", *replay_arguments(offset, RECORDED.speed), resources=resources) as stack:
        stack.wait("ready: http://127.0.0.1:")
        watch.start()
        try:
            for number, (moment, name) in enumerate(zip(moments, victims, strict=True)):
                if number == halt_after:
                    done = stack.titan("halt")
                    assert done.returncode == 0, done.stderr
                    halted_s = time.monotonic()
                wait_for_event(stack, ROLES["marketdata"].http_port + offset, moment)
                pid = stack.wait_ready(name)
                os.kill(pid, signal.SIGKILL)
                stack.wait_ready(name, other_than_pid=pid, timeout_s=120)
                killed_s = time.monotonic()
            code, out = stack.result(timeout_s=400)
        finally:
            watch.end()
        print(out)
        # In lockstep the market waits for an Execution that was killed, in real time it does not.
        late_start = RECORDED.speed != "max" and "execution" in victims
        result, books = ended_well(stack, code, out, late_start)
    assert result["book_checks"] == {"checked": RECORDED.checked, "mismatches": 0}
    assert result["ledger_balanced"] is True
    assert {role for moment, role, _ in watch.seen if moment > killed_s} == {"brain", "execution"}
    return books, watch, halted_s


def test_every_process_killed_and_nothing_lost_or_doubled(tmp_path: Path, resources: tuple[str, str]) -> None:
    victims = [*PROCESSES] * RECORDED.kills
    random.Random(SEED + 1).shuffle(victims)
    books, watch, _ = run_with_kills(tmp_path, resources, victims)
    assert books.venue.trades, "no trade: nothing was put to the test"
    assert {said for _, _, said in watch.seen} <= {"ARMED", "CLOSE_ONLY"}


def test_a_halt_outlives_every_kill(tmp_path: Path, resources: tuple[str, str]) -> None:
    books, watch, halted_s = run_with_kills(tmp_path, resources, list(PROCESSES), halt_after=1)
    after = [(role, said) for moment, role, said in watch.seen if moment > halted_s]
    assert {role for role, _ in after} == {"brain", "execution"}
    assert {said for _, said in after} <= {"HALTED", "FLATTEN"}
    assert set(books.latches.values()) == {Posture.HALTED}


@pytest.mark.chaos
@pytest.mark.parametrize("name", PROCESSES)
def test_one_process_killed_ten_times(tmp_path: Path, resources: tuple[str, str], name: str) -> None:
    books, watch, _ = run_with_kills(tmp_path, resources, [name] * 10)
    assert books.venue.trades, "no trade: nothing was put to the test"
    assert {said for _, _, said in watch.seen} <= {"ARMED", "CLOSE_ONLY"}


def test_two_undisturbed_runs_are_equal(tmp_path: Path, resources: tuple[str, str]) -> None:
    outs = []
    for number in ("one", "two"):
        with local_stack(tmp_path / number, *replay_arguments(port_offset(), "max"), resources=resources) as stack:
            code, out = stack.result(timeout_s=400)
            outs.append(ended_well(stack, code, out)[0])
    assert outs[0] == outs[1]
    result = outs[0]
    assert result["book_checks"] == {"checked": RECORDED.checked, "mismatches": 0}
    assert result["round_trips"] >= 1
    assert sum(count for reason, count in result["decisions"].items() if reason != "OK") >= 1


def test_a_position_open_at_the_end_keeps_its_stop(tmp_path: Path) -> None:
    """Stop the simulated market by Ctrl-C as soon as a position has its stop."""
    with local_stack(tmp_path / "state", "--arm", "--seed", "5", "--speed", "20") as stack:
        stack.wait("ready: http://127.0.0.1:")
        deadline_s = time.monotonic() + 300
        # A stop that is under way when the market ends reaches the venue with the next start only.
        while not any(Decimal(one["stop_quantity"]) for one in stack.json("positions").get("positions", ())):
            assert time.monotonic() < deadline_s, stack.stderr
        code, _ = stack.end()
        assert code in (0, 130), stack.stderr
    books = read_both(tmp_path / "state", tmp_path / "copy")
    assert [one for one in books.venue.positions.values() if one.quantity], "no position was open at the end"
    assert disagreements(books) == []
