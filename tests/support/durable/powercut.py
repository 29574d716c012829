"""Power cuts for whole processes: a preloaded library keeps synced bytes as a disk would, and drops the others.

Needs a C compiler, on the machine that runs the tests only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class PowerCutImage:
    """The disk's content: all files that processes started with ``environment`` have synced.

    Raises
    ------
    LookupError
        When there is no C compiler.
    """

    def __init__(self, work: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise LookupError("no C compiler (gcc, cc): it builds the library that drops un-synced bytes")
        self._image = work / "image"
        self._image.mkdir(parents=True)
        library = work / "powercut.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True
        )
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "POWERCUT_IMAGE": str(self._image)}

    def restore(self, folder: Path, target: Path) -> None:
        """Write into ``target`` the content of ``folder`` after the power came back.

        Call it when the processes are dead. A name exists from the last sync of its folder on, content from the last
        sync of its file. A file that was never synced is empty, or has the content of a removed file whose inode the
        file system used again.
        """
        target.mkdir(parents=True)
        names = self._image / f"names.{folder.stat().st_ino}"
        for line in names.read_text().splitlines() if names.exists() else ():
            inode, _, name = line.partition(" ")
            if (folder / name).is_dir():
                self.restore(folder / name, target / name)
                continue
            content = self._image / inode
            (target / name).write_bytes(content.read_bytes() if content.exists() else b"")
