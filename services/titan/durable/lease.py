"""The one-writer lease: pure logic over a store, a clock and a check of the holder's process.

A term is claimed by creating ``term-<N>`` exclusively; its holder keeps ``lease-<N>``, which holds the time until
which it may send. The highest term counts. Two holders can never both send, wherever one of them is stopped (SIGSTOP)
and continued later, for these reasons:

* A holder signs a request with the time at which it checked that the lease covers that time *and* the receive window
  after it. So the venue refuses all its requests once the lease has expired, however late they leave.
* It counts a renewal only after the new expiry is stored and, read after that, no higher term exists. A successor
  claims its term first and reads the leases after that. Either the successor sees the renewal and waits it out, or the
  holder sees the successor's term and loses the lease.
* A successor waits until expiry + receive window + skew of every lower term has passed. Within one boot of one machine
  that is judged on CLOCK_BOOTTIME, which runs through sleep and is never set, else on the wall clock. A lease has
  passed in any case once its whole length and the margins went by unchanged on the successor's own clock, also when a
  wall clock was set.
* A holder on the same machine whose process is proven dead renews nothing and sends nothing more. The venue refuses
  its last requests after receive window + skew.

Where a venue has no receive window, a request can arrive late and this fencing is weaker.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec

from titan.domain.time import NS_PER_S


class LeaseTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in ns. The defaults take over from a dead process in 2.5 s, from a stopped one in 7.5 s.

    Raises
    ------
    ValueError
        When a lease does not outlast two renewals and the receive window. A holder could not always send then.
    """

    duration_ns: int = 5 * NS_PER_S
    """The time from a renewal to the expiry."""
    receive_window_ns: int = 2 * NS_PER_S
    """The venue refuses a request that arrives later than this after the time it is signed with."""
    skew_ns: int = NS_PER_S // 2
    """The most by which the venue's clock, or another machine's, differs from this one's."""
    renew_ns: int = NS_PER_S
    """Time from one renewal to the next."""

    def __post_init__(self) -> None:
        least = self.receive_window_ns + 2 * self.renew_ns
        if self.duration_ns < least or min(self.receive_window_ns, self.skew_ns, self.renew_ns) < 0:
            raise ValueError(
                f"lease: duration_ns={self.duration_ns} with receive_window_ns={self.receive_window_ns}, "
                f"renew_ns={self.renew_ns}, skew_ns={self.skew_ns}; none may be negative and the duration must be at "
                f"least receive_window_ns + 2 x renew_ns = {least}"
            )


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of a process, by which another one on the same machine checks whether it still lives."""

    boot_id: str
    pid: int
    start_ticks: int
    """Start of the process in clock ticks since boot: differs from that of a later one with the same pid."""
    pid_namespace: int
    """Inode of its pid namespace: a pid means nothing in another one."""


class LeaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Content of ``lease-<N>``."""

    expires_ns: int
    """On the wall clock."""
    expires_boot_ns: int
    """The same on CLOCK_BOOTTIME; valid only for a process with the same ``holder.boot_id``."""
    duration_ns: int
    receive_window_ns: int
    settled: bool
    """The holder has released it, with every request answered: a successor need not wait."""
    holder: ProcessIdentity


class LeaseStore(Protocol):
    """Storage of terms and leases. Every call may raise ``OSError``."""

    def terms(self) -> list[int]:
        """Return all claimed terms, in no order."""

    def claim(self, term: int) -> bool:
        """Create a term, durably; False when it exists."""

    def read(self, term: int) -> LeaseRecord | None:
        """Read the lease of a term; None when there is none yet, or none that can be read."""

    def write(self, term: int, record: LeaseRecord) -> None:
        """Replace the lease of a term, atomically and durably."""

    def forget_below(self, term: int) -> None:
        """Remove terms and leases below ``term``."""


class LeaseClock(Protocol):
    """The two clocks, in ns."""

    def wall_ns(self) -> int:
        """UTC; it may be set."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME: since boot, through sleep, never set."""


