"""Recovery of the journal's segments: whole records, writes that were cut short, and damage."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from titan.durable.journal.file_ops import FileOps
from titan.durable.journal.frames import (
    FRAMES_OFFSET,
    FileEnd,
    Frame,
    FrameScan,
    HeaderError,
    ReadAt,
    SegmentHeader,
    file_end,
    frames_after,
    last_nonzero,
)

_NAME = re.compile(r"^(\d{8})\.journal$")


class JournalUnavailable(Exception):  # noqa: N818 - it is a state of the journal that its users report
    """The journal cannot be written or read. ``reason`` is one sentence that names the file and the cause."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JournalCorrupt(Exception):  # noqa: N818 - see above
    """Records that were on the disk are damaged or missing. Nothing was written."""

    def __init__(self, path: Path, offset: int, sequence: int, what: str) -> None:
        super().__init__(
            f"journal {path} is damaged at offset {offset}, record {sequence}: {what}; nothing was overwritten"
        )
        self.path = path
        self.offset = offset
        self.sequence = sequence


class Record(NamedTuple):
    """A record and its sequence among all records, from 1."""

    sequence: int
    payload: bytes


@dataclass(frozen=True)
class RecoveryReport:
    """Findings of the journal's opening."""

    folder: Path
    segments: int
    """Number of files; 0 when the journal is new."""
    records: int
    """Number of all records; also the sequence of the last."""
    carried: int
    """Records at the end without a proof of being on the disk: they were written and synced once more."""
    dropped_bytes: int
    """Bytes after the last whole record: a write that was cut short, never acknowledged as synced."""
    dropped_frames: int
    """Whole frames within ``dropped_bytes``; they follow a broken one and were not synced either."""
    dropped_at: str
    """File and offset of the dropped bytes; empty when nothing was dropped."""
    ended_in: str = ""
    """The file written last and the offset at which it ends, for a file that was cut; else empty."""

    @property
    def cut(self) -> bool:
        """Whether the last file was cut by something that is no crash: synced records may be missing."""
        return bool(self.ended_in)

    @property
    def message(self) -> str:
        """The report as one sentence."""
        if not self.segments:
            return f"journal {self.folder}: new"
        text = f"journal {self.folder}: {self.records} records in {self.segments} files"
        if self.carried:
            text += f", the last {self.carried} synced again"
        if self.cut:
            text += (
                f"; {self.ended_in}, ends neither in the mark of an orderly close nor in reserved zeros: the file was "
                f"cut, and records after {self.records} may be missing"
            )
        if self.dropped_bytes:
            text += f"; dropped {self.dropped_bytes} bytes at {self.dropped_at}"
            if not self.cut:
                text += ": a write that was cut short before its sync"
            if self.dropped_frames:
                text += f" (with {self.dropped_frames} whole records after it, not synced either)"
        return text


class Segment(NamedTuple):
    """A file of the journal and its last valid record."""

    path: Path
    header: SegmentHeader
    last_sequence: int
    """Sequence of its last valid record; one less than ``header.first_sequence`` when there is none."""


@dataclass(frozen=True)
class Recovered:
    """The recovered journal."""

    segments: tuple[Segment, ...]
    last_sequence: int
    durable_sequence: int
    report: RecoveryReport


def segment_name(number: int) -> str:
    """Return the name of a segment's file."""
    return f"{number:08d}.journal"


def recover(files: FileOps, folder: Path) -> Recovered:
    """Check every valid record, and write nothing.

    Raises
    ------
    JournalCorrupt
        For a record that was on the disk and is no longer whole, or a file that is missing.
    OSError
        When a file cannot be read.
    """
    numbers = sorted(int(match[1]) for name in files.names(folder) if (match := _NAME.match(name)))
    headers = [_read_header(files, folder, number) for number in numbers]
    for expected, (number, header) in enumerate(zip(numbers, headers, strict=True), start=1):
        path = folder / segment_name(number)
        if number != expected:
            raise JournalCorrupt(folder / segment_name(expected), 0, header.first_sequence, "the file is missing")
        before = headers[expected - 2].first_sequence if expected > 1 else 1
        if header.segment != number or header.first_sequence < before or (number == 1 and header.first_sequence != 1):
            raise JournalCorrupt(path, 0, header.first_sequence, f"its header is {header}, which does not fit here")
    segments = []
    for number, header, following in zip(numbers, headers, headers[1:], strict=False):
        path = folder / segment_name(number)
        _check_older(files, path, header, following.first_sequence - 1)
        segments.append(Segment(path, header, following.first_sequence - 1))
    if not numbers:
        return Recovered((), 0, 0, RecoveryReport(folder, 0, 0, 0, 0, 0, ""))
    path = folder / segment_name(numbers[-1])
    scan, dropped_bytes, dropped_frames, cut_at = _check_last(files, path, headers[-1])
    last = scan.next_sequence - 1
    segments.append(Segment(path, headers[-1], last))
    report = RecoveryReport(
        folder=folder,
        segments=len(segments),
        records=last,
        carried=last - scan.durable_sequence,
        dropped_bytes=dropped_bytes,
        dropped_frames=dropped_frames,
        dropped_at=f"{path.name}, offset {scan.end}" if dropped_bytes else "",
        ended_in=f"{path.name}, {cut_at} bytes" if cut_at else "",
    )
    return Recovered(tuple(segments), last, scan.durable_sequence, report)


