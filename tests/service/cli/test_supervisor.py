"""Supervision with small programs in place of the stack's: restarts, crash loops, order of stopping, no orphans."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from testcluster.ports import free_ports

from support.stack.titan_up import wait_until_gone
from titan.cli.local.processes import ProcessState, Supervised, Supervisor, last_reason, rotate

# Serves /health; records its end by SIGTERM, unless TITAN_DEAF makes it ignore the signal.
PROGRAM = """
import http.server, os, signal, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *_): pass
def stop(*_):
    with open(os.environ["TITAN_STOPPED"], "a") as file: file.write(os.environ["TITAN_ROLE"] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("TITAN_DEAF") else stop)
http.server.HTTPServer(("127.0.0.1", int(os.environ["TITAN_HTTP_PORT"])), Page).serve_forever()
"""


def process(folder: Path, name: str, program: str = PROGRAM, **env: str) -> Supervised:
    port = free_ports(1)[0]
    own = {"TITAN_ROLE": name, "TITAN_HTTP_PORT": str(port), "TITAN_STOPPED": str(folder / "stopped"), **env}
    return Supervised(
        name=name,
        argv=(sys.executable, "-c", program),
        env=own,
        log=folder / f"{name}.jsonl",
        url=f"http://127.0.0.1:{port}",
    )


async def until(supervisor: Supervisor, condition: Callable[[], bool], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await supervisor.next_change()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def test_processes_become_ready_and_stop_in_the_order_asked(tmp_path: Path) -> None:
    changes: list[tuple[str, ProcessState]] = []
    supervisor = Supervisor(
        [process(tmp_path, name) for name in ("a", "b", "c")], lambda one: changes.append((one.name, one.state))
    )
    supervisor.start(["a", "b", "c"])
    assert await supervisor.wait_ready(["a", "b", "c"], 15)
    pids = [one.pid for one in supervisor.processes.values()]
    await supervisor.stop(["b", "c", "a"])
    assert (tmp_path / "stopped").read_text().split() == ["b", "c", "a"]
    assert [pid for pid in pids if alive(pid)] == []
    assert ("a", ProcessState.STARTING) in changes
    assert {one.state for one in supervisor.processes.values()} == {ProcessState.STOPPED}


async def test_killed_process_comes_back_with_another_pid(tmp_path: Path) -> None:
    one = process(tmp_path, "a")
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    assert await supervisor.wait_ready(["a"], 15)
    before = one.pid
    os.kill(before, signal.SIGKILL)
    await until(supervisor, lambda: one.restarts.total == 1)
    assert "ended by SIGKILL" in one.note
    assert await supervisor.wait_ready(["a"], 15)
    assert one.pid != before
    await supervisor.stop(["a"])


async def test_a_folder_that_was_deleted_ends_nothing_but_its_process(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    one, other = process(tmp_path, "a"), process(tmp_path, "b")
    one.log = folder / "log.jsonl"
    supervisor = Supervisor([one, other], lambda _: None)
    supervisor.start(["a", "b"])
    assert await supervisor.wait_ready(["a", "b"], 15)
    shutil.rmtree(folder)
    os.kill(one.pid, signal.SIGKILL)
    await until(supervisor, lambda: one.restarts.total == 1)
    assert one.note.startswith("ended by SIGKILL; again in ")
    assert await supervisor.wait_ready(["a", "b"], 15)
    assert other.restarts.total == 0
    await supervisor.stop(["a", "b"])


async def test_crash_loop_is_shown_with_the_last_line_of_the_log(tmp_path: Path) -> None:
    one = process(tmp_path, "a", "import sys; sys.exit('boom')")
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    await until(supervisor, lambda: one.state is ProcessState.CRASH_LOOP, 30)
    assert one.restarts.total == 5
    assert one.note.startswith("ended with exit code 1: boom; again in ")
    await supervisor.stop(["a"])
    assert one.state is ProcessState.STOPPED


async def test_bad_settings_are_reported_and_not_retried(tmp_path: Path) -> None:
    said = json.dumps({"event": "cannot start", "reason": "speed: 'x' is not allowed"})
    one = process(tmp_path, "a", f"import sys; print({said!r}); sys.exit(2)")
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    assert not await supervisor.wait_ready(["a"], 15)
    assert supervisor.failed == [one]
    assert one.note == "speed: 'x' is not allowed"
    assert one.restarts.total == 0
    await supervisor.stop(["a"])


async def test_process_that_ignores_sigterm_is_killed_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titan.cli.local.processes.STOP_S", 0.3)
    one = process(tmp_path, "a", TITAN_DEAF="1")
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    assert await supervisor.wait_ready(["a"], 15)
    pid = one.pid
    await supervisor.stop(["a"])
    assert not alive(pid)
    assert not (tmp_path / "stopped").exists()


async def test_stop_while_it_waits_to_start_again(tmp_path: Path) -> None:
    one = process(tmp_path, "a", "import sys; sys.exit(1)")
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    await until(supervisor, lambda: one.restarts.total >= 3)
    before = one.restarts.total
    await supervisor.stop(["a"])
    # Whoever waited for the end of the pause would have started it once more.
    assert one.restarts.total == before


async def test_program_that_cannot_be_executed_is_a_crash_not_a_hang(tmp_path: Path) -> None:
    one = process(tmp_path, "a")
    one.argv = ("/nowhere/titan-brain",)
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    await until(supervisor, lambda: one.restarts.total >= 1)
    assert "FileNotFoundError" in one.note
    await supervisor.stop(["a"])


async def test_defect_of_the_supervisor_wakes_every_waiter(tmp_path: Path) -> None:
    one = process(tmp_path, "a")
    (tmp_path / "file").touch()
    one.log = tmp_path / "file" / "log.jsonl"
    supervisor = Supervisor([one], lambda _: None)
    supervisor.start(["a"])
    assert not await supervisor.wait_ready(["a"], 15)
    assert isinstance(supervisor.broken, FileExistsError)
    await supervisor.stop(["a"])


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {paths!r}
import test_supervisor as t
from titan.cli.local.processes import Supervisor
async def main():
    supervisor = Supervisor([t.process(Path({tmp!r}), name, TITAN_DEAF="1") for name in "ab"], lambda _: None)
    supervisor.start(["a", "b"])
    assert await supervisor.wait_ready(["a", "b"], 15)
    print(*[one.pid for one in supervisor.processes.values()], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_supervisor_killed_with_sigkill_leaves_no_process(tmp_path: Path) -> None:
    here = Path(__file__)
    paths = [str(here.parents[2]), str(here.parents[3] / "ci"), str(here.parent)]
    program = SUPERVISOR.format(paths=paths, tmp=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        assert [alive(pid) for pid in pids] == [True, True]
        supervisor.kill()
        assert wait_until_gone(pids, 60) == []


@pytest.mark.parametrize(
    ("description", "lines", "reason"),
    [
        ("JSON", ['{"event": "started"}', '{"event": "cannot start", "reason": "no file"}'], "no file"),
        ("console", ["2024-08-08 [error    ] bad settings    reason='seed: x' role=settings"], "seed: x"),
        ("the last one that gives one", ['{"reason": "old"}', '{"reason": "new"}', '{"event": "stopped"}'], "new"),
        (
            "of errors only",
            ['{"level": "error", "reason": "broken"}', '{"level": "info", "reason": "latch"}'],
            "broken",
        ),
        ("a trace", ["Traceback (most recent call last):", "KeyError: 'x'"], "KeyError: 'x'"),
        ("none", ['{"event": "stopped"}'], ""),
        ("empty", [], ""),
    ],
)
def test_last_reason(tmp_path: Path, description: str, lines: list[str], reason: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f"{line}\n" for line in lines))
    assert last_reason(log) == reason


def test_last_reason_of_an_earlier_run_is_not_that_of_this_one(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"reason": "old"}\n')
    assert last_reason(log, log.stat().st_size) == ""


def test_large_log_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.touch()
    os.truncate(log, 65 << 20)
    rotate(log)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl.1"]
    log.write_text("small")
    rotate(log)
    assert log.read_text() == "small"