class LeaseState(Enum):
    """State of a lease. LOST and RELEASED are final: make a new one, and recover the journal again."""

    WAITING = "waiting"  # an earlier holder's time has not passed
    CLAIMED = "claimed"  # the term is ours, and the one before is waited out
    HELD = "held"
    LOST = "lost"
    RELEASED = "released"


class LeaseUnavailable(Exception):  # noqa: N818 - it is a state that its users report
    """The lease's folder cannot be read or written. ``reason`` is one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Lease:
    """One attempt of one process to be the writer.

    Call :meth:`acquire_step` until it returns 0, then :meth:`renew` each ``times.renew_ns``, and before each request
    :meth:`may_send`. A renewal syncs to the disk; it may run in a worker thread while :meth:`may_send` is called.

    Parameters
    ----------
    is_dead
        Whether a process is proven not to live any more; False when that cannot be known.

    Attributes
    ----------
    state
        Its present state.
    term
        The term claimed; 0 before.
    problem
        The reason for which the last renewal failed, or the lease is lost; empty when all is well.
    """

    def __init__(
        self,
        store: LeaseStore,
        clock: LeaseClock,
        identity: ProcessIdentity,
        is_dead: Callable[[ProcessIdentity], bool],
        times: LeaseTimes | None = None,
    ) -> None:
        self.state = LeaseState.WAITING
        self.term = 0
        self.problem = ""
        self.times = LeaseTimes() if times is None else times
        self._store = store
        self._clock = clock
        self._identity = identity
        self._is_dead = is_dead
        self._expires_ns = 0
        self._expires_boot_ns = 0
        self._seen: dict[int, tuple[LeaseRecord | None, int]] = {}
        self._dead_since: dict[ProcessIdentity, int] = {}

    @property
    def expires_ns(self) -> int:
        """Time at which the lease ends unless it is renewed (wall clock); 0 before the first claim."""
        return self._expires_ns

    def may_send(self, now_ns: int) -> bool:
        """Whether a request that is signed with ``now_ns`` (wall clock, read just before) may leave."""
        window_ns = self.times.receive_window_ns
        return (
            self.state is LeaseState.HELD
            and now_ns + window_ns <= self._expires_ns
            and self._clock.boot_ns() + window_ns <= self._expires_boot_ns
        )

    def acquire_step(self) -> int:
        """Take the next step towards holding the lease.

        Returns
        -------
        int
            Time to wait before the next call, in ns; 0 when the lease is held. Check ``state`` too: a claim may be LOST
            while it is waited out.

        Raises
        ------
        LeaseUnavailable
            When the folder cannot be read or written.
        ValueError
            When the lease is lost or released.
        """
        if self.state in (LeaseState.LOST, LeaseState.RELEASED):
            raise ValueError(f"lease of term {self.term}: {self.state.value}; make a new one")
        if self.state is LeaseState.HELD:
            return 0
        try:
            if self.state is LeaseState.CLAIMED:
                self._extend()
            elif wait_ns := self._try_to_claim():
                return wait_ns
            return self._wait_out()
        except OSError as error:
            raise LeaseUnavailable(f"lease: {error.filename or 'its folder'}: {error.strerror}") from error

    def renew(self) -> LeaseState:
        """Extend the lease. A failed write is reported in ``problem``; the lease then ends when it expires.

        Returns
        -------
        LeaseState
            The new state: LOST when the lease had expired or a higher term exists.
        """
        if self.state not in (LeaseState.CLAIMED, LeaseState.HELD):
            return self.state
        try:
            self._extend()
        except OSError as error:
            self.problem = f"lease of term {self.term} cannot be renewed: {error.strerror}"
        return self.state

    def release(self, *, settled: bool) -> None:
        """Release the lease. ``settled``: every request was answered, so that a successor need not wait at all.

        A failed write is reported in ``problem``; a successor then waits the lease out.
        """
        if self.state not in (LeaseState.CLAIMED, LeaseState.HELD):
            return
        self.state = LeaseState.RELEASED
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        # Never store a later end than before: the term may have been taken over since.
        expires_ns, expires_boot_ns = min(wall_ns, self._expires_ns), min(boot_ns, self._expires_boot_ns)
        try:
            self._store.write(self.term, self._record(expires_ns, expires_boot_ns, settled=settled))
        except OSError as error:
            self.problem = f"lease of term {self.term} cannot be released: {error.strerror}"

    def _try_to_claim(self) -> int:
        """Claim the next term when every earlier lease has passed; return how long that still takes."""
        terms = self._store.terms()
        if wait_ns := self._wait_for(terms):
            return wait_ns
        term = max(terms, default=0) + 1
        if not self._store.claim(term):
            return self._wait_for(self._store.terms()) or self.times.renew_ns
        self.term = term
        self.state = LeaseState.CLAIMED
        self._extend(first=True)
        return 0

    def _wait_out(self) -> int:
        """Read the earlier leases once more after the claim, and wait for one that was renewed in between."""
        if self.state is not LeaseState.CLAIMED:
            return self.times.renew_ns
        if wait_ns := self._wait_for([term for term in self._store.terms() if term < self.term]):
            return min(wait_ns, self.times.renew_ns)
        self._store.forget_below(self.term)
        self.state = LeaseState.HELD
        return 0

    def _extend(self, *, first: bool = False) -> None:
        """Store a later expiry; count it only when no higher term exists after that."""
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        if not first and (wall_ns >= self._expires_ns or boot_ns >= self._expires_boot_ns):
            self._lose("it expired before it was renewed")
            return
        expires_ns, expires_boot_ns = wall_ns + self.times.duration_ns, boot_ns + self.times.duration_ns
        self._store.write(self.term, self._record(expires_ns, expires_boot_ns, settled=False))
        if (highest := max(self._store.terms())) > self.term:
            self._lose(f"term {highest} has taken over")
            return
        self._expires_ns, self._expires_boot_ns = expires_ns, expires_boot_ns
        self.problem = ""

    def _lose(self, reason: str) -> None:
        self.state = LeaseState.LOST
        self.problem = f"lease of term {self.term} is lost: {reason}"

    def _record(self, expires_ns: int, expires_boot_ns: int, *, settled: bool) -> LeaseRecord:
        return LeaseRecord(
            expires_ns=expires_ns,
            expires_boot_ns=expires_boot_ns,
            duration_ns=self.times.duration_ns,
            receive_window_ns=self.times.receive_window_ns,
            settled=settled,
            holder=self._identity,
        )

    def _wait_for(self, terms: list[int]) -> int:
        """Return the time until the last request under any of these terms is surely refused, in ns."""
        return max((self._wait_for_one(term) for term in terms), default=0)

    def _wait_for_one(self, term: int) -> int:
        record = self._store.read(term)
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        if record is not None and record.settled:
            return 0
        if term not in self._seen or self._seen[term][0] != record:
            self._seen[term] = (record, boot_ns)
        duration_ns, window_ns = self.times.duration_ns, self.times.receive_window_ns
        if record is not None:
            duration_ns, window_ns = record.duration_ns, max(window_ns, record.receive_window_ns)
        margin_ns = window_ns + self.times.skew_ns
        # Unchanged for its whole length on our own clock. A term without a lease is waited for as well: its holder has
        # just claimed it, and claiming the next at once would make two newcomers chase each other.
        clear = [self._seen[term][1] + duration_ns + margin_ns - boot_ns]
        if record is not None:
            if record.holder.boot_id == self._identity.boot_id:
                clear.append(record.expires_boot_ns + margin_ns - boot_ns)
            else:
                clear.append(record.expires_ns + margin_ns - wall_ns)
            if self._is_dead(record.holder):
                clear.append(self._dead_since.setdefault(record.holder, boot_ns) + margin_ns - boot_ns)
        return max(0, min(clear))
