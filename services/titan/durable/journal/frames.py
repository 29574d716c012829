"""The journal's bytes: a header a segment, then frames, then zeros.

A frame is length u32, CRC-32 u32, sequence u64, durable u64 (all little-endian) and the payload. The CRC covers
everything but itself and is seeded with that of the segment's header, so a frame of another segment is none here.
``durable`` is the highest sequence known to be on the disk when the frame was written. It tells two kinds of damage
apart. A broken frame that a later one declares durable is corruption. A broken frame that no other declares durable is
a write that power or a kill cut short. Sectors reach a disk in any order, so whole frames may follow such a one.

After each sync a *mark* (a frame without payload, with the last sequence) is left where the next frame will begin. It
declares the last records durable too, and the next frame overwrites it.

So a segment ends in one of two ways. An orderly close cuts the file right after the mark. A process that was killed
leaves a mark or zeros behind its last frame: there is always room for a mark. A file that ends otherwise was cut by
something else, and what stood behind its end is not known (:attr:`FileEnd.CUT`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

MAGIC = b"TITANJNL"
VERSION = 1
MAX_PAYLOAD_BYTES = 16 << 20

_HEADER = struct.Struct("<8sIIQQ")
_HEADER_CRC = struct.Struct("<I")
_FRAME = struct.Struct("<IIQQ")
_COVERED = struct.Struct("<IQQ")
FRAME_BYTES = _FRAME.size
FRAMES_OFFSET = 64  # the header is 36 bytes; the rest is left to later versions
_WINDOW_BYTES = 1 << 20

ReadAt = Callable[[int, int], bytes]
"""``read_at(length, offset)``; returns fewer bytes than requested only at the end of the file."""


class FileEnd(Enum):
    """How a segment's file ends."""

    CLOSED = "closed"
    """Right after the mark: an orderly close, and no record followed."""
    RESERVED = "reserved"
    """In reserved zeros: the process was killed, and no whole record followed."""
    CUT = "cut"
    """In neither: the file is shorter than it was, and records that were synced may be missing."""


class HeaderError(ValueError):
    """The first bytes of a segment are not a header of this version."""


class SegmentHeader(NamedTuple):
    """Description of a segment, at its beginning."""

    segment: int
    """Its number, from 1."""
    first_sequence: int
    """Sequence of its first frame. Frames of older segments from this sequence on are void."""
    durable_sequence: int
    """Every record up to this one was on the disk before the segment had its name."""

    def encode(self) -> bytes:
        """Return the header as it stands in the file, ``FRAMES_OFFSET`` bytes."""
        body = _HEADER.pack(MAGIC, VERSION, *self)
        return (body + _HEADER_CRC.pack(zlib.crc32(body))).ljust(FRAMES_OFFSET, b"\0")

    @property
    def seed(self) -> int:
        """The start value of each frame's CRC in the segment."""
        return zlib.crc32(_HEADER.pack(MAGIC, VERSION, *self))

    @classmethod
    def decode(cls, data: bytes) -> SegmentHeader:
        """Read a header.

        Raises
        ------
        HeaderError
            For a short, foreign, damaged or newer one; the message says which.
        """
        if len(data) < FRAMES_OFFSET:
            raise HeaderError(f"the header has {len(data)} bytes of {FRAMES_OFFSET}")
        magic, version, *fields = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise HeaderError(f"it does not begin with {MAGIC!r}")
        if version != VERSION:
            raise HeaderError(f"it is of version {version}; this program reads version {VERSION}")
        if _HEADER_CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(data[: _HEADER.size]):
            raise HeaderError("the CRC of the header differs")
        return cls(*fields)


class Frame(NamedTuple):
    """A whole frame and its offset."""

    offset: int
    sequence: int
    durable_sequence: int
    payload: bytes

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.offset + FRAME_BYTES + len(self.payload)


def encode_frame(sequence: int, durable_sequence: int, payload: bytes, seed: int) -> bytes:
    """Frame ``payload``; an empty one makes a mark. ``seed`` is :attr:`SegmentHeader.seed`."""
    length = len(payload)
    crc = zlib.crc32(payload, zlib.crc32(_COVERED.pack(length, sequence, durable_sequence), seed))
    return _FRAME.pack(length, crc, sequence, durable_sequence) + payload