def read_records(files: FileOps, segments: tuple[Segment, ...], after_sequence: int = 0) -> Iterator[Record]:
    """Yield the records of checked segments after ``after_sequence``, in order, reading the files on demand.

    Raises
    ------
    JournalCorrupt
        When a file has changed since it was checked.
    OSError
        When a file cannot be read.
    """
    for segment in segments:
        if segment.last_sequence <= after_sequence:
            continue
        with _reading(files, segment.path) as read_at:
            for frame in _valid_frames(read_at, segment.path, segment.header, segment.last_sequence):
                if frame.sequence > after_sequence:
                    yield Record(frame.sequence, frame.payload)


def _read_header(files: FileOps, folder: Path, number: int) -> SegmentHeader:
    path = folder / segment_name(number)
    with _reading(files, path) as read_at:
        try:
            return SegmentHeader.decode(read_at(FRAMES_OFFSET, 0))
        except HeaderError as error:
            # A file gets its name only after its header was synced, so this is never a creation that was cut short.
            raise JournalCorrupt(path, 0, 0, str(error)) from None


def _valid_frames(read_at: ReadAt, path: Path, header: SegmentHeader, last_sequence: int) -> Iterator[Frame]:
    """Yield the frames up to ``last_sequence``, each of which must exist."""
    scan = FrameScan(read_at, header)
    for frame in scan:
        if frame.sequence > last_sequence:
            return
        yield frame
    if scan.next_sequence <= last_sequence:
        raise JournalCorrupt(
            path, scan.end, scan.next_sequence, f"no whole record is here, but those up to {last_sequence} were synced"
        )


def _check_older(files: FileOps, path: Path, header: SegmentHeader, last_sequence: int) -> None:
    with _reading(files, path) as read_at:
        for _ in _valid_frames(read_at, path, header, last_sequence):
            pass


def _check_last(files: FileOps, path: Path, header: SegmentHeader) -> tuple[FrameScan, int, int, int]:
    """Scan the segment written last.

    Returns
    -------
    tuple
        The scan, the bytes and the frames dropped after its end, and the size of a file that was cut (else 0).
    """
    with _reading(files, path) as read_at:
        scan = FrameScan(read_at, header)
        for _ in scan:
            pass
        if scan.durable_sequence >= scan.next_sequence:
            what = f"no whole record is here, but those up to {scan.durable_sequence} were synced"
            raise JournalCorrupt(path, scan.end, scan.next_sequence, what)
        stop, size = last_nonzero(read_at, scan.tail)
        dropped = 0
        for frame in frames_after(read_at, scan.end, stop, scan.next_sequence, header.seed):
            if frame.durable_sequence >= scan.next_sequence:
                what = (
                    f"it is broken, while record {frame.sequence} at offset {frame.offset} is whole and declares that "
                    f"records up to {frame.durable_sequence} were synced"
                )
                raise JournalCorrupt(path, scan.end, scan.next_sequence, what)
            dropped += bool(frame.payload)
        cut_at = size if file_end(scan, stop, size) is FileEnd.CUT else 0
        return scan, stop - scan.end if stop > scan.tail else 0, dropped, cut_at


@contextlib.contextmanager
def _reading(files: FileOps, path: Path) -> Iterator[ReadAt]:
    try:
        descriptor = files.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise JournalCorrupt(path, 0, 0, "the file is missing") from None
        raise
    try:
        yield lambda length, offset: files.pread(descriptor, length, offset)
    finally:
        files.close(descriptor)
