"""A marketdata server whose every step the test writes: the real server and the real contract, no source behind it."""

from __future__ import annotations

import asyncio

from support.stack.local_processes import Stack
from support.venues.matching import MS, PERP, SPOT, levels
from titan.domain.enums import Side
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import BookEvent, MarketEvent, TradeEvent
from titan.runtime.rpc.contract import MARKETDATA_SUBSCRIBE
from titan.runtime.rpc.server import RpcServer, ServerStream
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.watermark import Watermark
from titan.v1 import market_pb2 as pb
from titan.wire.market import event_to_wire, instrument_to_wire

STEP_MS = 50
MarketStream = ServerStream[pb.SubscribeRequest, pb.SubscribeResponse]


class ScriptedMarket:
    """Steps of 50 ms. Whoever subscribes gets the hello, the last snapshot and the unfinished step."""

    def __init__(self, stack: Stack, lockstep: bool = True) -> None:
        self.lockstep = lockstep
        self.step = 0
        self.sequence = 0
        self.acks = Watermark()
        self.subscribed = asyncio.Event()
        self._streams: set[MarketStream] = set()
        self._snapshot: dict[str, MarketEvent] = {}
        self._current: pb.MarketBatch | None = None
        settings = stack.settings(ProcessSettings, "marketdata")
        self._server = RpcServer(settings, Metrics(), get_logger("marketdata"))
        self._server.stream(MARKETDATA_SUBSCRIBE, self._serve)

    async def __aenter__(self) -> ScriptedMarket:
        await self._server.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._server.stop(0)

    @property
    def now_ns(self) -> int:
        """Market time at the end of the last step."""
        return self.step * STEP_MS * MS

    def book(self, bids: str, asks: str, symbol: str = PERP) -> BookEvent:
        """A snapshot in the step that comes next."""
        self.sequence += 1
        return BookEvent(self.sequence, symbol, 0, self.now_ns + MS, True, 0, levels(bids), levels(asks))

    def trade(self, taker: str, quantity: str, price: str) -> TradeEvent:
        """A public trade in the step that comes next."""
        self.sequence += 1
        (level,) = levels(f"{price}x{quantity}")
        return TradeEvent(
            self.sequence,
            PERP,
            0,
            self.now_ns + MS,
            str(self.sequence),
            level.price,
            level.quantity,
            Side[taker.upper()],
        )

    def publish(self, *events: MarketEvent) -> int:
        """Send a step; its number."""
        self._finish()
        self.step += 1
        self._current = pb.MarketBatch(
            step=self.step,
            market_time_ns=self.now_ns,
            events=[event_to_wire(event) for event in events],
            step_complete=True,
        )
        self._books = {event.symbol: event for event in events if isinstance(event, BookEvent)}
        for stream in self._streams:
            stream.post(pb.SubscribeResponse(batch=self._current))
        return self.step

    def _finish(self) -> None:
        if self._current is not None:
            self._snapshot.update(self._books)

    async def _serve(self, stream: MarketStream) -> None:
        async for request in stream:
            if request.HasField("ack"):
                self.acks.advance(request.ack.step)
                continue
            hello = pb.MarketHello(
                source="scripted",
                label="SCRIPTED",
                lockstep=self.lockstep,
                step_ns=STEP_MS * MS,
                instruments=[instrument_to_wire(PAPER_INSTRUMENTS[symbol]) for symbol in (PERP, SPOT)],
            )
            stream.post(pb.SubscribeResponse(hello=hello))
            before = max(0, self.step - 1)
            snapshot = pb.MarketBatch(
                step=before,
                market_time_ns=before * STEP_MS * MS,
                events=[event_to_wire(event) for event in self._snapshot.values()],
                snapshot=True,
            )
            stream.post(pb.SubscribeResponse(batch=snapshot))
            if self._current is not None:
                stream.post(pb.SubscribeResponse(batch=self._current))
            self._streams.add(stream)
            self.subscribed.set()
