"""The player without a network: a subscriber's messages while a restarted market reads its past again, and pacing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.market.recordings import spot_lines, write
from titan.marketdata.playback_position import PlaybackFile, PlaybackPosition, read_position
from titan.marketdata.player import MarketPlayer, Pace
from titan.marketdata.steps import cut_steps
from titan.marketdata.subscribers import SubscriptionFilter
from titan.marketdata.view import MarketView
from titan.recordings.replay import ReplaySource
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import common_pb2
from titan.v1 import market_pb2 as pb

STEP_NS = 1_000_000
EVERYTHING = SubscriptionFilter(frozenset(), frozenset((pb.CHANNEL_QUOTES, pb.CHANNEL_TRADES, pb.CHANNEL_BOOK)), False)


class Stream:
    """A stream that acknowledges each step at once."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self._acks: asyncio.Queue[pb.SubscribeRequest] = asyncio.Queue()

    def post(self, message: pb.SubscribeResponse) -> None:
        self.posted.append(getattr(message, message.WhichOneof("message")))
        if message.HasField("batch") and message.batch.step_complete:
            marker = common_pb2.StepMarker(step=message.batch.step)
            self._acks.put_nowait(pb.SubscribeRequest(ack=marker))

    async def __aiter__(self) -> AsyncIterator[pb.SubscribeRequest]:
        while True:
            yield await self._acks.get()


async def test_a_subscriber_that_comes_while_the_past_is_read_gets_the_state_at_its_end(tmp_path: Path) -> None:
    source = ReplaySource([write(tmp_path / "a.gz", spot_lines())])
    position = PlaybackFile(tmp_path / "position.json")
    player = MarketPlayer(
        source=source,
        steps=cut_steps(source, STEP_NS),
        view=MarketView(),
        position=position,
        identity="a",
        step_ns=STEP_NS,
        lockstep=True,
        steps_ahead=1,
        pace=Pace(0, catch_up=False),
        run="a run",
        required=("brain",),
        metrics=Metrics(),
        log=get_logger("marketdata"),
    )
    stream = Stream()
    serving = asyncio.ensure_future(player.serve("brain", EVERYTHING, stream))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert stream.posted == []
    await asyncio.wait_for(player.run(resume_after=45), 60)
    serving.cancel()
    _, state, *steps = stream.posted
    assert (state.snapshot, state.step, len(state.events)) == (True, 45, 2)
    assert [step.step for step in steps] == list(range(46, 62))
    assert steps[-1].end_of_market
    assert player.ended
    assert read_position(tmp_path / "position.json") == PlaybackPosition(
        "a", 61, steps[-1].market_time_ns, 6, ended=True, run="a run"
    )
    position.close()


async def test_at_most_speed_a_step_is_due_at_once() -> None:
    # Paced, each of them would take a thousand seconds.
    async with asyncio.timeout(60):
        for _ in range(100):
            await Pace(0, catch_up=False).wait(10**12)


async def test_a_paced_step_takes_its_time_and_only_real_time_makes_up_for_a_pause() -> None:
    spacings = {}
    for catch_up in (True, False):
        pace = Pace(10.0, catch_up=catch_up)
        first = await pace.wait(200_000_000)
        assert time.monotonic_ns() >= first
        await asyncio.sleep(0.1)  # the pause itself is tested
        second = await pace.wait(200_000_000)
        spacings[catch_up] = (second - first) / 1e6
    assert spacings[True] == 20.0
    assert spacings[False] >= 120.0
