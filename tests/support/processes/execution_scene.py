"""Execution by its composition root, with the real paper venue; the test plays the market and Brain over mTLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from testcluster.ports import free_ports

from support.processes.execution_neighbors import PERP, Brain, Market
from support.processes.waiting import until
from support.stack.local_processes import REPOSITORY, Stack
from titan.domain.policy_hash import read_policy
from titan.execution.app import ExecutionApp
from titan.execution.session import TradingSession
from titan.execution.settings import ExecutionSettings
from titan.papervenue.app import PaperVenueApp
from titan.papervenue.settings import PaperVenueSettings
from titan.runtime.process import running
from titan.storage.migrate import upgrade_async
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.wire import venue as venue_wire

POLICY = "demo"


def policy_document() -> bytes:
    """The rules of the demo policy, as a process mounts them."""
    import yaml

    rules = yaml.safe_load((REPOSITORY / "policies" / f"{POLICY}.yaml").read_text())["spec"]["rules"]
    return msgspec.json.encode(rules)


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
    def session(self) -> TradingSession:
        assert self.app is not None
        assert self.app.session is not None
        return self.app.session

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
        await until(lambda: self.brain.account is not None, "Brain has the account")

    async def restart_venue_stream(self) -> None:
        """Break Execution's stream to the venue, and wait until it is back and nothing is in doubt."""
        link = self.session.venue._link
        assert link is not None
        assert link._stream is not None
        settled = self.session.reconciler.settled
        settled.clear()
        link._on_message = lambda message: self.session.venue_updates.receive(venue_wire.update_from_wire(message))
        link._stream.close()
        await until(lambda: link.connected and settled.is_set(), "the venue's stream is back")

    async def move_execution(self) -> None:
        """Move Execution to other ports, and let Brain connect there with its unanswered orders."""
        grpc_port, http_port = free_ports(2)
        self.settings = msgspec.structs.replace(self.settings, grpc_port=grpc_port, http_port=http_port)
        before = self.brain
        await before.stop()
        self.stack.grpc_ports["execution"] = grpc_port
        self.brain = Brain(self.stack, self.policy_hash)
        self.brain.sent, self.brain._last_marker = before.sent, before._last_marker
        await self.brain.start()

    def answered(self, act_id: int) -> bool:
        """Whether Brain has received the answer to an act."""
        return any(message.HasField("act") and message.act.act_id == act_id for message in self.brain.received)

    def check_equal(self) -> None:
        """Check that our account equals the venue's own records."""
        account = self.session.store.account
        venue_account = self.venue.venue.account()
        ours = account.holdings[PERP].quantity if PERP in account.holdings else Decimal(0)
        assert ours == self.venue_position()
        assert account.ledger.balanced
        assert abs(account.ledger.assets()["USDT"] - venue_account.balances["USDT"]) < Decimal("0.000001")
        working = {order.client_order_id for order in account.working.values()}
        assert working == {order.client_order_id for order in self.venue_working()}
        filled = {o.client_order_id: o.filled_quantity for o in self.venue_orders().values() if o.filled_quantity}
        assert filled == {o.client_order_id: o.filled_quantity for o in account.orders.values() if o.filled_quantity}


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
