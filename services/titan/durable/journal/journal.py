"""The append-only journal: Execution's authority, a folder of segments that are written once.

Each opening begins a new segment and never writes to an older one. A process that was stopped (SIGSTOP), lost its lease
and is continued later writes into a file whose end its successor has already fixed: its records are void. A torn end is
cut in the same way, by the next segment's first sequence, and stays in the file as evidence.

Writing: :meth:`Journal.append` hands the record to the kernel (it survives a kill of the process),
:meth:`Journal.sync` makes everything appended so far durable (it survives a power cut). One sync covers all.

Space is filled with zeros ahead of use. Space reserved by ``fallocate`` would consist of extents that each first write
has to convert, which costs the file system an extra write in each sync.

A later version may let a chain of segments begin at a checkpoint. This one demands the chain from record 1, so its
files can carry one only by a new version in the header.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from titan.durable.journal.file_ops import OS_FILES, FileOps
from titan.durable.journal.frames import (
    FRAME_BYTES,
    FRAMES_OFFSET,
    MAX_PAYLOAD_BYTES,
    SegmentHeader,
    encode_frame,
)
from titan.durable.journal.recovery import (
    JournalCorrupt,
    JournalUnavailable,
    Record,
    Recovered,
    RecoveryReport,
    read_records,
    recover,
    segment_name,
)

__all__ = ["Journal", "JournalCorrupt", "JournalUnavailable", "Record", "RecoveryReport"]

CHUNK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Journal:
    """An open journal. One thread; open it as the holder of the lease.

    Attributes
    ----------
    last_sequence
        Sequence of the last record appended; the first is 1.
    synced_sequence
        Every record up to this one is on the disk.
    syncs
        Number of calls of ``fdatasync`` by :meth:`sync` since the opening.
    failed
        The reason for which nothing can be appended any more; empty while appending works.
    space_problem
        The reason for which no space could be reserved ahead; empty when it could. Records still fit into
        ``room_bytes``.
    """

    def __init__(
        self, folder: Path, files: FileOps, chunk_bytes: int, on_sync: Callable[[int], None] | None = None
    ) -> None:
        self.folder = folder
        self.last_sequence = 0
        self.synced_sequence = 0
        self.syncs = 0
        self.failed = ""
        self.space_problem = ""
        self.on_sync = on_sync
        """Called after each sync with its duration in ns."""
        self._files = files
        self._pwrite = files.pwrite
        self._fdatasync = files.fdatasync
        self._zeros = bytes(chunk_bytes)
        self._descriptor = -1
        self._path = folder
        self._seed = 0
        self._end = FRAMES_OFFSET
        self._synced_end = FRAMES_OFFSET
        self._allocated = 0

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        files: FileOps = OS_FILES,
        chunk_bytes: int = CHUNK_BYTES,
        on_sync: Callable[[int], None] | None = None,
        before_writing: Callable[[RecoveryReport], None] | None = None,
    ) -> tuple[Journal, Iterator[Record], RecoveryReport]:
        """Recover the existing segments, and begin a new one behind them.

        Every recovered record is durable when this returns, also one that no sync had covered: records without a proof
        of being on the disk are copied and synced. (A sync of their old file would prove nothing: after a failed sync
        the kernel takes lost pages for clean ones.) A caller that never syncs pays a copy at each opening.

        Parameters
        ----------
        folder
            Created (0700) when it does not exist; its parent must.
        chunk_bytes
            Bytes reserved at a time.
        on_sync
            Called after each sync with its duration in ns.
        before_writing
            Called with the report before anything is written: the new segment hides that the one before was cut.

        Returns
        -------
        tuple
            The journal, an iterator over all its records in order (read from the files as it goes), and the report.

        Raises
        ------
        JournalCorrupt
            A record that was on the disk is damaged. Nothing was written.
        JournalUnavailable
            The folder cannot be read or written, or another process has opened the journal at the same time.
        """
        try:
            files.make_folder(folder)
            recovered = recover(files, folder)
            if before_writing is not None:
                before_writing(recovered.report)
            journal = cls(folder, files, chunk_bytes, on_sync)
            journal._begin_segment(recovered)
        except OSError as error:
            raise JournalUnavailable(f"journal {error.filename or folder}: cannot open: {error.strerror}") from error
        return journal, read_records(files, recovered.segments), recovered.report

    @property
    def room_bytes(self) -> int:
        """Number of reserved bytes that records can use; the place of the last mark is not among them."""
        return max(0, self._allocated - self._end - FRAME_BYTES)

    def append(self, payload: bytes) -> int:
        """Write a record; not durable before :meth:`sync`.

        Returns
        -------
        int
            The record's sequence.

        Raises
        ------
        ValueError
            For an empty payload or one above 16 MiB.
        JournalUnavailable
            When it cannot be written; the journal has then failed for good.
        """
        if self.failed:
            raise JournalUnavailable(self.failed)
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"payload: {len(payload)} bytes; allowed are 1 to {MAX_PAYLOAD_BYTES}")
        sequence = self.last_sequence + 1
        frame = encode_frame(sequence, self.synced_sequence, payload, self._seed)
        # A mark always fits behind the last record: a file without one and without zeros was cut.
        if self._end + len(frame) + FRAME_BYTES > self._allocated:
            self._reserve(len(frame) + FRAME_BYTES)
            if len(frame) > self.room_bytes:
                raise self._fail(f"cannot write record {sequence}: {os.strerror(errno.ENOSPC)}")
        try:
            self._write(frame, self._end)
        except OSError as error:
            raise self._fail(f"cannot write record {sequence}: {error.strerror}") from error
        self._end += len(frame)
        self.last_sequence = sequence
        return sequence

    def begin_sync(self) -> None:
        """Let the disk begin with the records that are not durable; :meth:`sync` then has less to wait for."""
        if not self.failed:
            self._files.start_writing(self._descriptor, self._synced_end, self._end - self._synced_end)

    def sync(self, *, mark: bool = True) -> None:
        """Make every record appended so far durable; do nothing when they are.

        Parameters
        ----------
        mark
            Declare it in the file. False where a record follows at once, which declares it too.

        Raises
        ------
        JournalUnavailable
            When the disk refuses. Records after ``synced_sequence`` may or may not be there then; the journal is failed
            and stays so, since to sync again would succeed without having written them.
        """
        if self.failed:
            raise JournalUnavailable(self.failed)
        if self.synced_sequence == self.last_sequence:
            return
        started_ns = time.perf_counter_ns()
        try:
            self._fdatasync(self._descriptor)
        except OSError as error:
            raise self._fail(
                f"cannot sync: {error.strerror}; no record after {self.synced_sequence} may be taken for written"
            ) from error
        duration_ns = time.perf_counter_ns() - started_ns
        self.synced_sequence = self.last_sequence
        self._synced_end = self._end
        self.syncs += 1
        if mark:
            self._mark()
        if self.on_sync is not None:
            self.on_sync(duration_ns)

    def reserve(self) -> None:
        """Reserve space ahead when less than half a chunk is left; called now and then, off the order path.

        A full disk does not fail the journal here: ``space_problem`` reports it, and reserved space stays usable.

        Raises
        ------
        JournalUnavailable
            When the disk fails otherwise.
        """
        if self.failed:
            raise JournalUnavailable(self.failed)
        if self.room_bytes < len(self._zeros) // 2:
            self._reserve(0)

    def close(self) -> None:
        """Sync the last records, free the reserved space and close. A failed journal is only closed.

        Raises
        ------
        JournalUnavailable
            When the last sync fails.
        """
        if self._descriptor < 0:
            return
        try:
            if not self.failed:
                self.sync()
                try:
                    # The mark stays: it declares the last records durable.
                    self._files.ftruncate(self._descriptor, self._end + FRAME_BYTES)
                    self._fdatasync(self._descriptor)
                except OSError as error:
                    raise self._fail(f"cannot close: {error.strerror}") from error
                self.failed = f"journal {self._path}: it is closed"
        finally:
            self._files.close(self._descriptor)
            self._descriptor = -1

    def _begin_segment(self, recovered: Recovered) -> None:
        """Write a new segment under a temporary name, sync it, and only then give it its own."""
        files = self._files
        number = len(recovered.segments) + 1
        header = SegmentHeader(number, recovered.durable_sequence + 1, recovered.last_sequence)
        for name in files.names(self.folder):
            if name.endswith(".new"):
                with contextlib.suppress(FileNotFoundError):
                    files.unlink(self.folder / name)
        self._path = self.folder / segment_name(number)
        temporary = self.folder / f"{segment_name(number)}.{secrets.token_hex(4)}.new"
        self._descriptor = files.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self._seed = header.seed
            self._write(header.encode(), 0)
            for record in read_records(files, recovered.segments, recovered.durable_sequence):
                frame = encode_frame(record.sequence, recovered.durable_sequence, record.payload, self._seed)
                self._write(frame, self._end)
                self._end += len(frame)
            self.last_sequence = self.synced_sequence = recovered.last_sequence
            self._synced_end = self._end
            self._allocated = self._end
            self._write(self._zeros, self._end)
            self._allocated += len(self._zeros)
            self._mark()
            self._fdatasync(self._descriptor)
            try:
                files.link(temporary, self._path)
            except (FileExistsError, FileNotFoundError):
                raise JournalUnavailable(f"journal {self.folder}: another process opened it at the same time") from None
            files.unlink(temporary)
            files.sync_folder(self.folder)
        except BaseException:
            files.close(self._descriptor)
            with contextlib.suppress(OSError):  # a full disk needs the space; the next opening removes it otherwise
                files.unlink(temporary)
            raise

    def _mark(self) -> None:
        """Write a mark behind the last record: it declares all records durable. The next frame overwrites it."""
        try:
            self._write(encode_frame(self.last_sequence, self.synced_sequence, b"", self._seed), self._end)
        except OSError as error:
            raise self._fail(f"cannot write the mark: {error.strerror}") from error

    def _reserve(self, at_least: int) -> None:
        zeros = self._zeros if at_least <= len(self._zeros) else bytes(at_least)
        start = max(self._allocated, self._end)
        try:
            self._write(zeros, start)
        except OSError as error:
            if error.errno not in _FULL:
                raise self._fail(f"cannot reserve space: {error.strerror}") from error
            self.space_problem = f"journal {self._path}: cannot reserve space: {error.strerror}"
            with contextlib.suppress(OSError):  # the written part is usable
                self._allocated = max(self._allocated, self._files.size(self._descriptor))
            return
        self._allocated = start + len(zeros)
        self.space_problem = ""

    def _write(self, data: bytes, offset: int) -> None:
        written = self._pwrite(self._descriptor, data, offset)
        while written < len(data):
            if not (more := self._pwrite(self._descriptor, data[written:], offset + written)):
                raise OSError(errno.EIO, "the file takes no more bytes")
            written += more

    def _fail(self, what: str) -> JournalUnavailable:
        self.failed = f"journal {self._path}: {what}"
        return JournalUnavailable(self.failed)
