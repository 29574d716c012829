"""Execution by its composition root, with the real paper venue; the test plays the market and Brain over mTLS."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from support.stack import REPOSITORY, Stack, free_ports
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.policy_hash import read_policy
from titan.execution.app import ExecutionApp
from titan.execution.settings import ExecutionSettings
from titan.execution.trader import Trader
from titan.papervenue.app import PaperVenueApp
from titan.papervenue.settings import PaperVenueSettings
from titan.runtime.contract import EXECUTION_PLACE, MARKETDATA_SUBSCRIBE
from titan.runtime.link import Link
from titan.runtime.logs import get_logger
from titan.runtime.process import running
from titan.runtime.rpc import RpcChannel, RpcServer, ServerStream
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry import Metrics
from titan.runtime.wire_market import instrument_to_wire
from titan.storage.migrate import upgrade_async
from titan.v1 import brain_pb2 as b
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import market_pb2 as m
from titan.venues import wire as venue_wire

PERP = "BTC/USDT:USDT"
START_NS = 1_723_100_000_000_000_000
STEP_NS = 50_000_000
PATIENCE_S = 10.0
SUBSCRIBERS = ("papervenue", "execution")
POLICY = "demo"


async def until(condition: Callable[[], object], what: str | Callable[[], object]) -> None:
    """Wait for a state that comes by messages; fail with its name when it does not."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        said = what() if callable(what) else what
        raise AssertionError(f"waited {PATIENCE_S} s in vain: {said}") from None


def policy_document() -> bytes:
    """The rules of the demo policy, as a process mounts them."""
    import yaml

    rules = yaml.safe_load((REPOSITORY / "policies" / f"{POLICY}.yaml").read_text())["spec"]["rules"]
    return msgspec.json.encode(rules)


class Market:
    """Plays marketdata in lockstep to the venue and Execution; a step happens when the test says so."""

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

    async def step(self, price: int | None = None, count: int = 1) -> None:
        """Let ``count`` steps pass at a price, and wait until both have worked on them."""
        for _ in range(count):
            self.begin(price)
            await self.finished()

    def begin(self, price: int | None = None) -> None:
        """Send the next step, without waiting."""
        self.price = Decimal(price) if price is not None else self.price
        self.number += 1
        self.now_ns += STEP_NS
        self._pending = m.MarketBatch(
            step=self.number, market_time_ns=self.now_ns, events=self._events(), step_complete=True
        )
        for stream in self._streams.values():
            stream.post(m.SubscribeResponse(batch=self._pending))

    async def finished(self) -> None:
        """Wait until both have worked on the last step."""
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
                    # The state before the step that is not over, then the step again.
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
    """Plays Brain: says hello, beats, answers markers; the test places orders."""

    def __init__(self, stack: Stack, policy_hash: str, term: int = 1) -> None:
        self.policy_hash = policy_hash
        self.term = term
        self.posture = c.POSTURE_ARMED
        self.account: e.AccountState | None = None
        self.received: list[e.PlaceResponse] = []
        self.decided = -1
        self.beating = True
        self.sent: dict[str, e.PlaceOrder] = {}
        self._told: c.StepMarker | None = None
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
                "lane": b.LANE_OPENING,
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
        """Send an order now, and again on each reconnection until Execution has spoken of it."""
        order = self.order(intent_id, **fields)
        self.sent[intent_id] = order
        if self.account is not None:
            self._link.post(e.PlaceRequest(order=order))

    def exit(self, intent_id: str, quantity: str = "0.002", **fields: Any) -> None:
        """A reducing market sell."""
        self.place(
            intent_id,
            **{
                "lane": b.LANE_REDUCING,
                "side": c.SIDE_SELL,
                "quantity": quantity,
                "stop_price": "",
                "target_price": "",
                **fields,
            },
        )

    def refusals(self) -> list[e.PlaceRefusal]:
        return [message.refusal for message in self.received if message.HasField("refusal")]

    def fills(self) -> list[Any]:
        return [message.fill for message in self.received if message.HasField("fill")]

    def orders(self, intent_id: str = "") -> list[Any]:
        """Orders as told, one line a telling."""
        told = [message.order for message in self.received if message.HasField("order")]
        return [order for order in told if intent_id in ("", order.intent_id)]

    async def refusal(self, intent_id: str) -> e.PlaceRefusal:
        """Wait for the refusal of an intent."""
        await until(lambda: any(r.intent_id == intent_id for r in self.refusals()), f"refusal of {intent_id}")
        return next(r for r in self.refusals() if r.intent_id == intent_id)

    def _hello(self) -> list[e.PlaceRequest]:
        self.account = None
        hello = e.PlaceRequest(hello=e.BrainHello(term=self.term, policy_hash=self.policy_hash))
        return [hello, self.heartbeat()]

    def _receive(self, message: e.PlaceResponse) -> None:
        self.received.append(message)
        kind = message.WhichOneof("message")
        if kind in ("order", "fill", "refusal"):
            self.sent.pop(getattr(message, kind).intent_id, None)
        elif kind == "account":
            self.account = message.account
            for order in self.account.working:
                self.sent.pop(order.intent_id, None)
            for request in self.sent.values():
                self._link.post(e.PlaceRequest(order=request))
            if self._told is not None:
                self._link.post(e.PlaceRequest(marker=self._told))
        if message.HasField("marker"):
            self._told = message.marker
            self._link.post(e.PlaceRequest(marker=message.marker))

    def _lost(self, _reason: str) -> None:
        self.account = None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            if self.beating and self._link.connected:
                self._link.post(self.heartbeat())


