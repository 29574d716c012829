"""Composition root of marketdata: one source, played to everyone who needs prices."""

from __future__ import annotations

import asyncio
import time
import uuid

import grpc

from titan.domain.time import NS_PER_S
from titan.marketdata.opening import open_market, position_path
from titan.marketdata.playback_position import PlaybackError, PlaybackFile
from titan.marketdata.player import MarketPlayer, Pace
from titan.marketdata.settings import MarketDataSettings
from titan.marketdata.steps import cut_steps
from titan.marketdata.subscribers import MarketStream, SubscriptionFilter
from titan.marketdata.view import MarketView
from titan.recordings.source import SourceError
from titan.runtime.process import ServiceApp, StartError, run
from titan.runtime.rpc.contract import MARKETDATA_GET_MARKET, MARKETDATA_SUBSCRIBE
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import Peer, RpcServer
from titan.v1 import market_pb2 as pb
from titan.wire.market import instrument_to_wire

_FLUSH_S = 1.0


class MarketDataApp(ServiceApp[MarketDataSettings]):
    """Reads one source and serves it.

    After a restart a simulation in real time continues at the machine's clock; everything else continues at the step
    after the last finished one.

    Raises
    ------
    StartError
        When the source cannot be played, or the state directory holds the position of another market.
    """

    SETTINGS = MarketDataSettings

    def __init__(self, settings: MarketDataSettings) -> None:
        super().__init__(settings)
        market = open_market(settings, time.time_ns)
        source, identity, before, endless = market.source, market.identity, market.before, market.endless
        try:
            self._position = PlaybackFile(position_path(settings))
        except PlaybackError as error:
            raise StartError(str(error)) from error
        self._source = source
        view = MarketView()
        self._resume_after = before.step if before is not None else 0
        if before is not None and endless:
            view.resume(before.step, before.market_time_ns, before.sequence)
        # An endless market without its position is another one, whose steps begin anew. A recording is always the same.
        run = identity if not endless else (before.run if before is not None else "") or uuid.uuid4().hex
        over = endless and before is not None and before.ended
        steps = cut_steps(source, settings.step_ns, settings.duration_s * NS_PER_S, view.step)
        self._player = MarketPlayer(
            source=source,
            steps=iter(()) if over else steps,
            view=view,
            position=self._position,
            identity=identity,
            step_ns=settings.step_ns,
            lockstep=settings.lockstep,
            steps_ahead=settings.steps_ahead if settings.speed == "max" else 1,
            pace=Pace(settings.speed_factor, catch_up=not settings.lockstep),
            required=settings.required_subscribers,
            run=run,
            metrics=self.metrics,
            log=self.log,
        )
        self._server = RpcServer(settings, self.metrics, self.log)
        self._server.stream(MARKETDATA_SUBSCRIBE, self._subscribe)
        self._server.unary(MARKETDATA_GET_MARKET, self._get_market)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve, then play."""
        await self._server.start()
        self.log.info(
            "market opened", source=self._source.name, label=self._source.label, identity=self._source.identity
        )
        self._task = asyncio.get_running_loop().create_task(self._play(), name="market player")

    async def stop(self) -> None:
        """Stop playing, flush what was posted, end all streams."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._player.flush(_FLUSH_S)
        await self._server.stop()
        self._position.close()

    async def _play(self) -> None:
        try:
            await self._player.run(self._resume_after)
        except (SourceError, PlaybackError) as error:
            self.fail(str(error))
        except Exception as error:
            self.log.exception("the market player broke")
            self.fail(f"the market player broke ({type(error).__name__}): {error}")
            raise

    async def _subscribe(self, stream: MarketStream) -> None:
        async for request in stream:
            if not request.HasField("subscription"):
                raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be the subscription")
            subscription = request.subscription
            name = subscription.subscriber or stream.peer.role
            if name != stream.peer.role:
                raise RpcRefused(
                    grpc.StatusCode.PERMISSION_DENIED,
                    f"subscriber: {name!r} is not allowed; a {stream.peer.role} subscribes as {stream.peer.role!r}",
                )
            known = {one.symbol for one in self._source.instruments}
            unknown = sorted(set(subscription.symbols) - known)
            if unknown:
                # A strategy may list more symbols than this market has: its hello lists those that exist.
                self.log.warning("symbols are not in this market", subscriber=name, symbols=unknown)
            event_filter = SubscriptionFilter(
                frozenset(subscription.symbols), frozenset(subscription.channels), subscription.conflate
            )
            await self._player.serve(name, event_filter, stream, subscription.ends_steps)
            return

    async def _get_market(self, _request: pb.GetMarketRequest, _peer: Peer) -> pb.GetMarketResponse:
        player, counts = self._player, self._source.counts
        return pb.GetMarketResponse(
            source=self._source.name,
            label=self._source.label,
            step=player.view.step,
            market_time_ns=player.view.market_time_ns,
            events=player.view.sequence,
            book_checks=counts.checks.checked,
            book_mismatches=counts.checks.mismatches,
            book_gaps=counts.gaps,
            ended=player.ended,
            waiting_for=player.waiting_for,
            instruments=[instrument_to_wire(one) for one in self._source.instruments],
        )

    def not_ready(self) -> list[str]:
        """Not ready until the server listens."""
        return [] if self._task is not None else ["the market is not opened yet"]

    def status(self) -> dict[str, object]:
        """Return source, label, position, book checks, and the subscribers that it waits for."""
        player, counts = self._player, self._source.counts
        return {
            "source": self._source.name,
            "label": self._source.label,
            "identity": self._source.identity,
            "symbols": [one.symbol for one in self._source.instruments],
            "speed": self.settings.speed,
            "lockstep": player.lockstep,
            "step": player.view.step,
            "market_time_ns": player.view.market_time_ns,
            "events": player.view.sequence,
            "repeated_trades": counts.repeated_trades,
            "book_checks": {
                "checked": counts.checks.checked,
                "mismatches": counts.checks.mismatches,
                "incomparable": counts.checks.incomparable,
                "gaps": counts.gaps,
                "unused_snapshots": counts.unused_snapshots,
                "examples": counts.examples,
            },
            "subscribers_behind_steps": player.subscribers,
            "waiting_for": player.waiting_for,
            "ended": player.ended,
        }


def main() -> None:
    """Run the marketdata process."""
    run(MarketDataApp)


if __name__ == "__main__":
    main()
