"""A process: settings, logging, HTTP, signals and exit codes around one composition root."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from titan.runtime.http import HttpServer, Page
from titan.runtime.pki.identity import IdentityUnreadableError
from titan.runtime.settings import ProcessSettings, SettingsError, load_settings
from titan.runtime.telemetry.logs import Log, capture_native_log, configure_logging, get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.topology import processors_of

Settings = TypeVar("Settings", bound=ProcessSettings)

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT = 0, 1, 2


class StartError(Exception):
    """The process cannot start; the message is one sentence for a person.

    Exit code 2: it will not heal by itself. Where a full disk is the cause, exit code 1: it is started again.
    """


class ServiceApp(ABC, Generic[Settings]):
    """Base of every composition root: constructs all parts, starts and stops them, and reports their state."""

    SETTINGS: ClassVar[type[ProcessSettings]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log: Log = get_logger(settings.role)
        self.metrics = Metrics()
        self._failure = ""
        self._failed = asyncio.Event()
        self.metrics.gauge("titan_process_start_seconds", "When the process started, UTC.").set_to_current_time()
        self._rpc_refused = self.metrics.counter(
            "titan_rpc_refused", "Calls and connections refused, by cause.", ["cause"]
        )

    @abstractmethod
    async def start(self) -> None:
        """Start all parts. Raises :class:`StartError` with one sentence when that cannot be."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop all parts, gracefully, in the reverse order."""

    @abstractmethod
    def not_ready(self) -> list[str]:
        """Return the reasons for which the process is not ready, a sentence each; empty when it is."""

    @abstractmethod
    def status(self) -> dict[str, object]:
        """Return the content of ``/status``."""

    def fail(self, reason: str) -> None:
        """End the process with exit code 1: a part that it needs broke."""
        if self._failed.is_set():
            # The first reason is the cause: the last error of the log is the one that people are shown.
            self.log.warning("another part fails", reason=reason)
            return
        self.log.error("process fails", reason=reason)
        self._failure = reason
        self._failed.set()

    async def failed(self) -> str:
        """Wait for :meth:`fail`; return its first reason."""
        await self._failed.wait()
        return self._failure

    def count_handshake(self, cause: str) -> None:
        """Count a TLS handshake that failed: no certificate, or one of a foreign CA."""
        self._rpc_refused.labels(f"tls_{cause.lower()}").inc()

    def pages(self) -> dict[str, Any]:
        """Pages of the HTTP side, by path."""
        return {
            "/health": self._health,
            "/live": lambda: (HTTPStatus.OK, "text/plain", b"alive\n"),
            "/metrics": lambda: (HTTPStatus.OK, "text/plain; version=0.0.4", self.metrics.exposition()),
            "/status": lambda: (HTTPStatus.OK, "application/json", _json(self.status())),
        }

    def _health(self) -> Page:
        reasons = self.not_ready()
        body: dict[str, object] = {
            "status": "ok" if not reasons else "not ready",
            "role": self.settings.role,
            "reasons": reasons,
            "timestamp": datetime.now(UTC).isoformat(),
        }
        return (HTTPStatus.OK if not reasons else HTTPStatus.SERVICE_UNAVAILABLE), "application/json", _json(body)


def _json(body: dict[str, object]) -> bytes:
    return json.dumps(body, indent=1, default=str).encode() + b"\n"


@asynccontextmanager
async def running(app: ServiceApp[Any]) -> AsyncIterator[HttpServer]:
    """Run a composition root with its HTTP side; stop it at the end. Tests and :func:`run` use it.

    Raises
    ------
    StartError
        When it cannot start; the parts that had started are stopped again.
    """
    server = HttpServer(app.pages(), app.log)
    try:
        await server.start(app.settings.bind, app.settings.http_port)
    except OSError as error:
        address = f"{app.settings.bind}:{app.settings.http_port}"
        raise StartError(f"http_port: {address} cannot be served on: {error.strerror or error}") from error
    try:
        try:
            await app.start()
        except OSError as error:
            raise StartError(str(error)) from error
        yield server
    finally:
        try:
            await app.stop()
        finally:
            await server.stop()


async def _serve(app_type: type[ServiceApp[Any]], settings: ProcessSettings) -> int:
    loop = asyncio.get_running_loop()
    handshakes: list[str] = []
    app: ServiceApp[Any] | None = None

    def on_handshake(cause: str) -> None:
        if app is not None:
            app.count_handshake(cause)
        else:
            handshakes.append(cause)

    original = capture_native_log(loop, lambda: get_logger(settings.role), on_handshake)
    configure_logging(settings.log_format, settings.log_level, original)

    def on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A link or the feed that broke by a defect of ours receives nothing more: the process must not go on.
        if context.get("ends_process") and app is not None:
            app.fail(context["message"])
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(on_exception)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = get_logger(settings.role)
    try:
        app = app_type(settings)
        async with running(app) as server:
            log.info("started", pid=os.getpid(), grpc_port=settings.grpc_port, http_port=server.port)
            # Objects of the start stay for ever: the collector need not scan them again.
            gc.collect()
            gc.freeze()
            stopping, failing = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(app.failed())
            await asyncio.wait((stopping, failing), return_when=asyncio.FIRST_COMPLETED)
            failed = failing.done()
            for waiting in (stopping, failing):
                waiting.cancel()
            log.info("stopping")
    except (StartError, IdentityUnreadableError) as error:
        # One sentence for a person; a trace would hide it.
        log.error("cannot start", reason=str(error))  # noqa: TRY400
        return EXIT_FAILED if _disk_was_full(error) else EXIT_BAD_INPUT
    log.info("stopped")
    return EXIT_FAILED if failed else EXIT_DONE


def _disk_was_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk: room may come, so the process is started again."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _place(role: str) -> None:
    """Run on the role's processors; before the first thread, which inherits them."""
    available = os.sched_getaffinity(0)
    wanted = processors_of(role, available)
    if wanted == available:
        return
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        get_logger(role).warning("runs on all processors", reason=error.strerror)


def run(app_type: type[ServiceApp[Any]]) -> NoReturn:
    """Run a process: its ``main``. Exit codes: 0 stopped, 1 failed, 2 bad settings or cannot start."""
    # The handshake's failure is logged by gRPC at this level and nowhere else.
    os.environ.setdefault("GRPC_VERBOSITY", "INFO")
    configure_logging("console", "info")
    try:
        settings = load_settings(app_type.SETTINGS, sys.argv[1:], os.environ)
    except SettingsError as error:
        get_logger("settings").error("bad settings", reason=str(error))
        sys.exit(EXIT_BAD_INPUT)
    import uvloop

    _place(settings.role)
    sys.exit(uvloop.run(_serve(app_type, settings)))
