"""Subscribers of a real marketdata that acknowledge only on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.market.recordings import START_NS, spot_lines, write
from support.stack.local_processes import Stack
from titan.marketdata.settings import MarketDataSettings
from titan.runtime.rpc.client import ClientStream, RpcChannel
from titan.runtime.rpc.contract import MARKETDATA_GET_MARKET, MARKETDATA_SUBSCRIBE
from titan.v1 import common_pb2
from titan.v1 import market_pb2 as pb

ALL = (pb.CHANNEL_QUOTES, pb.CHANNEL_TRADES, pb.CHANNEL_BOOK)
SILENCE_S = 0.15


class Client:
    """One subscriber that acknowledges only on request."""

    def __init__(self, stream: ClientStream[pb.SubscribeRequest, pb.SubscribeResponse]) -> None:
        self.stream = stream
        self._messages = stream.__aiter__()

    async def next(self, timeout_s: float = 5.0) -> Any:
        """The hello, or a batch."""
        message = await asyncio.wait_for(self._messages.__anext__(), timeout_s)
        return getattr(message, message.WhichOneof("message"))

    async def silent(self) -> bool:
        """Whether nothing comes for a while; what would come is not lost."""
        waiting = asyncio.ensure_future(self._messages.__anext__())
        done, _ = await asyncio.wait([waiting], timeout=SILENCE_S)

        async def later() -> AsyncIterator[Any]:
            yield await waiting
            async for message in messages:
                yield message

        messages, self._messages = self._messages, later()
        return not done

    def ack(self, batch: Any) -> None:
        marker = common_pb2.StepMarker(step=batch.step, market_time_ns=batch.market_time_ns)
        self.stream.post(pb.SubscribeRequest(ack=marker))

    async def play(self) -> list[Any]:
        """Acknowledge everything to the end of the market."""
        batches = []
        while not batches or not batches[-1].end_of_market:
            batches.append(await self.next())
            self.ack(batches[-1])
        return batches


@asynccontextmanager
async def subscribed(
    stack: Stack, role: str, channels: Sequence[Any] = ALL, symbols: Sequence[str] = (), **fields: Any
) -> AsyncIterator[Client]:
    channel = RpcChannel(stack.client(role), "marketdata")
    stream = channel.open(MARKETDATA_SUBSCRIBE)
    fields.setdefault("subscriber", role)
    stream.post(pb.SubscribeRequest(subscription=pb.Subscription(channels=channels, symbols=symbols, **fields)))
    try:
        yield Client(stream)
    finally:
        stream.close()
        await channel.close()


async def market(stack: Stack) -> pb.GetMarketResponse:
    channel = RpcChannel(stack.client("cli"), "marketdata")
    try:
        return await channel.call(MARKETDATA_GET_MARKET, pb.GetMarketRequest())
    finally:
        await channel.close()


async def ended(stack: Stack) -> pb.GetMarketResponse:
    """The market after its end; it has ended when all have acknowledged the end."""
    async with asyncio.timeout(60):
        while not (response := await market(stack)).ended:
            pass
    return response


def two_recordings(folder: Path) -> tuple[str, ...]:
    """Write two recordings of 60 ms each, 5 ms apart; in steps of 20 ms they make four and the end."""
    btc = write(folder / "btc.gz", spot_lines())
    eth = write(folder / "eth.gz", spot_lines("ETHUSDT"), START_NS + 5_000_000)
    return str(btc), str(eth)


def settings(stack: Stack, recordings: Sequence[str], **fields: Any) -> MarketDataSettings:
    common = {"source": "replay", "files": tuple(recordings), "speed": "max", "step_ms": 20, "steps_ahead": 1}
    return stack.settings(MarketDataSettings, "marketdata", **{**common, **fields})


def sequences(batch: Any) -> list[int]:
    return [event.sequence for event in batch.events]
