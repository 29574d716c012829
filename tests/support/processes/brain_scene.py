"""A Brain process with marketdata, Execution and phases played by the test, over real mTLS gRPC."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from support.processes.waiting import until
from support.stack.local_processes import REPOSITORY, Stack
from titan.brain.app import BrainApp
from titan.brain.settings import BrainSettings
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.runtime.market_feed import MarketClock
from titan.runtime.process import running
from titan.runtime.rpc.client import ClientStream, RpcChannel
from titan.runtime.rpc.contract import (
    BRAIN_SET_CEILING,
    BRAIN_SET_POSTURE,
    BRAIN_SUBMIT,
    EXECUTION_PLACE,
    MARKETDATA_SUBSCRIBE,
)
from titan.runtime.rpc.server import RpcServer, ServerStream
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.storage.migrate import upgrade_async
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.v1 import order_pb2 as o
from titan.wire.market import instrument_to_wire

PERP = "BTC/USDT:USDT"
START_NS = 1_723_100_000_000_000_000
STEP_NS = 50_000_000


class FakeMarket:
    """Serves one subscriber; the test posts each step."""

    def __init__(self, stack: Stack, lockstep: bool) -> None:
        settings = stack.settings(BrainSettings, "marketdata")
        self.server = RpcServer(settings, Metrics(), get_logger("marketdata"))
        self.server.stream(MARKETDATA_SUBSCRIBE, self._serve)
        self.lockstep = lockstep
        self.acked = -1
        self.step = -1
        self.clock = MarketClock()
        self.streams: list[ServerStream[m.SubscribeRequest, m.SubscribeResponse]] = []
        self._sequence = itertools.count(1)

    async def _serve(self, stream: ServerStream[m.SubscribeRequest, m.SubscribeResponse]) -> None:
        async for request in stream:
            if request.HasField("subscription"):
                hello = m.MarketHello(
                    source="simulated",
                    label="SIMULATED MARKET",
                    lockstep=self.lockstep,
                    step_ns=STEP_NS,
                    market_time_ns=START_NS,
                    instruments=[instrument_to_wire(one) for one in PAPER_INSTRUMENTS.values()],
                )
                stream.post(m.SubscribeResponse(hello=hello))
                self.streams.append(stream)
            else:
                self.acked = max(self.acked, request.ack.step)

    def post_step(self, bid: str = "61234.5", ask: str = "61234.6", jump_ns: int = STEP_NS, end: bool = False) -> int:
        """Post one step with one quote."""
        self.step += 1
        self.now_ns = getattr(self, "now_ns", START_NS) + jump_ns
        self.clock.advance(self.now_ns, running=not self.lockstep and not end)
        event = m.MarketEvent(
            sequence=next(self._sequence),
            symbol=PERP,
            market_time_ns=self.now_ns,
            quote=m.Quote(bid_price=bid, bid_quantity="1", ask_price=ask, ask_quantity="1"),
        )
        batch = m.MarketBatch(
            step=self.step, market_time_ns=self.now_ns, events=[event], step_complete=True, end_of_market=end
        )
        for stream in self.streams:
            if not stream.closed:
                stream.post(m.SubscribeResponse(batch=batch))
        return self.step


class FakeExecution:
    """Records Brain's messages; answers as the test sets it."""

    def __init__(self, stack: Stack, policy_hash: str) -> None:
        self.settings = stack.settings(BrainSettings, "execution")
        self.policy_hash = policy_hash
        self.account = e.AccountState(
            equity=o.Equity(
                known=True,
                equity="200",
                cash="200",
                day_start_equity="200",
                high_water_mark="200",
                drawdown="0",
                realized_pnl="0",
                unrealized_pnl="0",
                fees="0",
                margin_used="0",
                market_time_ns=START_NS,
            ),
            truth=o.TruthSnapshot(known=True, score=100, passes=1),
            posture=b.PostureState(in_force=c.POSTURE_CLOSE_ONLY, latch=c.POSTURE_CLOSE_ONLY, latch_never_set=True),
            policy_hash=policy_hash,
            reconciled=True,
        )
        self.obeys = True
        # Refuses hellos up to this term.
        self.stale = e.StaleTerm()
        self.received: list[e.PlaceRequest] = []
        self.streams: list[ServerStream[e.PlaceRequest, e.PlaceResponse]] = []
        self.server = self._make()

    def _make(self) -> RpcServer:
        server = RpcServer(self.settings, Metrics(), get_logger("execution"))
        server.stream(EXECUTION_PLACE, self._serve)
        return server

    async def restart(self) -> None:
        """Stop and start the server."""
        await self.server.stop()
        self.server = self._make()
        await self.server.start()

    async def _serve(self, stream: ServerStream[e.PlaceRequest, e.PlaceResponse]) -> None:
        async for request in stream:
            self.received.append(request)
            kind = request.WhichOneof("message")
            if kind == "hello" and request.hello.term <= self.stale.highest_term:
                stream.post(e.PlaceResponse(stale_term=self.stale))
                return
            if kind == "hello":
                stream.post(e.PlaceResponse(account=self.account))
                self.streams.append(stream)
            elif kind == "act" and self.obeys:
                latch = request.act.posture
                self.account.posture.latch = latch
                stream.post(
                    e.PlaceResponse(
                        act=e.PostureActResult(
                            act_id=request.act.act_id,
                            done=True,
                            reason=c.REASON_OK,
                            in_force=latch,
                            latch=latch,
                            working_orders=3,
                            open_positions=1,
                        )
                    )
                )

    def post(self, **message: Any) -> None:
        """Send a message on the newest stream."""
        self.streams[-1].post(e.PlaceResponse(**message))

    def of(self, kind: str) -> list[Any]:
        """The received messages of one kind, oldest first."""
        return [getattr(one, kind) for one in self.received if one.WhichOneof("message") == kind]


