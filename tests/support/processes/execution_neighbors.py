"""Marketdata and Brain, played to Execution by the test, over mTLS."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import Any

from support.processes.waiting import until
from support.stack.local_processes import Stack
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import EXECUTION_PLACE, MARKETDATA_SUBSCRIBE
from titan.runtime.rpc.link import Link
from titan.runtime.rpc.server import RpcServer, ServerStream
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.wire.market import instrument_to_wire

PERP = "BTC/USDT:USDT"
START_NS = 1_723_100_000_000_000_000
STEP_NS = 50_000_000
SUBSCRIBERS = ("papervenue", "execution")


class Market:
    """Plays marketdata in lockstep to the venue and Execution; the test makes each step."""

    def __init__(self, stack: Stack) -> None:
        self.server = RpcServer(stack.settings(ProcessSettings, "marketdata"), Metrics(), get_logger("marketdata"))
        self.server.stream(MARKETDATA_SUBSCRIBE, self._serve)
        self.price = Decimal(60000)
        self.now_ns = START_NS
        self.number = 0
        self.acked: dict[str, int] = {}
        self._streams: dict[str, ServerStream[m.SubscribeRequest, m.SubscribeResponse]] = {}
        self._sequence = itertools.count(1)
        self._pending: m.MarketBatch | None = None

    async def step(self, price: int | None = None, count: int = 1, end: bool = False) -> None:
        """Let ``count`` steps pass at a price, and wait until both have finished them; ``end``: each is the last."""
        for _ in range(count):
            self.begin(price, end)
            await self.finished()

    def begin(self, price: int | None = None, end: bool = False, to: tuple[str, ...] = SUBSCRIBERS) -> None:
        """Send the next step, without waiting."""
        self.price = Decimal(price) if price is not None else self.price
        self.number += 1
        self.now_ns += STEP_NS
        self._pending = m.MarketBatch(
            step=self.number,
            market_time_ns=self.now_ns,
            events=self._events(),
            step_complete=True,
            end_of_market=end,
        )
        for role in to:
            self.send_to(role)

    def send_to(self, role: str) -> None:
        """Send the step that began last to one subscriber, if it is connected."""
        if role in self._streams:
            self._streams[role].post(m.SubscribeResponse(batch=self._pending))

    async def finished(self) -> None:
        """Wait until both have finished the last step."""
        number = self.number
        await until(
            lambda: all(self.acked.get(role, 0) >= number for role in SUBSCRIBERS), f"step {number}: {self.acked}"
        )

    def _events(self) -> list[m.MarketEvent]:
        levels = [(self.price - Decimal("0.5") - n, self.price + Decimal("0.5") + n) for n in range(20)]
        book = m.Book(
            snapshot=True,
            update_id=self.number,
            bids=[m.Level(price=str(bid), quantity="1") for bid, _ in levels],
            asks=[m.Level(price=str(ask), quantity="1") for _, ask in levels],
        )
        bid, ask = levels[0]
        quote = m.Quote(bid_price=str(bid), bid_quantity="1", ask_price=str(ask), ask_quantity="1")
        common: dict[str, Any] = {"symbol": PERP, "market_time_ns": self.now_ns}
        return [
            m.MarketEvent(sequence=next(self._sequence), book=book, **common),
            m.MarketEvent(sequence=next(self._sequence), quote=quote, **common),
        ]

    async def _serve(self, stream: ServerStream[m.SubscribeRequest, m.SubscribeResponse]) -> None:
        role = stream.peer.role
        async for request in stream:
            if request.HasField("subscription"):
                hello = m.MarketHello(
                    source="simulated",
                    label="SIMULATED MARKET",
                    lockstep=True,
                    step_ns=STEP_NS,
                    market_time_ns=self.now_ns,
                    instruments=[instrument_to_wire(one) for one in PAPER_INSTRUMENTS.values()],
                )
                stream.post(m.SubscribeResponse(hello=hello))
                self._streams[role] = stream
                if self._pending is not None:
                    # The state before the unfinished step, then the step again.
                    before = m.MarketBatch()
                    before.CopyFrom(self._pending)
                    before.step, before.snapshot = self._pending.step - 1, True
                    for event in before.events:
                        event.sequence = 0
                    stream.post(m.SubscribeResponse(batch=before))
                    if self.acked.get(role, 0) < self._pending.step:
                        stream.post(m.SubscribeResponse(batch=self._pending))
            else:
                self.acked[role] = max(self.acked.get(role, 0), request.ack.step)
        if self._streams.get(role) is stream:
            del self._streams[role]


class Brain:
    """Plays Brain: sends hello and heartbeats, answers markers; the test places orders."""

    def __init__(self, stack: Stack, policy_hash: str, term: int = 1, brain_id: str = "") -> None:
        self.policy_hash = policy_hash
        self.term = term
        self.brain_id = brain_id
        self.posture = c.POSTURE_ARMED
        self.account: e.AccountState | None = None
        self.received: list[e.PlaceResponse] = []
        self.decided = -1
        self.beating = True
        self.sent: dict[str, e.PlaceOrder] = {}
        self._last_marker: c.StepMarker | None = None
        self._heart: asyncio.Task[None] | None = None
        self._link: Link[e.PlaceRequest, e.PlaceResponse] = Link(
            RpcChannel(stack.client("brain"), "execution"),
            EXECUTION_PLACE,
            self._hello,
            self._receive,
            self._lost,
            get_logger("brain"),
        )

    async def start(self) -> None:
        self._link.start()
        self._heart = asyncio.get_running_loop().create_task(self._beat())

    async def stop(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
        await self._link.stop()

    def post(self, **fields: Any) -> None:
        """Send one message of the stream."""
        assert self._link.post(e.PlaceRequest(**fields)), "Brain is not connected"

    def heartbeat(self) -> e.PlaceRequest:
        return e.PlaceRequest(
            heartbeat=e.BrainHeartbeat(
                term=self.term, posture=b.PostureState(in_force=self.posture, ceiling=c.POSTURE_ARMED, reason="test")
            )
        )

    def order(self, intent_id: str, **fields: Any) -> e.PlaceOrder:
        """An opening market buy of 0.002 with stop and target, changed by ``fields``."""
        return e.PlaceOrder(
            **{
                "intent_id": intent_id,
                "phase_id": "scavenger",
                "attempt": 1,
                "position_effect": b.POSITION_EFFECT_OPENING,
                "symbol": PERP,
                "side": c.SIDE_BUY,
                "order_type": c.ORDER_TYPE_MARKET,
                "time_in_force": c.TIME_IN_FORCE_IOC,
                "quantity": "0.002",
                "stop_price": "59000",
                "target_price": "61000",
                "policy_hash": self.policy_hash,
                "term": self.term,
                "event_time_ns": START_NS,
                "decision": b.Decision(intent_id=intent_id, setup="trap", approved=True),
                **fields,
            }
        )

    def place(self, intent_id: str, **fields: Any) -> None:
        """Send an order now, and again on each reconnection until Execution has reported on it."""
        order = self.order(intent_id, **fields)
        self.sent[intent_id] = order
        if self.account is not None:
            self._link.post(e.PlaceRequest(order=order))

    def exit(self, intent_id: str, quantity: str = "0.002", **fields: Any) -> None:
        """A reducing market sell."""
        self.place(
            intent_id,
            **{
                "position_effect": b.POSITION_EFFECT_REDUCING,
                "side": c.SIDE_SELL,
                "quantity": quantity,
                "stop_price": "",
                "target_price": "",
                **fields,
            },
        )

    def stale_terms(self) -> list[e.StaleTerm]:
        return [message.stale_term for message in self.received if message.HasField("stale_term")]

    def digests(self) -> list[e.MirrorDigest]:
        return [message.digest for message in self.received if message.HasField("digest")]

    def refusals(self) -> list[e.PlaceRefusal]:
        return [message.refusal for message in self.received if message.HasField("refusal")]

    def fills(self) -> list[Any]:
        return [message.fill for message in self.received if message.HasField("fill")]

    def orders(self, intent_id: str = "") -> list[Any]:
        """Orders as reported, one entry a report."""
        reported = [message.order for message in self.received if message.HasField("order")]
        return [order for order in reported if intent_id in ("", order.intent_id)]

    async def refusal(self, intent_id: str) -> e.PlaceRefusal:
        """Wait for the refusal of an intent."""
        await until(lambda: any(r.intent_id == intent_id for r in self.refusals()), f"refusal of {intent_id}")
        return next(r for r in self.refusals() if r.intent_id == intent_id)

    def _hello(self) -> list[e.PlaceRequest]:
        self.account = None
        hello = e.BrainHello(
            term=self.term,
            policy_hash=self.policy_hash,
            brain_id=self.brain_id,
            unanswered_intent_ids=list(self.sent),
        )
        return [e.PlaceRequest(hello=hello), self.heartbeat()]

    def _receive(self, message: e.PlaceResponse) -> None:
        self.received.append(message)
        kind = message.WhichOneof("message")
        if kind in ("order", "fill", "refusal"):
            self.sent.pop(getattr(message, kind).intent_id, None)
        elif kind == "account":
            self.account = message.account
            for result in self.account.answered:
                self.sent.pop(result.intent_id, None)
            for refusal in self.account.refused:
                self.sent.pop(refusal.intent_id, None)
        elif kind == "stale_term":
            self._link.refused(0.05)
        if kind == "account":
            for request in self.sent.values():
                self._link.post(e.PlaceRequest(order=request))
            if self._last_marker is not None:
                self._link.post(e.PlaceRequest(marker=self._last_marker))
        if message.HasField("marker"):
            self._last_marker = message.marker
            self._link.post(e.PlaceRequest(marker=message.marker))

    def _lost(self, _reason: str) -> None:
        self.account = None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            if self.beating and self._link.connected:
                self._link.post(self.heartbeat())
