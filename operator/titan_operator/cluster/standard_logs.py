"""Bridge from Python's own logging, which kopf, aiohttp and asyncio use, to our log."""

from __future__ import annotations

import logging

from titan.runtime.telemetry.logs import Log

# kopf logs this on each start: it runs outside the main thread on purpose.
_EXPECTED = "OS signals are ignored"


class _Bridge(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError) as error:
            message = f"{record.msg} (cannot be formatted: {error})"
        if not message.startswith(_EXPECTED):
            self._log.log(record.levelno, message, logger=record.name, exc_info=record.exc_info or None)


def bridge_standard_logging(log: Log) -> logging.Handler:
    """Send warnings and errors of all standard loggers to ``log``; return the handler, so that it can be removed."""
    handler = _Bridge(log)
    root = logging.getLogger()
    root.addHandler(handler)
    # kopf logs each handled event as INFO; without a level of its own its logger would have the root's by chance.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return handler
