"""Marketdata at most speed: steps are published ahead of their acknowledgements, several in one message."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.market.subscribers import ALL, ended, market, sequences, settings, subscribed, two_recordings
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.brain.settings import BrainSettings
from titan.marketdata.app import MarketDataApp
from titan.runtime.market_feed import MarketFeed
from titan.runtime.process import running
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import market_pb2 as pb


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    return two_recordings(tmp_path)


async def test_steps_are_published_ahead_and_all_that_is_not_over_is_sent_again(
    stack: Stack, files: tuple[str, ...]
) -> None:
    own = settings(stack, files, required_subscribers=("brain", "scavenger"), steps_ahead=4)
    whole: list[Any] = []
    async with running(MarketDataApp(own)), subscribed(stack, "scavenger") as other:
        async with subscribed(stack, "brain") as brain:
            assert (await brain.next()).steps_ahead == 4
            await brain.next()
            for _ in range(2):
                await other.next()
            first, second = await brain.next(), await brain.next()
            assert [[one.step for one in each.batches] for each in (first, second)] == [[1, 2], [3, 4]]
            assert await brain.silent(), "no more than four steps ahead"
            whole += [*first.batches, *second.batches]
            brain.ack(second.batches[-1])
            assert (await market(stack)).waiting_for == ["scavenger"]
            assert (await market(stack)).step == 0, "a step is over when all have acknowledged it"
        # Brain starts again: it had acknowledged four steps, and none of them is over.
        async with subscribed(stack, "brain") as brain:
            await brain.next()
            state, *again = [await brain.next() for _ in range(3)]
            assert (state.snapshot, state.step) == (True, 0)
            assert [one for each in again for one in each.batches] == whole
            for client, number in ((other, 2), (brain, 2)):
                client.ack(next(one for one in whole if one.step == number))
            assert [(await brain.next()).step] == [5]
            assert (await market(stack)).step == 2
    async with running(MarketDataApp(own)), subscribed(stack, "scavenger"), subscribed(stack, "brain") as brain:
        await brain.next()
        assert (await brain.next()).step == 2, "the stored position is what all have acknowledged"
        assert [one.step for one in (await brain.next()).batches] == [3, 4]


async def test_a_step_is_over_when_the_subscriber_that_ends_steps_has_acknowledged_it(
    stack: Stack, files: tuple[str, ...]
) -> None:
    own = settings(stack, files, required_subscribers=("brain", "execution"), steps_ahead=4)
    async with running(MarketDataApp(own)), subscribed(stack, "execution", ends_steps=True) as venue:
        async with subscribed(stack, "brain") as brain:
            for client in (brain, venue):
                for _ in range(3):
                    await client.next()
            venue.ack(pb.MarketBatch(step=3))
            async with asyncio.timeout(60):
                while (await market(stack)).step < 3:
                    pass
        # Brain has acknowledged nothing, and is sent what is not over.
        async with subscribed(stack, "brain") as brain:
            await brain.next()
            state, rest = await brain.next(), await brain.next()
            assert (state.snapshot, state.step, rest.step) == (True, 3, 4)
            assert (await market(stack)).waiting_for == ["execution", "brain"]
    async with running(MarketDataApp(own)), subscribed(stack, "execution"), subscribed(stack, "brain") as brain:
        await brain.next()
        assert (await brain.next()).step == 3, "the stored position is the last step that is over"


async def test_a_feed_works_on_each_step_once_and_acknowledges_a_message_once(
    stack: Stack, files: tuple[str, ...]
) -> None:
    own = settings(stack, files, required_subscribers=("brain",), steps_ahead=4)
    subscriber = stack.settings(BrainSettings, "brain", phases=("scavenger",))
    seen: list[tuple[int, bool, list[int]]] = []

    async def receive(batch: pb.MarketBatch) -> None:
        seen.append((batch.step, batch.snapshot, sequences(batch)))
        if batch.step == 3 and len(seen) < 6:
            # The stream breaks while the second message is worked on, and everything that is not over comes again.
            assert feed._link._stream is not None
            feed._link._stream.close()
            await asyncio.sleep(0)

    feed = MarketFeed(subscriber, ALL, lambda _hello: None, receive, Metrics(), get_logger("brain"))
    try:
        async with running(MarketDataApp(own)):
            feed.start()
            await until(lambda: feed.ended, "the end of the market")
            assert (await ended(stack)).events == 12
    finally:
        await feed.stop()
    steps = [(step, numbers) for step, snapshot, numbers in seen if not snapshot]
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5]
    assert [number for _, numbers in steps for number in numbers] == list(range(1, 13))
