"""``titan up`` from the outside: its output on a terminal, and the commands of other terminals."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support.market.recorded import RECORDED
from support.stack.titan_up import (
    DEMO,
    PROCESSES,
    REPLAY,
    TITAN,
    alive,
    ended_well,
    local_stack,
    port_offset,
    wait_until_gone,
)
from titan.runtime.topology import processors_of

pytestmark = pytest.mark.slow

READY = "ready: http://127.0.0.1:"


def test_run_to_the_end_prints_one_object_and_leaves_nothing(tmp_path: Path) -> None:
    arguments = ("--arm", "--speed", "max", "--duration", "60", "--until-end", "-o", "json")
    with local_stack(tmp_path / "state", *arguments) as stack:
        code, out = stack.result(timeout_s=120)
        result, _ = ended_well(stack, code, out)
        assert list(result) == [
            "events",
            "book_checks",
            "intents",
            "decisions",
            "orders",
            "fills",
            "round_trips",
            "fees",
            "other_fees",
            "realized_pnl",
            "unrealized_pnl",
            "ledger_balanced",
            "policy_hash",
            "degraded",
        ]
        assert result["events"] > 0
        assert result["fills"] > 0, result
        assert sum(result["decisions"].values()) == result["intents"]
        assert result["ledger_balanced"] is True
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", result["policy_hash"])
        assert "SIMULATED MARKET" in stack.stderr
        assert "armed: paper money only, policy demo-" in stack.stderr
        assert wait_until_gone(stack.pids()) == []
        assert stack.titan("status").returncode == 3


def test_port_in_use_is_said_and_nothing_is_started(tmp_path: Path) -> None:
    offset = port_offset()
    with socket.create_server(("127.0.0.1", 3100 + offset)):
        done = subprocess.run(
            [TITAN, "up", *DEMO, "--state", tmp_path / "state", "--port-offset", str(offset)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {3100 + offset} (HTTP of brain) is in use by another program" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(b"1723161255000000000 {}\n" * 100, mtime=0)[:-20]], ids=["empty", "cut off"]
)
def test_bad_recording_is_said_and_everything_stopped(tmp_path: Path, content: bytes) -> None:
    recording = tmp_path / "recording.gz"
    recording.write_bytes(content)
    with local_stack(tmp_path / "state", "--market", str(recording), "--speed", "max", "--until-end") as stack:
        code, out = stack.result()
        assert (code, out) == (2, ""), stack.stderr
        assert "titan: marketdata cannot start: " in stack.stderr
        assert str(recording) in stack.stderr.splitlines()[-1]
        assert wait_until_gone(stack.pids()) == []


def test_truncated_recording_is_said_when_it_breaks_off(tmp_path: Path) -> None:
    whole, spot = RECORDED.books
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole.read_bytes()[:100_000])
    arguments = ("--market", str(cut), "--market", str(spot), "--speed", "max", "--until-end")
    with local_stack(tmp_path / "state", *arguments, resources=REPLAY) as stack:
        code, out = stack.result()
        assert (code, out) == (1, ""), stack.stderr
        assert "titan: marketdata fails again and again: ended with exit code 1: " in stack.stderr
        assert str(cut) in stack.stderr.splitlines()[-1]
        assert wait_until_gone(stack.pids()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with local_stack(tmp_path / "state") as stack:
        stack.wait(READY)
        pids = stack.pids()
        assert len(pids) == len(PROCESSES)
        assert stack.end(number)[0] == 0, stack.stderr
        assert [pid for pid in pids if alive(pid)] == []
        for name in PROCESSES:
            assert '"stopped"' in (stack.state / name / "log.jsonl").read_text(), name


def test_signal_while_it_starts(tmp_path: Path) -> None:
    with local_stack(tmp_path / "state") as stack:
        stack.wait("SIMULATED MARKET")
        assert stack.end()[0] == 0, stack.stderr
        assert wait_until_gone(stack.pids()) == []


def test_supervisor_killed_leaves_no_process_and_the_state_goes_on(tmp_path: Path) -> None:
    with local_stack(tmp_path / "state", "--arm") as stack:
        stack.wait(READY)
        pids = stack.pids()
        assert len(pids) == len(PROCESSES)
        stack.end(signal.SIGKILL)
        assert wait_until_gone(pids, 60) == []
    with local_stack(tmp_path / "state", "--arm") as again:
        again.wait(READY)
        assert "Resumed: ARMED (set by titan up --arm (cli))." in again.stderr
        assert "not armed" not in again.stderr.lower()


def test_killed_process_is_started_again(tmp_path: Path) -> None:
    with local_stack(tmp_path / "state", "--arm") as stack:
        stack.wait(READY)
        for name in PROCESSES:
            pid = stack.processes()[name]["pid"]
            os.kill(pid, signal.SIGKILL)
            stack.wait_ready(name, other_than_pid=pid)
        for name in PROCESSES:
            placed = os.sched_getaffinity(stack.processes()[name]["pid"])
            assert placed == processors_of(name, os.sched_getaffinity(0))
        # Brain and Execution were both killed: the posture is what it was, or lower.
        assert stack.json("status")["brain"]["posture"]["in_force"] in ("POSTURE_ARMED", "POSTURE_CLOSE_ONLY")


def test_halted_stack_stays_halted_until_a_person_arms_it(tmp_path: Path) -> None:
    with local_stack(tmp_path / "state", "--arm") as stack:
        stack.wait(READY)
        done = stack.titan("halt", "--reason", "looks odd")
        assert (done.returncode, done.stdout.startswith("HALTED, acknowledged by execution: ")) == (0, True), done
        assert "posture: posture is HALTED, set by" in stack.titan("why").stdout
        assert stack.titan("down").returncode == 0
        assert stack.result()[0] == 0
    with local_stack(tmp_path / "state", "--arm") as again:
        again.wait("Still HALTED (set by ")
        assert 'Run "titan arm" to resume.' in again.stderr
        again.wait(READY)
        assert again.json("status")["brain"]["posture"]["in_force"] == "POSTURE_HALTED"
        assert again.titan("arm").returncode == 0
        assert again.json("status")["brain"]["posture"]["in_force"] == "POSTURE_ARMED"
        flat = again.titan("flatten")
        assert (flat.returncode, "acknowledged by execution" in flat.stdout) == (0, True), flat


def test_new_stack_is_close_only(tmp_path: Path) -> None:
    with local_stack(tmp_path / "state") as stack:
        stack.wait(READY)
        assert stack.json("status")["brain"]["posture"]["in_force"] == "POSTURE_CLOSE_ONLY"
        assert "this stack was never armed" in stack.titan("why").stdout


def test_a_lost_depth_line_is_said_on_the_screen_in_the_totals_and_by_the_exit_code(tmp_path: Path) -> None:
    whole, spot = RECORDED.books
    lines = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)
    lost = next(number for number in range(len(lines) // 2, len(lines)) if b'"depthUpdate"' in lines[number])
    holed = tmp_path / whole.name
    holed.write_bytes(gzip.compress(b"".join(lines[:lost] + lines[lost + 1 :]), mtime=0))
    arguments = ("--market", str(holed), "--market", str(spot), "--speed", "max", "--until-end", "-o", "json")
    with local_stack(tmp_path / "state", *arguments, resources=REPLAY) as stack:
        code, out = stack.result(timeout_s=120)
        (clause,) = json.loads(out)["degraded"]
        assert clause.startswith("1 hole in the depth: the book was empty")
        assert f"degraded: {clause}" in stack.stderr
        assert code == 1