class Scene:
    """The processes of one test."""

    def __init__(self, stack: Stack, market: Market, venue: PaperVenueApp, settings: ExecutionSettings) -> None:
        self.stack = stack
        self.market = market
        self.venue = venue
        self.settings = settings
        self.policy_hash = read_policy(Path(settings.policy_file).read_bytes()).hash
        self.brain = Brain(stack, self.policy_hash)
        self.app: ExecutionApp | None = None

    @property
    def trader(self) -> Trader:
        assert self.app is not None
        assert self.app.trader is not None
        return self.app.trader

    def venue_orders(self) -> dict[str, Any]:
        """All orders that the venue ever had, by its own records."""
        return dict(self.venue.venue.engine.state.orders)

    def venue_position(self) -> Decimal:
        positions = {each.symbol: each.quantity for each in self.venue.venue.account().positions}
        return positions.get(PERP, Decimal(0))

    def venue_working(self) -> list[Any]:
        return self.venue.venue.engine.open_orders()

    async def arm(self) -> None:
        """Arm Execution's latch by an act of Brain."""
        self.brain.post(
            act=e.PostureAct(
                posture=c.POSTURE_ARMED, by="test", reason="test", nonce="n1", term=self.brain.term, act_id=1
            )
        )
        await until(lambda: any(each.act.act_id == 1 for each in self.brain.received), "act answered")
        answer = next(each.act for each in self.brain.received if each.act.act_id == 1)
        assert answer.done, answer

    async def ready(self) -> None:
        await until(lambda: self.brain.account is not None, "Brain is told the account")

    async def restart_venue_stream(self) -> None:
        """Break Execution's stream to the venue, and wait until it is back and nothing is in doubt."""
        link = self.trader.venue._link
        assert link is not None
        assert link._stream is not None
        settled = self.trader.reconciler.settled
        settled.clear()
        link._on_message = lambda message: self.trader.desk.on_update(venue_wire.update_from_wire(message))
        link._stream.close()
        await until(lambda: link.connected and settled.is_set(), "the venue's stream is back")

    async def move_execution(self) -> None:
        """Execution will serve at other ports, and Brain looks for it there, with what it has not been answered."""
        grpc_port, http_port = free_ports(2)
        self.settings = msgspec.structs.replace(self.settings, grpc_port=grpc_port, http_port=http_port)
        before = self.brain
        await before.stop()
        self.stack.grpc_ports["execution"] = grpc_port
        self.brain = Brain(self.stack, self.policy_hash)
        self.brain.sent, self.brain._told = before.sent, before._told
        await self.brain.start()

    def answered(self, act_id: int) -> bool:
        """Whether Brain has been answered an act."""
        return any(message.HasField("act") and message.act.act_id == act_id for message in self.brain.received)

    def check_equal(self) -> None:
        """Our account is the venue's, by the venue's own records."""
        book = self.trader.books.book
        account = self.venue.venue.account()
        ours = book.holdings[PERP].quantity if PERP in book.holdings else Decimal(0)
        assert ours == self.venue_position()
        assert book.ledger.balanced
        assert abs(book.ledger.assets()["USDT"] - account.balances["USDT"]) < Decimal("0.000001")
        working = {order.client_order_id for order in book.working.values()}
        assert working == {order.client_order_id for order in self.venue_working()}
        filled = {o.client_order_id: o.filled_quantity for o in self.venue_orders().values() if o.filled_quantity}
        assert filled == {o.client_order_id: o.filled_quantity for o in book.orders.values() if o.filled_quantity}


def execution_settings(stack: Stack, **fields: Any) -> ExecutionSettings:
    """Settings with times short enough for a test."""
    policy = stack.folder("execution").parent / "policy.json"
    if not policy.exists():
        policy.write_bytes(policy_document())
    return stack.settings(
        ExecutionSettings,
        "execution",
        **{
            "policy_file": str(policy),
            "receive_window_ms": 200,
            "clock_skew_ms": 50,
            "lease_s": 3.0,
            **fields,
        },
    )


@asynccontextmanager
async def scene(
    stack: Stack, armed: bool = True, connect: bool = True, app: bool = True, **fields: Any
) -> AsyncIterator[Scene]:
    """A market, the real venue, Execution and a Brain; three steps have passed, so that there are prices.

    ``app`` False leaves Execution to the test, and with it the connection of Brain and the first steps.
    """
    settings = execution_settings(stack, **fields)
    await upgrade_async(stack.database("execution"), "execution")
    market = Market(stack)
    async with AsyncExitStack() as closing:
        await market.server.start()
        closing.push_async_callback(market.server.stop, 0.0)
        venue = PaperVenueApp(stack.settings(PaperVenueSettings, "papervenue"))
        await closing.enter_async_context(running(venue))
        made = Scene(stack, market, venue, settings)
        if app:
            made.app = ExecutionApp(settings)
            await closing.enter_async_context(running(made.app))
        if connect and app:
            await made.brain.start()
            closing.push_async_callback(made.brain.stop)
            await made.ready()
            await market.step(count=3)
            if armed:
                await made.arm()
        yield made
