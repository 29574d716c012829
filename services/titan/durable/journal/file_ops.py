"""The file calls that the journal makes, as one object: a test can replace it and lose every unsynced write."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class FileOps(Protocol):
    """The operating system's calls that the journal uses. Each raises ``OSError`` as its namesake in ``os`` does."""

    @property
    def pwrite(self) -> Callable[[int, bytes, int], int]:
        """Write at an offset; may write fewer bytes than given."""

    @property
    def fdatasync(self) -> Callable[[int], None]:
        """Make a file's bytes, and the length needed to read them, durable."""

    def start_writing(self, descriptor: int, offset: int, length: int) -> None:
        """Let the disk begin to write a part of a file. Nothing is durable by it: a sync has less to wait for."""

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """Open a file and return its descriptor."""

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        """Read at an offset; return fewer bytes than requested only at the end of the file."""

    def size(self, descriptor: int) -> int:
        """Return the length of the file in bytes."""

    def ftruncate(self, descriptor: int, length: int) -> None:
        """Cut the file to a length."""

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; fails when the name is taken."""

    def unlink(self, path: Path) -> None:
        """Remove a name."""

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder."""

    def make_folder(self, folder: Path) -> None:
        """Create a folder for its owner alone (0700), durably; leave an existing one as it is."""

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""


_SYNC_FILE_RANGE_WRITE = 2
# Linux's own; elsewhere the sync does all.
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class OsFiles:
    """The operating system's own calls."""

    pwrite = staticmethod(os.pwrite)
    fdatasync = staticmethod(os.fdatasync)

    def start_writing(self, descriptor: int, offset: int, length: int) -> None:
        """See :class:`FileOps`. A refusal is no error: the sync that follows reports those of the disk."""
        if _sync_file_range is not None:
            _sync_file_range(descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """See :class:`FileOps`."""
        return os.open(path, flags, mode)

    def close(self, descriptor: int) -> None:
        """See :class:`FileOps`."""
        os.close(descriptor)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        """See :class:`FileOps`."""
        return os.pread(descriptor, length, offset)

    def size(self, descriptor: int) -> int:
        """See :class:`FileOps`."""
        return os.fstat(descriptor).st_size

    def ftruncate(self, descriptor: int, length: int) -> None:
        """See :class:`FileOps`."""
        os.ftruncate(descriptor, length)

    def link(self, source: Path, target: Path) -> None:
        """See :class:`FileOps`."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """See :class:`FileOps`."""
        path.unlink()

    def names(self, folder: Path) -> list[str]:
        """See :class:`FileOps`."""
        return [entry.name for entry in folder.iterdir()]

    def make_folder(self, folder: Path) -> None:
        """See :class:`FileOps`."""
        if folder.is_dir():
            return
        if folder.exists():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder", str(folder))
        folder.mkdir(mode=0o700, exist_ok=True)
        self.sync_folder(folder.parent)

    def sync_folder(self, folder: Path) -> None:
        """See :class:`FileOps`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


OS_FILES: FileOps = OsFiles()
