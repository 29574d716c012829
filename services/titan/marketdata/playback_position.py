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


def read_position(path: Path) -> PlaybackPosition | None:
    """Read the last record; None where nothing was played yet, which is a file that is not there.

    Raises
    ------
    PlaybackError
        When the file holds anything but a position: to play from the beginning would be another market for the others.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlaybackError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(raw, type=PlaybackPosition)
    except msgspec.DecodeError as error:
        found = "is damaged" if raw.strip() else "is empty"
        raise PlaybackError(
            f"{path}: {found}, so the position of the market is lost; put a copy of the file back, "
            "or begin with another state directory"
        ) from error


class PlaybackFile:
    """The record on disk, open as long as the process runs; the first write makes it.

    Raises
    ------
    PlaybackError
        When it could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        try:
            if path.exists():
                self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            else:
                # The temporary file of an earlier process that was killed in the first write is replaced.
                os.close(os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise PlaybackError(f"{path}: cannot be opened for writing: {error.strerror}") from error

    @property
    def _temporary(self) -> Path:
        return self._path.with_name(f".{self._path.name}")

    def write(self, position: PlaybackPosition) -> None:
        """Replace the record.

        Raises
        ------
        PlaybackError
            When the disk does not take it.
        """
        first = self._descriptor is None
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            written = os.pwrite(self._descriptor, msgspec.json.encode(position).ljust(_SIZE), 0)
            if written != _SIZE:
                raise PlaybackError(f"{self._path}: only {written} of {_SIZE} bytes were written; is the disk full?")
            if first:
                # An empty file never stands in its place: it would be taken for a position that was lost.
                self._temporary.replace(self._path)
        except OSError as error:
            raise PlaybackError(f"{self._path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
