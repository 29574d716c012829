"""Markers between Execution and the venue: where Execution need not wait, and what the venue is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from titan.domain.venue import VenueMarker
from titan.execution.venue_steps import VenueSteps
from titan.runtime.watermark import Watermark
from titan.v1 import market_pb2


class Venue:
    """Records the markers that it is sent."""

    def __init__(self) -> None:
        self.requests_written = 0
        self.markers: list[int] = []

    def send_marker(self, marker: VenueMarker) -> bool:
        self.markers.append(marker.step)
        return True


class Updates:
    """The venue's reports: its last marker, and the step after which it was quiet."""

    def __init__(self) -> None:
        self.markers = Watermark()
        self.quiet_step = -1

    def report(self, step: int, quiet: bool) -> None:
        self.quiet_step = step if quiet else -1
        self.markers.advance(step)


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def updates() -> Updates:
    return Updates()


@pytest.fixture
def steps(venue: Venue, updates: Updates) -> VenueSteps:
    return VenueSteps(cast(Any, venue), cast(Any, updates))


def batch(step: int) -> market_pb2.MarketBatch:
    return market_pb2.MarketBatch(step=step, market_time_ns=step * 50)


async def waits(steps: VenueSteps, step: int) -> bool:
    """Whether Execution waits for the venue in this step."""
    waiting = asyncio.ensure_future(steps.reached(batch(step)))
    await asyncio.sleep(0)
    if waiting.done():
        return False
    waiting.cancel()
    return True


async def quiet_after_step_1(steps: VenueSteps, updates: Updates) -> None:
    """Bring both to the end of step 2, with a venue that has nothing."""
    updates.report(1, quiet=True)
    for step in (1, 2):
        updates.report(step, quiet=True)
        assert not await waits(steps, step)
        steps.finish(batch(step), more=True)


async def test_a_venue_that_is_not_quiet_is_waited_for_and_told_of_each_step(
    steps: VenueSteps, venue: Venue, updates: Updates
) -> None:
    for step in (1, 2, 3):
        assert await waits(steps, step)
        updates.report(step, quiet=False)
        assert not await waits(steps, step)
        steps.finish(batch(step), more=True)
    assert venue.markers == [0, 1, 2, 3]


async def test_a_quiet_venue_is_not_waited_for_and_told_every_few_steps(
    steps: VenueSteps, venue: Venue, updates: Updates
) -> None:
    await quiet_after_step_1(steps, updates)
    for step in range(3, 10):
        assert not await waits(steps, step)
        steps.finish(batch(step), more=True)
    assert venue.markers == [0, 1, 4, 8]
    steps.finish(batch(10), more=False)
    assert venue.markers[-1] == 10, "the next step has not arrived, and may depend on the venue"


async def test_a_request_ends_the_quiet_until_the_venue_has_worked_on_a_later_step(
    steps: VenueSteps, venue: Venue, updates: Updates
) -> None:
    await quiet_after_step_1(steps, updates)
    assert not await waits(steps, 5)
    venue.requests_written += 1
    steps.finish(batch(5), more=True)
    assert venue.markers[-1] == 5, "its marker follows the request"
    for step in (4, 5):
        updates.report(step, quiet=True)
        assert await waits(steps, 6), f"the marker of step {step} does not contain the request of step 5"
    updates.report(6, quiet=False)
    assert not await waits(steps, 6)
    steps.finish(batch(6), more=True)
    assert await waits(steps, 7), "the order is working"
    updates.report(7, quiet=True)
    steps.finish(batch(7), more=True)
    assert not await waits(steps, 8)


async def test_a_lost_venue_is_waited_for_and_told_what_is_over(
    steps: VenueSteps, venue: Venue, updates: Updates
) -> None:
    await quiet_after_step_1(steps, updates)
    steps.finish(batch(3), more=True)
    updates.quiet_step = -1
    steps.resend()
    assert await waits(steps, 4)
    assert venue.markers[-2:] == [1, 3]


async def test_the_quiet_that_an_earlier_process_was_told_of_does_not_count(
    steps: VenueSteps, venue: Venue, updates: Updates
) -> None:
    updates.report(6, quiet=True)
    assert await waits(steps, 7), "a request of the earlier process may be on its way"
    assert venue.markers == [6], "the venue may wait for the end of the step before"
