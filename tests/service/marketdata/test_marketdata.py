"""Marketdata by its composition root, over mTLS: lockstep, reconnection, restart, end of market, slow subscribers."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.market.recordings import START_NS, spot_lines, write
from support.market.subscribers import Client, ended, market, sequences, settings, subscribed, two_recordings
from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.brain.settings import BrainSettings
from titan.marketdata import player
from titan.marketdata.app import MarketDataApp
from titan.marketdata.settings import MarketDataSettings
from titan.runtime.market_feed import MarketFeed
from titan.runtime.process import StartError, running
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import MARKETDATA_SUBSCRIBE
from titan.runtime.rpc.errors import RpcError
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import common_pb2
from titan.v1 import market_pb2 as pb


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    return two_recordings(tmp_path)


async def test_a_step_waits_for_every_acknowledgement_and_the_market_for_its_subscribers(
    stack: Stack, files: tuple[str, ...]
) -> None:
    app = MarketDataApp(settings(stack, files, required_subscribers=("brain", "scavenger")))
    async with running(app), subscribed(stack, "brain") as brain:
        hello, empty = await brain.next(), await brain.next()
        assert (hello.source, hello.label, hello.lockstep, hello.step_ns) == ("replay", "REPLAY", True, 20_000_000)
        assert [one.symbol for one in hello.instruments] == ["BTC/USDT", "ETH/USDT"]
        assert (empty.snapshot, empty.step, len(empty.events)) == (True, 0, 0)
        assert await brain.silent()
        assert (await market(stack)).waiting_for == ["scavenger"]
        async with subscribed(stack, "scavenger", [pb.CHANNEL_QUOTES], ["ETH/USDT"]) as scavenger:
            assert [one.symbol for one in (await scavenger.next()).instruments] == ["ETH/USDT"]
            await scavenger.next()
            first, own = await brain.next(), await scavenger.next()
            assert (first.step, first.step_complete, sequences(first)) == (1, True, [1, 2])
            assert (own.step, sequences(own), own.market_time_ns) == (1, [], START_NS + 20_000_000)
            brain.ack(first)
            assert await brain.silent()
            assert (await market(stack)).waiting_for == ["scavenger"]
            scavenger.ack(own)
            assert sequences(await brain.next()) == [3, 4, 5, 6, 7]
            assert sequences(await scavenger.next()) == [6]
        # It left before its acknowledgement: market time stands still.
        assert await brain.silent()
        assert app.status()["waiting_for"] == ["scavenger", "brain"]


async def test_a_reconnected_subscriber_gets_the_state_before_the_unfinished_step_and_then_that_step(
    stack: Stack, files: tuple[str, ...]
) -> None:
    async with running(MarketDataApp(settings(stack, files, required_subscribers=("papervenue",)))):
        async with subscribed(stack, "papervenue") as client:
            await client.next()
            await client.next()
            for _ in range(2):
                batch = await client.next()
                client.ack(batch)
            unfinished = await client.next()
        async with subscribed(stack, "papervenue") as client:
            await client.next()
            state, again = await client.next(), await client.next()
    assert (state.snapshot, state.step_complete, state.step) == (True, False, unfinished.step - 1)
    assert state.market_time_ns == batch.market_time_ns
    books = [event.book for event in state.events if event.HasField("book")]
    assert [[(level.price, level.quantity) for level in book.bids] for book in books] == [
        [("100", "1"), ("99.9", "3")],
        [("100", "1"), ("99.9", "3")],
    ]
    assert sequences(state) == sorted(sequences(state))
    again.queued_ns = unfinished.queued_ns
    assert again == unfinished


async def test_the_end_is_sent_to_everyone_and_stays(stack: Stack, files: tuple[str, ...]) -> None:
    async with running(MarketDataApp(settings(stack, files, required_subscribers=("brain",)))):
        async with subscribed(stack, "brain") as brain:
            await brain.next()
            batches = await brain.play()
            response = await ended(stack)
        assert [batch.step for batch in batches] == [0, 1, 2, 3, 4, 5]
        assert sum(len(batch.events) for batch in batches) == 12
        assert (response.events, response.book_checks, response.book_mismatches) == (12, 4, 0)
        assert list(response.waiting_for) == []
        async with subscribed(stack, "execution") as late:
            assert (await late.next()).label == "REPLAY"
            state, end = await late.next(), await late.next()
            assert (state.snapshot, len(state.events), end.end_of_market, end.step) == (True, 4, True, 5)


async def test_a_restarted_market_goes_on_at_the_next_step(stack: Stack, files: tuple[str, ...]) -> None:
    own = settings(stack, files, required_subscribers=("brain",))
    async with running(MarketDataApp(own)), subscribed(stack, "brain") as brain:
        await brain.next()
        for _ in range(3):
            batch = await brain.next()
            brain.ack(batch)
        unfinished = await brain.next()
    assert unfinished.step == 3
    async with running(MarketDataApp(own)), subscribed(stack, "brain") as brain:
        await brain.next()
        rest = await brain.play()
        assert [(one.step, one.snapshot) for one in rest] == [(2, True), (3, False), (4, False), (5, False)]
        assert (sequences(rest[1]), rest[1].market_time_ns) == (sequences(unfinished), unfinished.market_time_ns)
        assert (await ended(stack)).book_checks == 4
    async with running(MarketDataApp(own)), subscribed(stack, "brain") as brain:
        await brain.next()
        assert [(one.step, one.snapshot) for one in await brain.play()] == [(5, True), (5, False)]


async def test_a_newer_subscription_of_the_same_role_ends_the_older_one(stack: Stack, files: tuple[str, ...]) -> None:
    """A frozen process keeps its stream: its successor must not wait for its acknowledgement."""
    app = MarketDataApp(settings(stack, files, required_subscribers=("execution",)))
    async with running(app), subscribed(stack, "execution") as frozen:
        await frozen.next()
        async with subscribed(stack, "execution") as successor:
            await successor.next()
            assert (await successor.play())[-1].end_of_market
            left = [message async for message in frozen.stream]
            assert len(left) < 3


async def test_a_truncated_recording_is_played_to_the_truncation_and_then_fails(stack: Stack, tmp_path: Path) -> None:
    trade = spot_lines()[4][1]
    # Each under an id of its own: a trade that comes again is no trade.
    trades = [trade | {"data": trade["data"] | {"t": trade["data"]["t"] + number}} for number in range(1, 3_001)]
    lines = spot_lines() + [(70 + index, one) for index, one in enumerate(trades)]
    path = write(tmp_path / "cut.gz", lines)
    path.write_bytes(path.read_bytes()[:-600])
    app = MarketDataApp(settings(stack, [str(path)], required_subscribers=("brain",), step_ms=100))
    async with running(app), subscribed(stack, "brain") as brain:
        await brain.next()
        failing = asyncio.ensure_future(app.failed())
        last = 0
        while not failing.done():
            receiving = asyncio.ensure_future(brain.next())
            await asyncio.wait([receiving, failing], return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                batch = receiving.result()
                assert not batch.end_of_market
                last = max([last, *sequences(batch)])
                brain.ack(batch)
            else:
                receiving.cancel()
        assert "cut.gz: line" in failing.result()
        assert failing.result().endswith("the file is truncated here")
        assert last > 100
        assert last == (await market(stack)).events


@pytest.mark.parametrize(
    ("description", "fields", "message"),
    [
        ("speed", {"speed": "fast"}, "speed: 'fast' is not allowed; allowed are numbers from 1 on, and max"),
        ("speed below 1", {"speed": "0.5"}, "speed: '0.5' is not allowed"),
        ("NaN", {"speed": "nan"}, "speed: 'nan' is not allowed"),
        ("step", {"step_ms": -1}, "step_ms: -1 is not allowed; allowed are 0 to 3600000"),
        ("no file", {"files": ()}, "files: empty; a replay needs at least one recording"),
        ("absent file", {"files": ("none.gz",)}, "none.gz: cannot be read: No such file"),
        ("files and a simulation", {"source": "simulated"}, "and source is 'simulated'"),
        ("unknown symbol", {"symbols": ("X/USDT",)}, "symbols: 'X/USDT' is in no file"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(
    stack: Stack, files: tuple[str, ...], description: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(StartError) as caught:
        MarketDataApp(settings(stack, files, **fields))
    assert message in str(caught.value), description
    assert "\n" not in str(caught.value)


def test_files_that_are_neither_kind_are_refused(stack: Stack, files: tuple[str, ...], tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("hello")
    with pytest.raises(StartError, match="is neither a gzip recording nor a CSV file that begins with timestamp"):
        MarketDataApp(settings(stack, [str(other)]))
    bars = tmp_path / "bars.csv"
    bars.write_text("timestamp,open,high,low,close,volume\n")
    with pytest.raises(StartError, match="allowed are gzip recordings, or one CSV file alone"):
        MarketDataApp(settings(stack, [files[0], str(bars)]))


async def test_a_state_directory_of_another_market_is_refused(stack: Stack, files: tuple[str, ...]) -> None:
    async with running(MarketDataApp(settings(stack, files))), subscribed(stack, "brain") as brain:
        await brain.next()
        await brain.play()
        await ended(stack)
    with pytest.raises(StartError, match=r"holds another market .* allowed is the same market, or another state dir"):
        MarketDataApp(settings(stack, files[:1]))


async def test_a_subscriber_may_only_speak_for_itself_and_must_subscribe_first(
    stack: Stack, files: tuple[str, ...]
) -> None:
    async with running(MarketDataApp(settings(stack, files, required_subscribers=("brain",)))):
        async with subscribed(stack, "scavenger", subscriber="brain") as client:
            with pytest.raises(RpcError, match="a scavenger subscribes as 'scavenger'") as caught:
                await client.next()
            assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
        channel = RpcChannel(stack.client("brain"), "marketdata")
        stream = channel.open(MARKETDATA_SUBSCRIBE)
        stream.post(pb.SubscribeRequest(ack=common_pb2.StepMarker(step=1)))
        with pytest.raises(RpcError, match="the first message must be the subscription"):
            await Client(stream).next()
        await channel.close()


async def test_real_time_waits_for_nobody_and_a_slow_subscriber_gets_the_state_anew(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player, "MAX_BEHIND_STEPS", 5)
    own = stack.settings(MarketDataSettings, "marketdata", step_ms=10, required_subscribers=("brain", "scavenger"))
    app = MarketDataApp(own)
    async with running(app), subscribed(stack, "brain") as slow, subscribed(stack, "scavenger") as quick:
        hello = await slow.next()
        assert (hello.label, hello.lockstep) == ("SIMULATED MARKET", False)
        await quick.next()
        unacknowledged = []
        while not await slow.silent():
            unacknowledged.append(await slow.next())
            quick.ack(await quick.next())
        assert [batch.step for batch in unacknowledged] == [0, 1, 2, 3, 4, 5]
        assert app.status()["subscribers_behind_steps"]["brain"] == 5
        batch = await quick.next()
        while batch.step < 12:
            quick.ack(batch)
            batch = await quick.next()
        assert (await market(stack)).waiting_for == []
        slow.ack(unacknowledged[-1])
        state, following = await slow.next(), await slow.next()
        assert state.snapshot
        assert state.step > 6
        assert following.step == state.step + 1
        resyncs = app.metrics.counter("titan_market_resyncs", "", ["subscriber"]).labels("brain")
        assert resyncs._value.get() == 1


async def test_a_simulation_in_real_time_goes_on_after_a_restart(stack: Stack) -> None:
    own = stack.settings(MarketDataSettings, "marketdata", step_ms=10, required_subscribers=("brain",))
    ends = []
    for _ in range(2):
        async with running(MarketDataApp(own)), subscribed(stack, "brain", [pb.CHANNEL_QUOTES]) as brain:
            await brain.next()
            batches = [await brain.next() for _ in range(20)]
            ends.append(([batch.step for batch in batches], [event for batch in batches for event in batch.events]))
    (first_steps, first), (second_steps, second) = ends
    assert second_steps[0] >= first_steps[-1]
    assert second[0].sequence > first[-1].sequence
    assert second[0].market_time_ns > first[-1].market_time_ns
    move = Decimal(second[0].quote.bid_price) / Decimal(first[-1].quote.bid_price) - 1
    assert abs(move) < Decimal("0.005")


@pytest.mark.parametrize(("description", "lost"), [("its state is kept", False), ("its state is lost", True)])
async def test_a_feed_goes_on_with_a_restarted_market(
    stack: Stack, tmp_path: Path, description: str, lost: bool
) -> None:
    """A pod of marketdata has no volume: its successor counts from one, and its prices must not pass for known ones."""
    own = stack.settings(MarketDataSettings, "marketdata", step_ms=10, required_subscribers=("brain",))
    subscriber = stack.settings(BrainSettings, "brain", phases=("scavenger",))
    batches: list[pb.MarketBatch] = []

    async def receive(batch: pb.MarketBatch) -> None:
        batches.append(batch)

    feed = MarketFeed(subscriber, [pb.CHANNEL_QUOTES], lambda _hello: None, receive, Metrics(), get_logger("brain"))
    try:
        async with running(MarketDataApp(own)):
            feed.start()
            await until(lambda: feed.last_step >= 100 and feed.connected, "a hundred steps")
        before, last = len(batches), feed.last_step
        if lost:
            (Path(own.state_dir) / "position.json").unlink()
        async with running(MarketDataApp(own)):
            await until(lambda: any(batch.events for batch in batches[before:]), "prices after the restart")
            assert (batches[-1].step < last) is lost, description
    finally:
        await feed.stop()
