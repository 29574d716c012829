"""Holders of a lease in one simulated machine, each of which can be stopped before any of its steps.

A holder runs as a greenlet that gives control back before each read of a clock, each file call, each check of a process
and each request that it sends. A schedule of (holder, number of steps, time that passes) reaches every state in which a
SIGSTOP could leave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet

from titan.durable.lease import Lease, LeaseRecord, LeaseState, LeaseTimes, ProcessIdentity

# As with the defaults, the part of a lease in which its holder sends is longer than what a successor adds to its end.
WINDOW, SKEW, DURATION, RENEW = 2, 1, 8, 1
WALL_AHEAD = 10**6
TIMES = LeaseTimes(duration_ns=DURATION, receive_window_ns=WINDOW, skew_ns=SKEW, renew_ns=RENEW)


@dataclass
class Request:
    """A request that left, and the time from which the venue refuses it."""

    sender: int
    term: int
    checked_ns: int
    refused_from_ns: int


class BothMaySendError(AssertionError):
    pass


@dataclass
class SimulatedMachine:
    """Time, the folder and the venue.

    ``wall_error`` is the lead of the wall clock over the venue's: at most ``SKEW``; it may lag by any amount.
    """

    lease_type: type[Lease] = Lease
    same_boot: bool = True
    now_ns: int = 1000
    wall_error: int = 0
    terms: set[int] = field(default_factory=set)
    leases: dict[int, LeaseRecord] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    holders: list[Holder] = field(default_factory=list)

    def add_holder(self) -> Holder:
        self.holders.append(Holder(self, len(self.holders)))
        return self.holders[-1]

    def run(self, schedule: Iterable[tuple[int, int, int]]) -> None:
        """Run a schedule; each entry is a holder, its number of steps, and the time that passes after them."""
        for holder, steps, passes in schedule:
            for _ in range(steps):
                self.holders[holder].step()
            self.now_ns += passes

    def check(self) -> None:
        """Check that no later term sent while the venue could accept an earlier one, and one sender a term."""
        for earlier in self.requests:
            for later in self.requests:
                if earlier.term < later.term and later.checked_ns < earlier.refused_from_ns:
                    raise BothMaySendError(f"{earlier} and {later}")
                if earlier.term == later.term and earlier.sender != later.sender:
                    raise BothMaySendError(f"{earlier} and {later}")


class Holder:
    """A process that sends for ever: it acquires, sends, renews, and starts again when it lost the lease."""

    def __init__(self, machine: SimulatedMachine, number: int) -> None:
        self.machine = machine
        self.number = number
        self.release_requested = False
        self.lease: Lease | None = None
        self._main = getcurrent()
        self._greenlet = greenlet(self._work)

    def step(self) -> None:
        """Run to the next point at which it can be stopped. A dead holder does not move."""
        if self.number not in self.machine.dead:
            self._greenlet.switch()

    def _stop(self) -> None:
        self._main.switch()

    def _work(self) -> None:
        while True:
            boot_id = "boot" if self.machine.same_boot else f"boot {self.number}"
            identity = ProcessIdentity(boot_id=boot_id, pid=self.number, start_ticks=0, pid_namespace=0)
            lease = self.lease = self.machine.lease_type(self, self, identity, self._is_dead, TIMES)
            while lease.state is not LeaseState.LOST:
                if self.release_requested:
                    lease.release(settled=False)
                    self._stop()
                    self.release_requested = False
                    break
                if lease.state in (LeaseState.WAITING, LeaseState.CLAIMED):
                    lease.acquire_step()
                    continue
                now_ns = self.wall_ns()
                checked_ns = self.machine.now_ns
                if lease.may_send(now_ns):
                    self._stop()
                    refused_from_ns = now_ns - WALL_AHEAD + WINDOW
                    self.machine.requests.append(Request(self.number, lease.term, checked_ns, refused_from_ns))
                lease.renew()

    def _is_dead(self, process: ProcessIdentity) -> bool:
        self._stop()
        return process.pid in self.machine.dead

    def wall_ns(self) -> int:
        self._stop()
        return self.machine.now_ns + WALL_AHEAD + self.machine.wall_error

    def boot_ns(self) -> int:
        self._stop()
        return self.machine.now_ns

    def terms(self) -> list[int]:
        self._stop()
        return list(self.machine.terms)

    def claim(self, term: int) -> bool:
        self._stop()
        fresh = term not in self.machine.terms
        self.machine.terms.add(term)
        return fresh

    def read(self, term: int) -> LeaseRecord | None:
        self._stop()
        return self.machine.leases.get(term)

    def write(self, term: int, record: LeaseRecord) -> None:
        self._stop()
        self.machine.leases[term] = record

    def forget_below(self, term: int) -> None:
        # As in a folder: the names are read, then each is removed on its own.
        for old in self.terms():
            if old < term:
                self._stop()
                self.machine.leases.pop(old, None)
                self._stop()
                self.machine.terms.discard(old)
