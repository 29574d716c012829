from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from titan.durable.lease import Lease, LeaseState, LeaseTimes, LeaseUnavailable, ProcessIdentity
from titan.durable.lease_files import FolderLeaseStore, MachineClock, is_dead, open_lease, own_identity

S = 1_000_000_000
TIMES = LeaseTimes()  # 5 s, of which 3 may be sent in; a successor waits 2.5 s longer


class Clock:
    def __init__(self) -> None:
        self.boot = 1000 * S
        self.wall = 1_700_000_000 * S

    def wall_ns(self) -> int:
        return self.wall

    def boot_ns(self) -> int:
        return self.boot

    def advance(self, seconds: float) -> None:
        self.boot += int(seconds * S)
        self.wall += int(seconds * S)


class Machine:
    """A folder, a clock and processes by pid."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderLeaseStore(folder)
        self.clock = Clock()
        self.dead: set[int] = set()

    def lease(self, pid: int, boot_id: str = "boot", clock: Clock | None = None) -> Lease:
        identity = ProcessIdentity(boot_id=boot_id, pid=pid, start_ticks=1, pid_namespace=1)
        return Lease(self.store, clock or self.clock, identity, lambda process: process.pid in self.dead)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _waits(machine: Machine, lease: Lease) -> float:
    """Return the seconds until ``lease`` is held, waiting as each step returns."""
    start = machine.clock.boot
    while wait_ns := lease.acquire_step():
        machine.clock.advance(wait_ns / S)
    return (machine.clock.boot - start) / S


def test_first_holder_begins_at_once(machine: Machine) -> None:
    lease = machine.lease(1)
    assert not lease.may_send(machine.clock.wall)
    assert lease.acquire_step() == 0
    assert (lease.state, lease.term, lease.acquire_step()) == (LeaseState.HELD, 1, 0)
    assert lease.may_send(machine.clock.wall)


@pytest.mark.parametrize(
    ("description", "seconds", "may_send"),
    [
        ("fresh", 0.0, True),
        ("the window just fits", 3.0, True),
        ("the window does not fit", 3.000000001, False),
        ("expired", 5.0, False),
    ],
)
def test_may_send(machine: Machine, description: str, seconds: float, may_send: bool) -> None:
    lease = machine.lease(1)
    lease.acquire_step()
    machine.clock.advance(seconds)
    assert lease.may_send(machine.clock.wall) is may_send


@pytest.mark.parametrize("clock", ["wall", "boot"])
def test_may_send_needs_both_clocks(machine: Machine, clock: str) -> None:
    lease = machine.lease(1)
    lease.acquire_step()
    setattr(machine.clock, clock, getattr(machine.clock, clock) + 4 * S)
    assert not lease.may_send(machine.clock.wall)


def test_renewed_each_second_it_lasts(machine: Machine) -> None:
    lease = machine.lease(1)
    lease.acquire_step()
    for _ in range(20):
        machine.clock.advance(1)
        assert lease.renew() is LeaseState.HELD
        assert lease.may_send(machine.clock.wall)


def test_an_expired_lease_is_lost_for_ever(machine: Machine) -> None:
    lease = machine.lease(1)
    lease.acquire_step()
    machine.clock.advance(5)
    assert lease.renew() is LeaseState.LOST
    assert "expired before it was renewed" in lease.problem
    assert lease.renew() is LeaseState.LOST
    assert not lease.may_send(machine.clock.wall)
    with pytest.raises(ValueError, match="lost; make a new one"):
        lease.acquire_step()


def _crash(machine: Machine, lease: Lease) -> None:
    machine.dead.add(1)


def _release_settled(_machine: Machine, lease: Lease) -> None:
    lease.release(settled=True)


def _release_unsettled(_machine: Machine, lease: Lease) -> None:
    lease.release(settled=False)


def _stop(_machine: Machine, _lease: Lease) -> None:
    return


def _damage(machine: Machine, _lease: Lease) -> None:
    (machine.store._folder / "lease-1").write_bytes(b"\xff")


@pytest.mark.parametrize(
    ("description", "end", "waits"),
    [
        ("stopped: expiry, window and skew", _stop, 6.5),
        ("dead: window and skew from now", _crash, 2.5),
        ("released, with requests unanswered", _release_unsettled, 2.5),
        ("released, with all answered", _release_settled, 0),
        ("its lease is damaged: a whole lease and the margins from now", _damage, 7.5),
    ],
)
def test_successor_waits(machine: Machine, description: str, end: object, waits: float) -> None:
    holder, successor = machine.lease(1), machine.lease(2)
    holder.acquire_step()
    machine.clock.advance(1)
    end(machine, holder)  # type: ignore[operator]
    assert _waits(machine, successor) == waits
    assert (successor.state, successor.term) == (LeaseState.HELD, 2)
    assert holder.renew() in (LeaseState.LOST, LeaseState.RELEASED)
    assert not holder.may_send(machine.clock.wall)


def test_a_holder_that_died_long_ago_is_not_waited_for(machine: Machine) -> None:
    machine.lease(1).acquire_step()
    machine.clock.advance(100)
    assert machine.lease(2).acquire_step() == 0


def test_a_term_without_a_lease_is_waited_for_as_long_as_a_lease(machine: Machine) -> None:
    machine.store.claim(1)
    assert _waits(machine, machine.lease(2)) == 7.5


def test_a_living_holder_is_never_succeeded(machine: Machine) -> None:
    holder, successor = machine.lease(1), machine.lease(2)
    holder.acquire_step()
    for _ in range(30):
        machine.clock.advance(1)
        assert successor.acquire_step() > 0
        assert holder.renew() is LeaseState.HELD
    assert successor.term == 0


def test_of_two_newcomers_one_wins(machine: Machine) -> None:
    machine.lease(1).acquire_step()
    one, other = machine.lease(2), machine.lease(3)
    _waits(machine, one)
    assert other.acquire_step() > 0
    assert (one.state, other.state) == (LeaseState.HELD, LeaseState.WAITING)


@pytest.mark.parametrize(
    ("description", "boot_id", "wall_step_seconds", "waits"),
    [
        ("same boot: the wall clock does not matter", "boot", -3600, 7.5),
        ("same boot, set ahead", "boot", 3600, 7.5),
        ("after a reboot", "later", 0, 7.5),
        ("after a reboot with the clock set back: no longer than a whole lease", "later", -3600, 7.5),
        ("after a reboot two seconds later", "later", 2, 5.5),
    ],
)
def test_clocks_that_were_set(
    machine: Machine, description: str, boot_id: str, wall_step_seconds: int, waits: float
) -> None:
    machine.lease(1).acquire_step()
    machine.clock.wall += wall_step_seconds * S
    assert _waits(machine, machine.lease(2, boot_id)) == waits


def test_old_terms_are_forgotten_but_the_number_goes_on(machine: Machine) -> None:
    for term in range(1, 6):
        lease = machine.lease(term)
        lease.acquire_step()
        assert lease.term == term
        lease.release(settled=True)
    assert machine.store.terms() == [5]
    assert sorted(path.name for path in machine.store._folder.iterdir()) == ["lease-5", "term-5"]


def test_a_failed_write_is_reported_and_the_lease_ends_in_time(machine: Machine) -> None:
    lease = machine.lease(1)
    lease.acquire_step()

    def refuse(_term: int, _record: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    machine.store.write = refuse  # type: ignore[method-assign]
    machine.clock.advance(1)
    assert lease.renew() is LeaseState.HELD
    assert lease.problem == "lease of term 1 cannot be renewed: Read-only file system"
    assert lease.may_send(machine.clock.wall)
    machine.clock.advance(2.5)
    assert not lease.may_send(machine.clock.wall)
    with pytest.raises(LeaseUnavailable, match="Read-only file system"):
        _waits(machine, machine.lease(2))


@pytest.mark.parametrize(
    ("description", "change"),
    [
        ("too short for window and renewals", {"duration_ns": 4 * S - 1}),
        ("negative", {"skew_ns": -1}),
    ],
)
def test_times_that_cannot_work(description: str, change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(change))}={next(iter(change.values()))}"):
        LeaseTimes(**change)


def _exited() -> ProcessIdentity:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        alive = msgspec.structs.replace(own_identity(), pid=child.pid, start_ticks=ticks)
        assert not is_dead(alive)
        child.kill()
    return alive


@pytest.mark.parametrize(
    ("description", "change", "dead"),
    [
        ("it has exited", {}, True),
        ("another boot: nothing is known", {"boot_id": "another"}, False),
        ("another pid namespace: nothing is known", {"pid_namespace": 1}, False),
    ],
)
def test_death_is_proven_only_within_boot_and_namespace(
    description: str, change: dict[str, object], dead: bool
) -> None:
    assert is_dead(msgspec.structs.replace(_exited(), **change)) is dead


def test_a_pid_that_was_used_again_is_another_process() -> None:
    own = own_identity()
    assert not is_dead(own)
    assert is_dead(msgspec.structs.replace(own, start_ticks=own.start_ticks - 1))


def test_open_lease_on_the_machine(tmp_path: Path) -> None:
    lease = open_lease(tmp_path / "journal")
    assert lease.acquire_step() == 0
    assert lease.may_send(MachineClock().wall_ns())
    assert abs(lease.expires_ns - time.time_ns() - 5 * S) < S
    assert (tmp_path / "journal" / "lease-1").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").write_text("")
    for folder, message in [(tmp_path / "file", "not a folder"), (tmp_path / "no" / "folder", "No such file")]:
        with pytest.raises(LeaseUnavailable, match=message):
            open_lease(folder)
