"""A whole stack as a user runs it: ``titan up`` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from support.stack.both_accounts import BothAccounts, disagreements, read_both
from support.stack.local_processes import REPOSITORY, free_port_offset
from titan.cli.output import counted
from titan.domain.venue import VenueOrderState
from titan.runtime.topology import ROLES

TITAN = str(Path(sys.executable).parent / "titan")
DEMO = ("-f", str(REPOSITORY / "policies" / "demo.yaml"), "-f", str(REPOSITORY / "examples" / "quickstart.yaml"))
REPLAY = ("-f", str(REPOSITORY / "examples" / "replay"))
PROCESSES = ("marketdata", "papervenue", "execution", "brain", "scavenger")


def port_offset() -> int:
    """An offset at which a stack finds all its ports free."""
    return free_port_offset([port for role in ROLES.values() for port in (role.grpc_port, role.http_port)])


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids: Sequence[int], timeout_s: float = 60) -> list[int]:
    """Wait until all processes have ended; return those that still run after ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return left


class LocalStack:
    """One ``titan up`` and the commands of other terminals."""

    def __init__(self, state: Path, arguments: Sequence[str], errors: Path) -> None:
        self.state = state
        self.errors = errors
        with errors.open("ab") as file:
            self.process = subprocess.Popen(
                [TITAN, "up", "--state", str(state), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                # A program that a shell starts in the background ignores SIGINT. A session of its own prevents that.
                start_new_session=True,
            )

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return self.errors.read_text()

    def titan(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command against this stack, as another terminal would."""
        command = [TITAN, *arguments, "--state", str(self.state)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)

    def json(self, *arguments: str) -> Any:
        """Run a command and decode the document that it prints."""
        done = self.titan(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def processes(self) -> dict[str, dict[str, Any]]:
        """Read the supervisor's state of each process."""
        try:
            processes = json.loads((self.state / "processes.json").read_text())["processes"]
        except FileNotFoundError:
            return {}
        return {one["name"]: one for one in processes}

    def pids(self) -> list[int]:
        """Process ids of the running processes."""
        return [one["pid"] for one in self.processes().values() if one["pid"]]

    def wait(self, sentence: str, timeout_s: float = 120) -> None:
        """Wait until standard error contains ``sentence``."""
        deadline_s = time.monotonic() + timeout_s
        while sentence not in self.stderr:
            assert self.process.poll() is None, f"ended before it printed {sentence!r}: {self.stderr}"
            assert time.monotonic() < deadline_s, f"not printed within {timeout_s} s: {sentence!r}: {self.stderr}"
            time.sleep(0.05)

    def wait_ready(self, name: str, other_than_pid: int = 0, timeout_s: float = 120) -> int:
        """Wait until a process is ready, with another pid than ``other_than_pid``, and return its pid."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            one = self.processes().get(name, {"state": "", "pid": 0})
            if one["state"] == "ready" and one["pid"] != other_than_pid:
                return int(one["pid"])
            assert time.monotonic() < deadline_s, f"{name} is not ready within {timeout_s} s: {one}, {self.stderr}"
            time.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 120) -> tuple[int, str]:
        """Send a signal; return exit code and standard output."""
        self.process.send_signal(number)
        return self.result(timeout_s)

    def result(self, timeout_s: float = 120) -> tuple[int, str]:
        """Wait for the end; return exit code and standard output."""
        out, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out


def ended_well(stack: LocalStack, code: int, out: str, late_start: bool = False) -> tuple[dict[str, Any], BothAccounts]:
    """Return the totals of a run until the end, with both records; fail unless it was a good one.

    A market that breaks off may leave positions open, each with its stop, and orders on their way into it. The totals
    name exactly as many as the venue's own records hold, and the exit code says so.

    Parameters
    ----------
    late_start
        Execution may have started when only the last prints were left, which a second one never confirms. Then equity
        may be unknown, by the price of an open position.
    """
    result: dict[str, Any] = json.loads(out) if out else {"degraded": ["no totals"]}
    books = read_both(stack.state, stack.state.with_name(f"{stack.state.name}-copy"))
    open_symbols = [symbol for symbol, position in books.venue.positions.items() if position.quantity]
    under_way = [order for order in books.ours.working.values() if not order.at_venue]
    expected = [
        f"{counted(number, noun)} {fact}"
        for number, noun, fact in (
            (len(open_symbols), "position", "open at the end"),
            (len(under_way), "order", "unresolved with the venue"),
        )
        if number
    ]
    unconfirmed = [f"equity unknown: price of {one} is not confirmed: it needs a second print" for one in open_symbols]
    causes = [cause for cause in result["degraded"] if not (late_start and cause in unconfirmed)]
    assert causes == expected, stack.stderr
    states = {order.client_order_id: books.venue.orders[order.client_order_id].state for order in under_way}
    assert set(states.values()) <= {VenueOrderState.PENDING}, f"not on their way into the market: {states}"
    assert disagreements(books) == []
    assert code == (1 if result["degraded"] else 0), stack.stderr
    return result, books


@contextmanager
def local_stack(state: Path, *arguments: str, resources: Sequence[str] = DEMO) -> Iterator[LocalStack]:
    """Run ``titan up`` with ``resources`` on free ports, and kill it at the end."""
    state.parent.mkdir(parents=True, exist_ok=True)
    offset = [] if "--port-offset" in arguments else ["--port-offset", str(port_offset())]
    # One file for each start on a state, so that no test waits for the output of an earlier start.
    errors = next(path for number in count() if not (path := state.parent / f"{state.name}.{number}.stderr").exists())
    stack = LocalStack(state, [*resources, *offset, *arguments], errors)
    try:
        yield stack
    finally:
        if stack.process.poll() is None:
            # Its processes die with the supervisor.
            stack.process.kill()
            stack.process.communicate(timeout=60)