def decode_frame(read_at: ReadAt, offset: int, seed: int) -> Frame | None:
    """Return the frame or mark at ``offset``, or None when there is no whole one."""
    head = read_at(FRAME_BYTES, offset)
    if len(head) < FRAME_BYTES:
        return None
    length, crc, sequence, durable = _FRAME.unpack(head)
    if length > MAX_PAYLOAD_BYTES or durable > sequence:
        return None
    payload = read_at(length, offset + FRAME_BYTES) if length else b""
    if len(payload) < length or zlib.crc32(payload, zlib.crc32(_COVERED.pack(length, sequence, durable), seed)) != crc:
        return None
    return Frame(offset, sequence, durable, payload)


def buffered(read_at: ReadAt) -> ReadAt:
    """Wrap ``read_at`` in a window that moves forward, so that small reads in order cost few calls."""
    window = b""
    start = 0

    def read(length: int, offset: int) -> bytes:
        nonlocal window, start
        if offset < start or offset + length > start + len(window):
            window = read_at(max(length, _WINDOW_BYTES), offset)
            start = offset
        return window[offset - start : offset - start + length]

    return read


class FrameScan:
    """Iterates over the frames of a segment from its front to the first offset without a next frame.

    ``end``, ``next_sequence`` and ``durable_sequence`` are its position. From ``tail`` on (after a mark, if there is
    one), a segment in order holds only zeros.
    """

    def __init__(self, read_at: ReadAt, header: SegmentHeader) -> None:
        self._read_at = buffered(read_at)
        self._seed = header.seed
        self.end = FRAMES_OFFSET
        self.tail = FRAMES_OFFSET
        self.next_sequence = header.first_sequence
        self.durable_sequence = header.durable_sequence

    def __iter__(self) -> Iterator[Frame]:
        while (frame := decode_frame(self._read_at, self.end, self._seed)) is not None:
            if not frame.payload:
                if frame.sequence == self.next_sequence - 1:
                    self.tail = frame.end
                    self.durable_sequence = max(self.durable_sequence, frame.durable_sequence)
                return
            if frame.sequence != self.next_sequence:
                return
            self.end = self.tail = frame.end
            self.next_sequence += 1
            self.durable_sequence = max(self.durable_sequence, frame.durable_sequence)
            yield frame


def frames_after(read_at: ReadAt, offset: int, stop: int, sequence: int, seed: int) -> Iterator[Frame]:
    """Yield whole frames and marks of sequence ``sequence`` or above that begin from ``offset`` to before ``stop``.

    Used only where the frame at ``offset`` is broken, so that its length does not give the next frame's offset.
    """
    # The upper five bytes of a sequence change every 16 million records: a search for them finds candidates fast.
    uppers = {(sequence + step).to_bytes(8, "little")[3:] for step in (0, 1 << 24)}
    read = buffered(read_at)
    position = offset
    while position < stop and len(window := read_at(_WINDOW_BYTES, position)) >= FRAME_BYTES:
        limit = min(len(window) - FRAME_BYTES + 1, stop - position)
        # In a frame, the upper bytes stand at 11.
        found = {at - 11 for upper in uppers for at in _occurrences(window, upper) if 0 <= at - 11 < limit}
        for candidate in sorted(found):
            if _FRAME.unpack_from(window, candidate)[2] < sequence:
                continue
            frame = decode_frame(read, position + candidate, seed)
            if frame is not None:
                yield frame
        position += limit


def _occurrences(data: bytes, needle: bytes) -> Iterator[int]:
    at = data.find(needle)
    while at >= 0:
        yield at
        at = data.find(needle, at + 1)


def last_nonzero(read_at: ReadAt, offset: int) -> tuple[int, int]:
    """Return the offset after the last nonzero byte from ``offset`` on, and the file's end.

    The former is ``offset`` when there is no such byte.
    """
    last = position = offset
    while window := read_at(_WINDOW_BYTES, position):
        kept = len(window.rstrip(b"\0"))
        if kept:
            last = position + kept
        position += len(window)
    return last, position


def file_end(scan: FrameScan, last: int, size: int) -> FileEnd:
    """Tell how a scanned segment ends; ``last`` and ``size`` are :func:`last_nonzero` of ``scan.tail``.

    Fewer zeros than a frame's head prove nothing: a frame's length may begin with zeros. A mark in front of the end
    proves that no record followed, since the next one would have overwritten it.
    """
    if last == size == scan.tail and scan.tail > scan.end:
        return FileEnd.CLOSED
    if size - last >= FRAME_BYTES or (last == scan.tail and scan.tail > scan.end):
        return FileEnd.RESERVED
    return FileEnd.CUT
