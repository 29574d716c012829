"""The lease on the disk, the machine's clocks, and the check whether a process still lives."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

import msgspec

from titan.durable.files import write_durably
from titan.durable.journal.file_ops import OS_FILES
from titan.durable.lease import Lease, LeaseRecord, LeaseTimes, LeaseUnavailable, ProcessIdentity

_TERM = re.compile(r"^(?:term|lease)-([1-9][0-9]*)$")


class FolderLeaseStore:
    """Files ``term-<N>`` and ``lease-<N>`` in a folder; see :class:`titan.durable.lease.LeaseStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def terms(self) -> list[int]:
        """See :class:`~titan.durable.lease.LeaseStore`. A lease whose term file is gone counts as a term, too."""
        return list({int(match[1]) for entry in self._folder.iterdir() if (match := _TERM.match(entry.name))})

    def claim(self, term: int) -> bool:
        """See :class:`~titan.durable.lease.LeaseStore`."""
        try:
            descriptor = os.open(self._folder / f"term-{term}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        os.close(descriptor)
        OS_FILES.sync_folder(self._folder)
        return True

    def read(self, term: int) -> LeaseRecord | None:
        """See :class:`~titan.durable.lease.LeaseStore`."""
        try:
            return msgspec.json.decode((self._folder / f"lease-{term}").read_bytes(), type=LeaseRecord)
        except (FileNotFoundError, UnicodeDecodeError, msgspec.DecodeError):
            return None

    def write(self, term: int, record: LeaseRecord) -> None:
        """See :class:`~titan.durable.lease.LeaseStore`."""
        write_durably(self._folder / f"lease-{term}", msgspec.json.encode(record))

    def forget_below(self, term: int) -> None:
        """See :class:`~titan.durable.lease.LeaseStore`."""
        for old in self.terms():
            if old < term:
                for name in (f"lease-{old}", f"term-{old}"):
                    with contextlib.suppress(FileNotFoundError):
                        (self._folder / name).unlink()


class MachineClock:
    """The machine's wall clock and CLOCK_BOOTTIME, in ns."""

    def wall_ns(self) -> int:
        """UTC."""
        return time.time_ns()

    def boot_ns(self) -> int:
        """Since boot, through sleep."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def own_identity() -> ProcessIdentity:
    """Return the identity of this process. Raise ``OSError`` where there is no ``/proc``."""
    pid = os.getpid()
    return ProcessIdentity(
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(),
        pid=pid,
        start_ticks=_start_ticks(pid),
        pid_namespace=Path("/proc/self/ns/pid").stat().st_ino,
    )


def is_dead(process: ProcessIdentity, own: ProcessIdentity | None = None) -> bool:
    """Whether ``process`` is proven dead; False for a process of another boot or pid namespace.

    A namespace's inode is used again only after all its processes have died, so an equal inode is proof enough.
    """
    own = own_identity() if own is None else own
    if (process.boot_id, process.pid_namespace) != (own.boot_id, own.pid_namespace):
        return False
    try:
        os.kill(process.pid, 0)
        return _start_ticks(process.pid) != process.start_ticks
    except ProcessLookupError:
        return True
    except OSError:  # it lives, but is another user's or hidden
        return False


def open_lease(folder: Path, times: LeaseTimes | None = None) -> Lease:
    """Make a lease in ``folder`` (created when its parent exists) for this process.

    Raises
    ------
    LeaseUnavailable
        When the folder cannot be made or written.
    """
    try:
        OS_FILES.make_folder(folder)
        own = own_identity()
    except OSError as error:
        raise LeaseUnavailable(f"lease {error.filename or folder}: {error.strerror}") from error
    return Lease(FolderLeaseStore(folder), MachineClock(), own, lambda process: is_dead(process, own), times)


def _start_ticks(pid: int) -> int:
    # The name of the program, in parentheses, may hold spaces; field 22 counts from 1, two stand before the rest.
    return int(Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19])
