"""Market time cut into steps: the unit of sending, acknowledging and resuming."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from titan.domain.market import MarketEvent
from titan.recordings.source import MarketSource, SourceError


class Step(msgspec.Struct, frozen=True):
    """One slice of market time: the events after the slice before it, up to and with ``end_ns``.

    Steps count from 1. The last one of a source has no events and has ``last`` set.
    """

    number: int
    end_ns: int
    events: tuple[MarketEvent, ...]
    last: bool = False


def cut_steps(source: MarketSource, step_ns: int, duration_ns: int = 0, before: int = 0) -> Iterator[Step]:
    """Cut a source into steps of ``step_ns`` nanoseconds of market time; a slice without events is a step too.

    Parameters
    ----------
    source
        Where events come from.
    step_ns
        Length of a step.
    duration_ns
        Market time after which the source counts as ended; 0: when it ends by itself.
    before
        Number of the step before the first.

    Raises
    ------
    SourceError
        When the source cannot be read further; the steps before hold all that could be read.
    """
    number, end_ns = before + 1, source.start_ns + step_ns
    stop_ns = source.start_ns + duration_ns if duration_ns else 0
    events: list[MarketEvent] = []
    try:
        for event in source.events():
            time_ns = event.market_time_ns
            if stop_ns and time_ns > stop_ns:
                break
            while time_ns > end_ns:
                yield Step(number, end_ns, tuple(events))
                number, end_ns = number + 1, end_ns + step_ns
                events.clear()
            events.append(event)
    except SourceError:
        # Events that were read before the break are played.
        yield Step(number, end_ns, tuple(events))
        raise
    yield Step(number, end_ns, tuple(events))
    yield Step(number + 1, end_ns, (), last=True)
