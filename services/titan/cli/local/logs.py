"""``logs``: the log files of a stack's processes, as lines for people."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from titan.cli.errors import BadInput
from titan.cli.local.state import State
from titan.cli.output import print_text

_POLL_S = 0.2
_CHUNK_BYTES = 65_536


def known_processes(state: State) -> list[str]:
    """Names of the stack's processes; of every role that has one, where no stack was started yet."""
    try:
        return [one["role"] for one in state.read_plan()["processes"]]
    except BadInput:
        from titan.runtime.topology import ROLES

        return [role.name for role in ROLES.values() if role.http_port]


def logs(state: State, process: str, lines: int, follow: bool) -> None:
    """Print the last lines of a process's log; with ``follow``, continue with new lines."""
    known = [one["role"] for one in state.read_plan()["processes"]]
    if process not in known:
        raise BadInput(f"PROCESS: {process!r} is not part of the stack; allowed are {', '.join(known)}")
    path = state.log(process)
    if not path.exists():
        raise BadInput(f"{path}: no log yet; {process} was never started")
    position = path.stat().st_size
    for line in tail(path, lines, position):
        print_text(readable(line))
    if not follow:
        return
    for line in _new_lines(path, position):
        print_text(readable(line))


def tail(path: Path, lines: int, end: int) -> list[str]:
    """Read the last ``lines`` lines before offset ``end``, from the back."""
    data = b""
    with path.open("rb") as file:
        start = end
        while start > 0 and data.count(b"\n") <= lines:
            step = min(_CHUNK_BYTES, start)
            start -= step
            file.seek(start)
            data = file.read(step) + data
    return data.decode("utf-8", "replace").splitlines()[-lines:] if lines else []


def _new_lines(path: Path, position: int) -> Iterator[str]:
    rest = ""
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            # The file was rotated.
            position, rest = 0, ""
        if size > position:
            with path.open("rb") as file:
                file.seek(position)
                data = file.read(_CHUNK_BYTES)
            position += len(data)
            *complete, rest = (rest + data.decode("utf-8", "replace")).split("\n")
            yield from complete
        else:
            time.sleep(_POLL_S)


def readable(line: str) -> str:
    """Format a JSON line as ``time level event name=value …``; any other line stays as it is."""
    try:
        document = json.loads(line)
    except ValueError:
        return line
    if not isinstance(document, dict) or "event" not in document:
        return line
    head = [str(document.pop(name, "")) for name in ("timestamp", "level", "event")]
    document.pop("role", None)
    trace = document.pop("exception", None)
    text = " ".join([head[0], f"{head[1]:<7}", head[2], *(f"{name}={value}" for name, value in document.items())])
    return text + (f"{os.linesep}{trace}" if trace else "")
