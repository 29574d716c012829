"""A registry on this machine for as long as it is needed."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from releasing.commands import ReleaseError, tool

_SERVING = re.compile(r"serving on port (\d+)")
_READY_WITHIN_S = 20


@contextmanager
def local_registry() -> Iterator[str]:
    """Serve on a free port of 127.0.0.1; gives ``127.0.0.1:PORT``, plain HTTP. What it holds goes with it."""
    crane = tool("crane")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(crane), "registry", "serve", "--address", "127.0.0.1:0", "--disk", folder],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            yield f"127.0.0.1:{_port(process, log)}"
        finally:
            process.terminate()
            process.wait(10)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        if found := _SERVING.search(log.read_text(errors="replace")):
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise ReleaseError(f"crane registry serve: not serving: {log.read_text(errors='replace')[-500:]}")
