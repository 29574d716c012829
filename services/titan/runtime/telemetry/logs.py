"""Logging: structlog, to standard error, for a person's console or as JSON lines.

gRPC's C core writes to file descriptor 2 by itself and is the only one that sees a failed TLS handshake. So its
descriptor is replaced by a pipe, and its output becomes a log line (and, for a handshake, a count) like any other.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO, cast

# structlog imports rich, where it is installed, for colored tracebacks, which we do not print: 100 ms and 4 MB in
# every process. So it is hidden while structlog is imported, and only then.
_rich_is_new = "rich" not in sys.modules
if _rich_is_new:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _rich_is_new:
    del sys.modules["rich"]

if TYPE_CHECKING:
    import asyncio

Log = structlog.typing.FilteringBoundLogger
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_HANDSHAKE = re.compile(r"Handshake failed.*?:([A-Z_]{6,})(?::\s*(.*))?$")
_NATIVE_LINE = re.compile(r"^([IWEF])\d{4} [\d:.]+ +\d+ ([\w./]+:\d+)\] (.*)$")
# Native lines without a meaning for a person who runs Titan.
_NATIVE_NOISE = ("is not suitable for production", "All log messages before absl::InitializeLog", "fork_posix.cc")


class _Unbreakable:
    """A stream for log lines that survives a full disk: lines are lost then, and the next written one counts them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost:
                self._stream.write(f"{self._lost} log writes failed and are lost\n")
                self._lost = 0
            return self._stream.write(text)
        except OSError:
            # There is no place to report it; trading must not end because its log cannot be written.
            self._lost += 1
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lost += 1


def configure_logging(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Set up structlog for the process.

    Parameters
    ----------
    log_format
        ``console`` or ``json``.
    level
        ``debug``, ``info``, ``warning`` or ``error``.
    stream
        Destination of the lines; standard error where None.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unbreakable(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )


def get_logger(role: str) -> Log:
    """Return a logger that names the role on every line."""
    return cast("Log", structlog.get_logger().bind(role=role))


def capture_native_log(
    loop: asyncio.AbstractEventLoop, get_log: Callable[[], Log], on_handshake: Callable[[str], None]
) -> TextIO:
    """Redirect native code's output on descriptor 2 to the log.

    Parameters
    ----------
    loop
        The event loop that reads the pipe.
    get_log
        Returns the logger; called for each line, because only a logger made after :func:`configure_logging` received
        the returned stream writes to it. An older one would write into the pipe itself, for ever.
    on_handshake
        Called with the cause of each failed TLS handshake.

    Returns
    -------
    file
        The original standard error, for our own logging.
    """
    original = os.fdopen(os.dup(2), "w", buffering=1)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    os.set_blocking(reader, False)
    rest = b""

    def read() -> None:
        nonlocal rest
        try:
            chunk = os.read(reader, 65536)
        except BlockingIOError:
            return
        if not chunk:
            loop.remove_reader(reader)
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _native_line(line.decode("utf-8", "replace"), get_log(), on_handshake)

    loop.add_reader(reader, read)
    return original


def _native_line(line: str, log: Log, on_handshake: Callable[[str], None]) -> None:
    if not line.strip() or any(noise in line for noise in _NATIVE_NOISE):
        return
    handshake = _HANDSHAKE.search(line)
    if handshake:
        cause = handshake.group(1)
        on_handshake(cause)
        log.warning("connection refused: TLS handshake failed", cause=cause, detail=handshake.group(2))
        return
    native = _NATIVE_LINE.match(line)
    if native is None:
        log.error("standard error", line=line)
        return
    severity, place, text = native.groups()
    emit: dict[str, Any] = {"I": log.debug, "W": log.warning}
    emit.get(severity, log.error)("grpc", place=place, line=text)
