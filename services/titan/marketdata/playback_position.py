"""Position of a played market: a restarted process continues there and never plays a step twice.

The record has a fixed size and is written by one call at the end of each step, without a sync: it has to survive the
process, not the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_SIZE = 1024


class PlaybackPosition(msgspec.Struct, frozen=True):
    """The last finished step.

    ``identity`` is the source's; ``sequence`` that of the last event; ``prices`` in quote units by base currency, for a
    source that goes on from them. ``run`` names the numbering of steps and sequences.
    """

    identity: str
    step: int
    market_time_ns: int
    sequence: int
    ended: bool = False
    prices: dict[str, str] = {}
    run: str = ""


class PlaybackError(Exception):
    """The record cannot be read or written; the message names the file and the problem."""


class PlaybackFile:
    """The record on disk, open as long as the process runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PlaybackError(f"{path}: cannot be opened for writing: {error.strerror}") from error

    def read(self) -> PlaybackPosition | None:
        """The last record, or None where nothing was played yet.

        Raises
        ------
        PositionError
            When the file holds something else.
        """
        raw = os.pread(self._descriptor, _SIZE, 0)
        if not raw:
            return None
        try:
            return msgspec.json.decode(raw, type=PlaybackPosition)
        except msgspec.DecodeError as error:
            raise PlaybackError(f"{self._path}: holds no market position: {error}") from error

    def write(self, position: PlaybackPosition) -> None:
        """Replace the record.

        Raises
        ------
        PositionError
            When the disk does not take it.
        """
        try:
            written = os.pwrite(self._descriptor, msgspec.json.encode(position).ljust(_SIZE), 0)
        except OSError as error:
            raise PlaybackError(f"{self._path}: cannot be written: {error.strerror}") from error
        if written != _SIZE:
            raise PlaybackError(f"{self._path}: only {written} of {_SIZE} bytes were written; is the disk full?")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
