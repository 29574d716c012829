"""A file system in memory that forgets what was never synced, when its power is cut.

It stands in for the operating system in the journal (:class:`titan.durable.journal.file_ops.FileOps`). Each file has
bytes as programs see them and bytes as the disk has them. After a power cut, a sector that was written since the last
sync has any of its versions since then, independently of all others. The same holds for names in a folder.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

SECTOR = 512

# The version that is left after a power cut, of n from 0 (on the disk) to n - 1 (as last seen by programs).
Choice = Callable[[int], int]


def nothing_unsynced(_versions: int) -> int:
    return 0


def everything_unsynced(versions: int) -> int:
    return versions - 1


class PowerCut(BaseException):
    """Raised in the middle of a file call; no handler of the code under test may stop it."""


class _Inode:
    def __init__(self, data: bytes = b"") -> None:
        self.seen = bytearray(data)
        self.disk = bytearray(data)
        self.dirty: dict[int, list[bytes]] = {}

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if len(self.seen) < end:
            self.seen.extend(bytes(end - len(self.seen)))
        self.seen[offset:end] = data
        for sector in range(offset // SECTOR, (end + SECTOR - 1) // SECTOR):
            self.dirty.setdefault(sector, []).append(bytes(self.seen[sector * SECTOR : (sector + 1) * SECTOR]))

    def after_power_cut(self, choice: Choice) -> bytes:
        image = bytearray(self.disk)
        for sector, versions in sorted(self.dirty.items()):
            version = choice(len(versions) + 1)
            if version:
                start, data = sector * SECTOR, versions[version - 1]
                if len(image) < start + len(data):
                    image.extend(bytes(start + len(data) - len(image)))
                image[start : start + len(data)] = data
        return bytes(image)


class LossyFiles:
    """See :class:`titan.durable.journal.file_ops.FileOps`. One folder level; any path's parent exists.

    ``syncs_work=False`` makes a disk whose sync does nothing, as for a journal that forgets to sync.
    ``capacity_bytes`` bounds the sum of file lengths; a write beyond it is cut short, then refused with ENOSPC.
    ``fail[name] = errno`` makes the call of that name fail until it is removed. A failed sync loses its writes for
    good, as the kernel does: later syncs succeed without them.
    ``cut_after`` counts down with each call that changes something; at 0 the power is cut.
    """

    def __init__(self, *, syncs_work: bool = True) -> None:
        self.syncs_work = syncs_work
        self.capacity_bytes = 1 << 40
        self.fail: dict[str, int] = {}
        self.cut_after: int | None = None
        self.calls: list[str] = []
        self._names: dict[Path, _Inode] = {}
        self._disk_names: dict[Path, _Inode] = {}
        self._open: dict[int, _Inode] = {}
        self._folders: set[Path] = set()
        self._next = 100

    def power_cut(self, choice: Choice) -> LossyFiles:
        """Return the file system after the power came back."""
        after = LossyFiles(syncs_work=self.syncs_work)
        after._folders = set(self._folders)
        for path in sorted({*self._names, *self._disk_names}):
            versions = [self._disk_names.get(path), self._names.get(path)]
            inode = versions[0] if versions[0] is versions[1] else versions[choice(2)]
            if inode is not None:
                after._names[path] = after._disk_names[path] = _Inode(inode.after_power_cut(choice))
        return after

    def kill(self) -> LossyFiles:
        """Return the file system after a kill of the process alone: all writes are seen, none is synced by it."""
        after = LossyFiles(syncs_work=self.syncs_work)
        after._names, after._disk_names, after._folders = self._names, self._disk_names, self._folders
        return after

    def content(self, path: Path) -> bytes:
        return bytes(self._names[path].seen)

    def put(self, path: Path, data: bytes) -> None:
        self._folders.add(path.parent)
        self._names[path] = self._disk_names[path] = _Inode(data)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                raise PowerCut
        if name in self.fail:
            raise OSError(self.fail[name], os.strerror(self.fail[name]))

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        del mode
        if flags & os.O_CREAT:
            self._called("create")
            if flags & os.O_EXCL and path in self._names:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            self._names.setdefault(path, _Inode())
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._next += 1
        self._open[self._next] = self._names[path]
        return self._next

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]

    def pwrite(self, descriptor: int, data: bytes, offset: int, /) -> int:
        self._called("pwrite")
        inode = self._open[descriptor]
        used = sum(len(other.seen) for other in set(self._names.values()) if other is not inode)
        fits = min(len(data), self.capacity_bytes - used - offset)
        if fits <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        inode.write(data[:fits], offset)
        return fits

    def start_writing(self, descriptor: int, offset: int, length: int) -> None:
        """Nothing that counts: written sectors may have any version anyway."""

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return bytes(self._open[descriptor].seen[offset : offset + length])

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor].seen)

    def fdatasync(self, descriptor: int, /) -> None:
        inode = self._open[descriptor]
        try:
            self._called("fdatasync")
        except OSError:
            inode.dirty.clear()
            raise
        if self.syncs_work:
            for sector, versions in inode.dirty.items():
                start = sector * SECTOR
                if len(inode.disk) < start + len(versions[-1]):
                    inode.disk.extend(bytes(start + len(versions[-1]) - len(inode.disk)))
                inode.disk[start : start + len(versions[-1])] = versions[-1]
            inode.dirty.clear()

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._called("ftruncate")
        # Only ever used to give back reserved zeros, so that it may reach the disk at once.
        for data in (self._open[descriptor].seen, self._open[descriptor].disk):
            assert not any(data[length:])
            del data[length:]

    def link(self, source: Path, target: Path) -> None:
        self._called("link")
        if target in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        if source not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
        self._names[target] = self._names[source]

    def unlink(self, path: Path) -> None:
        self._called("unlink")
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        del self._names[path]

    def names(self, folder: Path) -> list[str]:
        return [path.name for path in self._names if path.parent == folder]

    def make_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            self._called("make_folder")
            self._folders.add(folder)

    def sync_folder(self, folder: Path) -> None:
        self._called("sync_folder")
        if self.syncs_work:
            kept = {path: inode for path, inode in self._disk_names.items() if path.parent != folder}
            self._disk_names = kept | {path: inode for path, inode in self._names.items() if path.parent == folder}
