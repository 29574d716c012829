from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from titan.runtime.telemetry.logs import configure_logging, get_logger
from titan_operator.cluster.standard_logs import bridge_standard_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    handler = bridge_standard_logging(get_logger("operator"))
    yield stream
    logging.getLogger().removeHandler(handler)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_error_of_kopf_is_a_line_of_json(stream: io.StringIO) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("kopf._core.reactor").exception("Watcher for %s has failed", "titanphases")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("Watcher for titanphases has failed", "error")
    assert (line["logger"], line["role"]) == ("kopf._core.reactor", "operator")
    assert "ValueError: boom" in line["exception"]


def test_what_is_no_news_is_left_out(stream: io.StringIO) -> None:
    logging.getLogger("kopf.objects").info("Handler 'TitanPhase' succeeded.")
    logging.getLogger("kopf._core.reactor.running").warning("OS signals are ignored: running not in the main thread.")
    assert lines(stream) == []


def test_a_line_that_cannot_be_formatted_is_a_line(stream: io.StringIO) -> None:
    record = logging.LogRecord("asyncio", logging.WARNING, "x.py", 1, "%d tasks", ("many",), None)
    # Directly: pytest's own handler, which listens too, would raise.
    next(handler for handler in logging.getLogger().handlers if type(handler).__name__ == "_Bridge").handle(record)
    (line,) = lines(stream)
    assert line["event"].startswith("%d tasks (cannot be formatted")
