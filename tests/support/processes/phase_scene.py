"""A phase process with marketdata and Brain played by the test, over real mTLS gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from support.market.tape import T0, S
from support.processes.waiting import until
from support.stack.local_processes import REPOSITORY, Stack
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.market import Bar, MarketEvent
from titan.phase.app import PhaseApp
from titan.phase.settings import PhaseSettings
from titan.runtime.process import running
from titan.runtime.rpc.contract import BRAIN_SUBMIT, MARKETDATA_SUBSCRIBE
from titan.runtime.rpc.server import RpcServer, ServerStream
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import market_pb2 as m
from titan.wire.market import bar_to_wire, event_to_wire, instrument_to_wire

STEP_NS = 50_000_000


class FakeMarket:
    """Cuts events into steps and posts them at the test's command."""

    def __init__(self, stack: Stack, lockstep: bool) -> None:
        self.lockstep = lockstep
        self.history: Sequence[Bar] = ()
        self.instruments = list(PAPER_INSTRUMENTS.values())
        self.subscription = m.Subscription()
        self.acked = -1
        self.step = -1
        self.stream: ServerStream[m.SubscribeRequest, m.SubscribeResponse] | None = None
        self.server = RpcServer(stack.settings(PhaseSettings, "marketdata"), Metrics(), get_logger("marketdata"))
        self.server.stream(MARKETDATA_SUBSCRIBE, self._serve)

    async def _serve(self, stream: ServerStream[m.SubscribeRequest, m.SubscribeResponse]) -> None:
        async for request in stream:
            if request.HasField("ack"):
                self.acked = max(self.acked, request.ack.step)
                continue
            self.subscription = request.subscription
            hello = m.MarketHello(
                source="simulated",
                label="SIMULATED MARKET",
                lockstep=self.lockstep,
                step_ns=STEP_NS,
                market_time_ns=T0,
                instruments=[instrument_to_wire(one) for one in self.instruments],
                history=[bar_to_wire(bar) for bar in self.history],
            )
            stream.post(m.SubscribeResponse(hello=hello))
            self.stream = stream

    def post(self, events: Iterable[MarketEvent], end_ns: int = 0) -> int:
        """Post all events as steps of their time; return the number of the last one."""
        slices: dict[int, list[MarketEvent]] = {}
        for event in events:
            slices.setdefault((event.market_time_ns - T0) // STEP_NS, []).append(event)
        for number, content in sorted(slices.items()):
            self.post_step(content, end_ns or T0 + (number + 1) * STEP_NS)
        return self.step

    def post_step(self, events: Iterable[MarketEvent], market_time_ns: int) -> int:
        assert self.stream is not None
        self.step += 1
        batch = m.MarketBatch(
            step=self.step,
            market_time_ns=market_time_ns,
            events=[event_to_wire(event) for event in events],
            step_complete=True,
        )
        self.stream.post(m.SubscribeResponse(batch=batch))
        return self.step


class FakeBrain:
    """Records the phase's messages; sends the test's."""

    def __init__(self, stack: Stack, policy_hash: str) -> None:
        self.settings = stack.settings(PhaseSettings, "brain")
        self.policy_hash = policy_hash
        self.greeting: list[b.SubmitResponse] = []
        self.received: list[b.SubmitRequest] = []
        self.hellos = 0
        self.stream: ServerStream[b.SubmitRequest, b.SubmitResponse] | None = None
        self.server = self._make()

    def _make(self) -> RpcServer:
        server = RpcServer(self.settings, Metrics(), get_logger("brain"))
        server.stream(BRAIN_SUBMIT, self._serve)
        return server

    async def leave(self) -> None:
        await self.server.stop(0)
        self.stream = None

    async def come_back(self) -> None:
        self.received.clear()
        self.server = self._make()
        await self.server.start()

    async def _serve(self, stream: ServerStream[b.SubmitRequest, b.SubmitResponse]) -> None:
        async for request in stream:
            self.received.append(request)
            if request.HasField("hello"):
                self.hellos += 1
                for message in self.greeting:
                    stream.post(message)
                self.stream = stream

    def greet(self, *messages: b.SubmitResponse) -> None:
        """Set the messages that a new stream begins with."""
        self.greeting = list(messages)

    def post(self, **message: Any) -> None:
        assert self.stream is not None
        self.stream.post(b.SubmitResponse(**message))

    def of(self, kind: str) -> list[Any]:
        """The received messages of one kind, oldest first."""
        return [getattr(one, kind) for one in self.received if one.WhichOneof("message") == kind]

    def kinds(self) -> list[str | None]:
        return [one.WhichOneof("message") for one in self.received]

    def decide(self, intent: b.Intent, approved: bool, reason: Any = c.REASON_SCORE_TOO_LOW) -> None:
        decision = b.Decision(
            intent_id=intent.intent_id,
            phase_id=intent.phase_id,
            symbol=intent.symbol,
            side=intent.side,
            action=intent.action,
            position_effect=b.POSITION_EFFECT_OPENING if intent.action == b.ACTION_OPEN else b.POSITION_EFFECT_REDUCING,
            approved=approved,
            reason=c.REASON_OK if approved else reason,
            message="OK" if approved else "SCORE_TOO_LOW: score=0.1, min=0.6",
            quantity="0.004" if approved else "",
        )
        self.post(decision=decision)


def posture(in_force: Any) -> b.PostureState:
    return b.PostureState(
        in_force=in_force,
        ceiling=c.POSTURE_ARMED,
        latch=in_force,
        risk_level=c.RISK_LEVEL_NORMAL,
        reason="a test",
        by="tester",
    )


def budget(expires_at_ns: int = T0 + 3_600 * S) -> b.Budget:
    return b.Budget(
        budget_id="budget-1",
        phase_id="scavenger",
        state=b.BUDGET_STATE_ACTIVE,
        max_notional="2000",
        max_leverage="10",
        max_drawdown="4",
        orders_per_minute=30,
        expires_at_ns=expires_at_ns,
        allocation="200",
        weight="1",
    )


ARMED = (
    b.SubmitResponse(posture=posture(c.POSTURE_ARMED)),
    b.SubmitResponse(budget=budget()),
    b.SubmitResponse(positions=b.PhasePositions()),
)


class Scene:
    """A phase and the processes around it."""

    def __init__(self, stack: Stack, lockstep: bool, **settings: Any) -> None:
        document = yaml.safe_load((REPOSITORY / "policies" / "demo.yaml").read_text())
        self.policy_file = stack.directory / "policy.json"
        self.policy_file.write_text(json.dumps(document["spec"]["rules"]))
        self.policy_hash: str = document["spec"]["hash"]
        self.settings = stack.settings(
            PhaseSettings, "scavenger", **{"policy_file": str(self.policy_file), "grpc_port": 0, **settings}
        )
        self.market = FakeMarket(stack, lockstep)
        self.brain = FakeBrain(stack, self.policy_hash)
        self.brain.greet(*ARMED)
        self.app = PhaseApp(self.settings)

    @property
    def state_file(self) -> Path:
        return Path(self.settings.state_dir) / "phase.json"

    @asynccontextmanager
    async def phase(self) -> AsyncIterator[PhaseApp]:
        """Run the phase process, connected to both."""
        self.app = PhaseApp(self.settings)
        hellos = self.brain.hellos
        async with running(self.app):
            await until(lambda: self.app.feed.connected, "the market")
            await until(lambda: self.brain.hellos > hellos and self.app.brain.positions_received, "Brain")
            yield self.app


@asynccontextmanager
async def scene(stack: Stack, lockstep: bool = False, **settings: Any) -> AsyncIterator[Scene]:
    """Start marketdata and Brain; ``made.phase()`` starts the phase."""
    made = Scene(stack, lockstep, **settings)
    await made.market.server.start()
    await made.brain.server.start()
    try:
        yield made
    finally:
        await made.brain.server.stop(0)
        await made.market.server.stop(0)