class FakePhase:
    """A phase's stream to Brain."""

    def __init__(self, stack: Stack, phase_id: str = "scavenger", now_ns: Callable[[], int] = lambda: START_NS) -> None:
        self.phase_id = phase_id
        self.now_ns = now_ns
        self.channel = RpcChannel(stack.client(phase_id), "brain")
        self.received: list[b.SubmitResponse] = []
        self.failure = ""
        self._ids = itertools.count(1)

    async def connect(self, policy_hash: str, claimed: str = "") -> None:
        """Open the stream and send the hello."""
        self.policy_hash = policy_hash
        self.stream: ClientStream[b.SubmitRequest, b.SubmitResponse] = self.channel.open(BRAIN_SUBMIT)
        hello = b.PhaseHello(phase_id=claimed or self.phase_id, policy_hash=policy_hash, strategy="test")
        self.stream.post(b.SubmitRequest(hello=hello))
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async for response in self.stream:
                self.received.append(response)
        except Exception as error:  # noqa: BLE001 - the test checks it
            self.failure = str(error)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.channel.close()

    def mark(self, step: int) -> None:
        self.stream.post(b.SubmitRequest(marker=c.StepMarker(step=step)))

    def of(self, kind: str) -> list[Any]:
        return [getattr(one, kind) for one in self.received if one.WhichOneof("message") == kind]

    async def submit(self, **fields: Any) -> b.Decision:
        """Post an intent and wait for its decision."""
        intent = self.intent(**fields)
        self.stream.post(b.SubmitRequest(intent=intent))
        await until(lambda: any(one.intent_id == intent.intent_id for one in self.of("decision")), "a decision")
        return next(one for one in self.of("decision") if one.intent_id == intent.intent_id)  # type: ignore[no-any-return]

    def intent(self, **fields: Any) -> b.Intent:
        """Make an intent that the demo policy approves."""
        number = next(self._ids)
        common: dict[str, Any] = {
            "intent_id": f"{self.phase_id}-intent-{number:04d}",
            "phase_id": self.phase_id,
            "setup": "breakout",
            "symbol": PERP,
            "side": c.SIDE_BUY,
            "action": b.ACTION_OPEN,
            "order_type": c.ORDER_TYPE_MARKET,
            "time_in_force": c.TIME_IN_FORCE_IOC,
            "reference_price": "61234.6",
            "stop_price": "61112.1",
            "target_price": "61540.8",
            "setup_score": 0.8,
            "volatility": 0.001,
            "timeframe_ns": 60_000_000_000,
            "event_time_ns": self.now_ns() + number,
            "ttl_ns": 5_000_000_000,
            "policy_hash": self.policy_hash,
            "hops": [c.Hop(name="phase", duration_ns=100_000)],
        }
        return b.Intent(**{**common, **fields})


