"""The venue's own file: a state, then the changes since, one frame for each atomic change.

A frame is length, CRC-32 of the length, CRC-32 of the payload (u32, little-endian), and the payload in MessagePack.
Nothing is synced: the file survives the death of the process, which is enough for a venue of a test market. A frame
that the end of the file cuts short was being written when the process died: it was reported to no one, and is cut off.
Any other misfit is damage and stops the start.

When the file has grown long, it is replaced by one that begins with the present state.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from pathlib import Path

import msgspec

from titan.durable.files import write_durably
from titan.matching.state import VenueDelta, VenueState

MAGIC = b"TITANPV1"
FILE_NAME = "venue.log"

_HEAD = struct.Struct("<III")
_LENGTH = struct.Struct("<I")
# The file is rewritten when it is this long, and this many times as long as after the last time.
_COMPACT_BYTES = 64 << 20
_COMPACT_FACTOR = 4
# Final orders and trades that survive a rewrite.
_KEEP_HISTORY = 50_000


class StoreError(Exception):
    """The file cannot be used; the message is one sentence for a person."""


def _frame(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(_LENGTH.pack(len(payload))), zlib.crc32(payload)) + payload


class VenueStore:
    """The file of one venue in its state directory; one process at a time.

    Parameters
    ----------
    folder
        The state directory.
    first
        The state to begin with, where there is no file yet.

    Raises
    ------
    StoreError
        When the folder cannot be written, another process has the file, or the file is damaged.
    """

    def __init__(self, folder: Path, first: VenueState) -> None:
        self.path = folder / FILE_NAME
        self.problem = ""
        self._encoder = msgspec.msgpack.Encoder()
        self._descriptor = self._lock = -1
        try:
            self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self.path.exists():
                self._begin(first)
            self._descriptor = os.open(self.path, os.O_RDWR)
            self.state, self._end = self._read()
            os.ftruncate(self._descriptor, self._end)
        except BlockingIOError as error:
            self.close()
            raise StoreError(f"state_dir: {str(folder)!r} is in use by another paper venue") from error
        except OSError as error:
            self.close()
            raise StoreError(f"state_dir: {str(folder)!r} cannot be written: {error.strerror or error}") from error
        except StoreError:
            self.close()
            raise
        self._compacted_bytes = self._end

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self._end

    def append(self, delta: VenueDelta) -> None:
        """Write one change, whole or not at all.

        Raises
        ------
        OSError
            When it was not written; ``problem`` is the cause until a later one was.
        """
        data = _frame(self._encoder.encode(delta))
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._end + written)
        except OSError as error:
            self.problem = f"state_dir: {str(self.path)!r} cannot be written: {error.strerror or error}"
            # A part that was written goes, or the next start would find its beginning.
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)
        self.problem = ""

    def compact_if_long(self, state: VenueState) -> bool:
        """Replace a long file by one that holds ``state`` without old history; return whether it was replaced.

        Raises
        ------
        OSError
            When that failed; the file is as it was.
        """
        if self._end < max(_COMPACT_BYTES, _COMPACT_FACTOR * self._compacted_bytes):
            return False
        state.forget_history(_KEEP_HISTORY)
        self._begin(state)
        descriptor = os.open(self.path, os.O_RDWR)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._end = self._compacted_bytes = os.fstat(descriptor).st_size
        return True

    def close(self) -> None:
        """Close the file and its lock."""
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1

    def _begin(self, state: VenueState) -> None:
        write_durably(self.path, MAGIC + _frame(self._encoder.encode(state)))

    def _read(self) -> tuple[VenueState, int]:
        data = self.path.read_bytes()
        if not data.startswith(MAGIC):
            raise StoreError(f"{self.path}: does not begin with {MAGIC!r}: it is no file of a paper venue")
        decoder = msgspec.msgpack.Decoder(VenueState | VenueDelta)
        state: VenueState | None = None
        offset = len(MAGIC)
        while (payload := self._payload(data, offset)) is not None:
            try:
                record = decoder.decode(payload)
            except msgspec.DecodeError as error:
                raise StoreError(f"{self.path}: offset {offset} holds no record of this version: {error}") from error
            if isinstance(record, VenueState):
                state = record
            elif state is not None:
                state.apply(record)
            offset += _HEAD.size + len(payload)
        if state is None:
            raise StoreError(f"{self.path}: holds no state")
        return state, offset

    def _payload(self, data: bytes, offset: int) -> bytes | None:
        if len(data) - offset < _HEAD.size:
            return None
        length, length_crc, payload_crc = _HEAD.unpack_from(data, offset)
        if zlib.crc32(_LENGTH.pack(length)) != length_crc:
            raise StoreError(f"{self.path}: damaged at offset {offset}: the CRC of a length differs")
        start = offset + _HEAD.size
        if len(data) - start < length:
            return None
        payload = data[start : start + length]
        if zlib.crc32(payload) != payload_crc:
            raise StoreError(f"{self.path}: damaged at offset {offset}: the CRC of a record differs")
        return payload