class Scene:
    """Brain and the processes around it."""

    app: BrainApp

    def __init__(self, stack: Stack, lockstep: bool, phases: tuple[str, ...], **settings: Any) -> None:
        self.stack = stack
        document = yaml.safe_load((REPOSITORY / "policies" / "demo.yaml").read_text())
        self.policy_file = stack.directory / "policy.json"
        self.policy_file.write_text(json.dumps(document["spec"]["rules"]))
        self.policy_hash = document["spec"]["hash"]
        self.settings = stack.settings(
            BrainSettings, "brain", policy_file=str(self.policy_file), phases=phases, **settings
        )
        self.market = FakeMarket(stack, lockstep)
        self.execution = FakeExecution(stack, self.policy_hash)
        self.phases = {phase: FakePhase(stack, phase, lambda: self.market.clock.now_ns) for phase in phases}
        self.cli = RpcChannel(stack.client("cli"), "brain")
        self.operator = RpcChannel(stack.client("operator"), "brain")

    @property
    def phase(self) -> FakePhase:
        return next(iter(self.phases.values()))

    async def armed(self) -> None:
        """Post a first step of the market, then arm as a person."""
        self.market.post_step()
        await until(lambda: self.app.now_ns(), "market time")
        response = await self.act(c.POSTURE_ARMED)
        assert response.done, response.message
        await until(lambda: self.phase.of("budget") and self.phase.of("budget")[-1].state == b.BUDGET_STATE_ACTIVE, "")

    async def act(self, posture: Any, nonce: str = "nonce-1", **fields: Any) -> b.SetPostureResponse:
        request = b.SetPostureRequest(posture=posture, by="tester", reason="a test", nonce=nonce, **fields)
        return await self.cli.call(BRAIN_SET_POSTURE, request, 10.0)

    async def ceiling(self, ceiling: Any, **fields: Any) -> b.SetCeilingResponse:
        """Send the resource's ceiling as the operator."""
        common = {"by": "operator", "policy_hash": self.policy_hash, "reason": "the resource changed"}
        request = b.SetCeilingRequest(ceiling=ceiling, **{**common, **fields})
        return await self.operator.call(BRAIN_SET_CEILING, request, 10.0)


@asynccontextmanager
async def scene(
    stack: Stack,
    lockstep: bool = False,
    phases: tuple[str, ...] = ("scavenger",),
    migrate: bool = True,
    before: Callable[[Scene], None] = lambda _made: None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """Start everything, connected and not armed; ``before`` may change the others before Brain connects."""
    made = Scene(stack, lockstep, phases, **settings)
    before(made)
    if migrate:
        await upgrade_async(stack.database("brain"), "brain")
    await made.market.server.start()
    await made.execution.server.start()
    made.app = BrainApp(made.settings)
    try:
        async with running(made.app):
            await until(lambda: made.app.execution.connected and made.app.feed.connected, "Brain connected")
            for phase in made.phases.values():
                await phase.connect(made.policy_hash)
            await until(lambda: all(one.stream for one in made.app.phases.by_id.values()), "phases connected")
            yield made
            for phase in made.phases.values():
                await phase.close()
            await made.cli.close()
            await made.operator.close()
    finally:
        await made.execution.server.stop(0)
        await made.market.server.stop(0)


def state_folder(made: Scene) -> Path:
    return Path(made.settings.state_dir)
