"""The paper venue by its composition root, over mTLS, with a market that the test writes and Execution's adapter."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.durable.full_disk import full_disk
from support.market.scripted_market import ScriptedMarket
from support.stack.local_processes import Stack
from support.venues.client import VenueClient
from support.venues.matching import PERP, D
from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.reasons import Reason
from titan.domain.venue import (
    AmendOrder,
    CancelOrder,
    RequestKind,
    SendOrder,
    VenueHeartbeat,
    VenueMarker,
    VenueOrder,
    VenueOrderState,
    VenueReject,
    VenueTrade,
)
from titan.marketdata.app import MarketDataApp
from titan.marketdata.settings import MarketDataSettings
from titan.matching.state import VenueDelta
from titan.papervenue.app import PaperVenueApp
from titan.papervenue.settings import PaperVenueSettings
from titan.papervenue.store import FILE_NAME
from titan.runtime.process import StartError, running
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import PAPERVENUE_TRADE
from titan.runtime.telemetry.logs import get_logger
from titan.v1 import venue_pb2
from titan.venues.base import VenueUnavailableError
from titan.venues.paper import PaperVenue

BOOK = ("60000x1 59999x2", "60001x1 60002x2")


def settings_of(stack: Stack, **fields: Any) -> PaperVenueSettings:
    return stack.settings(PaperVenueSettings, "papervenue", initial_balance="10000", **fields)


@asynccontextmanager
async def a_venue(
    stack: Stack, lockstep: bool = True
) -> AsyncIterator[tuple[PaperVenueApp, ScriptedMarket, VenueClient]]:
    app = PaperVenueApp(settings_of(stack))
    async with ScriptedMarket(stack, lockstep) as market, running(app), VenueClient(stack) as client:
        await asyncio.wait_for(market.subscribed.wait(), 15)
        yield app, market, client


async def test_an_order_from_the_stream_to_the_fill_and_every_question(stack: Stack) -> None:
    async with a_venue(stack) as (app, market, client):
        await client.play(market, market.book(*BOOK))
        written: list[str] = []
        client.adapter.before_write = written.append
        client.send("a", market, quantity="2")
        client.send("rest", market, limit_price=D(59000))
        await client.until(lambda: app.venue.engine.order("rest"))
        pending = await client.venue.get_order("a")
        assert pending is not None
        assert pending.state is VenueOrderState.PENDING
        assert written == ["a", "rest"]
        assert client.adapter.requests_written == 2
        client.updates.clear()
        await client.play(market)
        updates = [type(update).__name__ for update in client.updates if not isinstance(update, VenueHeartbeat)]
        assert updates == ["VenueTrade", "VenueTrade", "VenueOrder", "VenueOrder", "VenueMarker"]
        order = await client.venue.get_order("a")
        assert order == client.of(VenueOrder, "a")[0]
        assert (order.state, order.filled_quantity, order.average_price) == (
            VenueOrderState.FILLED,
            2,
            D("60001.5"),
        )
        assert await client.venue.get_trades(0, 10) == tuple(client.of(VenueTrade))
        assert [trade.sequence for trade in await client.venue.get_trades(1, 10)] == [2]
        assert [each.client_order_id for each in await client.venue.get_open_orders()] == ["rest"]
        account = await client.venue.get_account()
        assert account.balances == {"USDT": 10000 - sum(trade.fee for trade in client.of(VenueTrade))}
        assert [(each.symbol, each.quantity) for each in account.positions] == [(PERP, 2)]
        assert (account.deposits, account.last_trade_sequence, account.market_time_ns) == (10000, 2, market.now_ns)
        assert await client.venue.get_order("nobody") is None
        assert app.not_ready() == []
        assert app.status()["positions"] == {PERP: "2"}


async def test_cancel_and_amend_and_their_rejects(stack: Stack) -> None:
    async with a_venue(stack) as (app, market, client):
        await client.play(market, market.book(*BOOK))
        client.send("a", market, limit_price=D(59000))
        await client.until(lambda: app.venue.engine.order("a"))
        await client.play(market)
        signed = {"market_time_ns": market.now_ns, "signed_at_ns": time.time_ns(), "receive_window_ms": 5000}
        amend = AmendOrder(client_order_id="a", limit_price=D(59100), **signed)
        assert client.venue.amend_order(amend)
        assert client.venue.cancel_order(CancelOrder(client_order_id="nobody", **signed))
        await client.until(lambda: len(app.venue.engine.state.pending) == 2)
        await client.play(market)
        assert client.of(VenueOrder, "a")[-1].limit_price == 59100
        (reject,) = client.of(VenueReject)
        assert (reject.request, reject.reason, reject.client_order_id) == (
            RequestKind.CANCEL,
            Reason.UNKNOWN_ORDER,
            "nobody",
        )
        assert client.venue.cancel_order(CancelOrder(client_order_id="a", **signed))
        await client.until(lambda: len(app.venue.engine.state.pending) == 1)
        await client.play(market)
        assert client.of(VenueOrder, "a")[-1].state is VenueOrderState.CANCELED


async def test_in_lockstep_a_step_is_over_when_executions_marker_has_come(stack: Stack) -> None:
    async with a_venue(stack) as (_app, market, client):
        step = market.publish(market.book(*BOOK))
        await client.until(lambda: client.of(VenueMarker))
        assert market.acks.value < step, "not before Execution has said what it sends"
        client.mark(step, market)
        await asyncio.wait_for(market.acks.reached(step), 15)


async def test_in_real_time_nobody_waits_for_a_marker(stack: Stack) -> None:
    async with a_venue(stack, lockstep=False) as (_app, market, client):
        step = market.publish(market.book(*BOOK))
        await asyncio.wait_for(market.acks.reached(step), 15)
        await client.until(lambda: client.of(VenueMarker))


async def test_a_new_stream_gets_the_last_marker_and_asks_for_what_it_missed(stack: Stack) -> None:
    async with a_venue(stack) as (app, market, client):
        await client.play(market, market.book(*BOOK))
        client.send("a", market)
        await client.until(lambda: app.venue.engine.order("a"))
        await client.venue.stop()
        step = market.publish(market.trade("buy", "1", "60001"))
        async with VenueClient(stack) as successor:
            await successor.until(lambda: successor.of(VenueMarker))
            order = await successor.venue.get_order("a")
            assert order is not None
            assert order.state is VenueOrderState.FILLED
            assert len(await successor.venue.get_trades(0, 10)) == 1
            await successor.until(lambda: successor.of(VenueMarker)[-1].step == step)
            successor.mark(step, market)
            await asyncio.wait_for(market.acks.reached(step), 15)
        await client.venue.stop()


async def test_the_private_stream_has_a_heartbeat(stack: Stack) -> None:
    async with a_venue(stack) as (_app, _market, client):
        await client.until(lambda: client.of(VenueHeartbeat))
        heartbeat = client.of(VenueHeartbeat)[0]
        assert abs(heartbeat.wall_time_ns - time.time_ns()) < 5_000_000_000


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"signed_at_ns": 1}, Reason.RECEIVE_WINDOW, "RECEIVE_WINDOW: age_ms="),
        ({"quantity": "1.50"}, Reason.INVALID_INTENT, "send.quantity: '1.50' is not a canonical decimal"),
        ({"quantity": "NaN"}, Reason.INVALID_INTENT, "send.quantity: 'NaN' is not a canonical decimal"),
        ({"quantity": "-1"}, Reason.INVALID_INTENT, "quantity: -1 is not allowed"),
        ({"side": 0}, Reason.INVALID_INTENT, "send.side: 0 is not known; allowed are BUY, SELL"),
        (
            {"type": 9},
            Reason.INVALID_INTENT,
            "send.type: 9 is not known; allowed are MARKET, LIMIT, STOP_MARKET, TAKE_PROFIT_MARKET",
        ),
        ({"client_order_id": "a b"}, Reason.INVALID_INTENT, "client_order_id: 'a b' is not allowed"),
    ],
)
async def test_what_is_refused_at_once(stack: Stack, fields: dict[str, Any], reason: Reason, message: str) -> None:
    app = PaperVenueApp(settings_of(stack))
    async with running(app):
        channel = RpcChannel(stack.client("execution"), "papervenue")
        stream = channel.open(PAPERVENUE_TRADE)
        stream.post(venue_pb2.TradeRequest())  # without content; ignored
        send: dict[str, Any] = {
            "client_order_id": "a",
            "symbol": PERP,
            "side": 1,
            "type": 1,
            "time_in_force": 1,
            "quantity": "1",
            "signed_at_ns": time.time_ns(),
            "receive_window_ms": 5000,
        }
        stream.post(venue_pb2.TradeRequest(send=venue_pb2.VenueSend(**{**send, **fields})))
        async with asyncio.timeout(60):
            async for response in stream:
                if response.HasField("reject"):
                    break
        assert (response.reject.reason, response.reject.request) == (reason, "send")
        assert response.reject.message.startswith(message)
        assert app.venue.engine.state.pending == {}
        exposition = app.metrics.exposition().decode()
        assert f'titan_venue_rejects_total{{reason="{reason.name}"}} 1.0' in exposition
        stream.close()
        await channel.close()


async def test_a_full_disk_refuses_requests_and_shows_in_readiness(stack: Stack) -> None:
    async with a_venue(stack) as (app, market, client):
        await client.play(market, market.book(*BOOK))
        for _ in range(4000):
            # Longer than what pytest captures of the log: that has to go on.
            app._store.append(VenueDelta(last_sequence=market.sequence, market_time_ns=market.now_ns))
        with full_disk(Path(app.settings.state_dir) / FILE_NAME):
            client.send("a", market)
            await client.until(lambda: client.of(VenueReject))
            assert "cannot be written: File too large" in app.not_ready()[0]
        (reject,) = client.of(VenueReject)
        assert (reject.reason, reject.request) == (Reason.VENUE_ERROR, RequestKind.SEND)
        await client.play(market)
        assert await client.venue.get_order("a") is None
        await client.until(lambda: app.not_ready() == [])


async def test_without_a_market_it_is_not_ready_and_names_the_cause(stack: Stack) -> None:
    app = PaperVenueApp(settings_of(stack))
    async with running(app):
        assert app.not_ready() == ["the market feed is not connected"]


async def test_a_venue_that_is_away_is_unknown_not_absent(stack: Stack) -> None:
    adapter = PaperVenue(stack.client("execution"), get_logger("execution"))
    assert not adapter.connected
    assert not adapter.send_marker(VenueMarker(step=1, market_time_ns=0))
    assert not adapter.cancel_order(
        CancelOrder(client_order_id="a", market_time_ns=0, signed_at_ns=0, receive_window_ms=0)
    )
    assert adapter.requests_written == 0
    with pytest.raises(VenueUnavailableError, match=r"PaperVenue.GetVenueOrder got no answer"):
        await adapter.get_order("a")
    await adapter.stop()


async def test_the_state_of_another_market_is_refused(stack: Stack) -> None:
    async with a_venue(stack) as (app, market, client):
        client.send("a", market)
        await client.until(lambda: app.venue.engine.order("a"))
        await client.play(market, *[market.book(*BOOK) for _ in range(5)])
    second = PaperVenueApp(settings_of(stack))
    async with ScriptedMarket(stack) as other, running(second), VenueClient(stack):
        failed = asyncio.ensure_future(second.failed())
        await asyncio.wait_for(other.subscribed.wait(), 15)
        other.publish(other.book(*BOOK))
        assert "the state directory belongs to another market" in await asyncio.wait_for(failed, 15)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"initial_balance": "0"}, "initial_balance: 0 is not allowed"),
        ({"state_dir": "/proc/self"}, "state_dir: '/proc/self' cannot be written"),
    ],
)
def test_it_does_not_start_on_bad_input(stack: Stack, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StartError) as error:
        PaperVenueApp(stack.settings(PaperVenueSettings, "papervenue", **fields))
    assert str(error.value).startswith(message)


async def test_it_follows_the_simulated_market(stack: Stack) -> None:
    source = MarketDataApp(
        stack.settings(
            MarketDataSettings, "marketdata", speed="max", duration_s=2, required_subscribers=("papervenue",)
        )
    )
    app = PaperVenueApp(settings_of(stack))
    async with running(source), running(app), VenueClient(stack) as client:
        sent = False
        async with asyncio.timeout(60):
            while not app.feed.ended:
                await client.until(lambda: client.of(VenueMarker))
                marker = client.of(VenueMarker)[-1]
                if marker.step > 10 and not sent:
                    sent = client.venue.send_order(
                        SendOrder(
                            client_order_id="a",
                            symbol=PERP,
                            side=Side.BUY,
                            type=OrderType.MARKET,
                            time_in_force=TimeInForce.GTC,
                            quantity=D("0.01"),
                            market_time_ns=marker.market_time_ns,
                            signed_at_ns=time.time_ns(),
                            receive_window_ms=5000,
                        )
                    )
                client.venue.send_marker(marker)
                await asyncio.sleep(0.001)
        assert client.of(VenueOrder, "a")[-1].state is VenueOrderState.FILLED
        assert app.status()["trades"] == len(client.of(VenueTrade)) > 0


class Process:
    """The venue as a process of its own, to be killed."""

    def __init__(self, stack: Stack) -> None:
        environment = stack.environment(settings_of(stack))
        command = [sys.executable, "-m", "titan.papervenue.app"]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


async def test_kill_minus_9_neither_matches_twice_nor_loses_an_answer(stack: Stack) -> None:
    process = Process(stack)
    try:
        async with ScriptedMarket(stack) as market, VenueClient(stack) as client:
            await asyncio.wait_for(market.subscribed.wait(), 15)
            await client.play(market, market.book(*BOOK))
            client.send("taker", market, quantity="1.5")
            client.send("maker", market, quantity="1", limit_price=D(60000))
            await client.known("maker")
            step = market.publish()
            await client.until(lambda: client.of(VenueOrder, "maker"))
            client.mark(step, market)
            await asyncio.wait_for(market.acks.reached(step), 15)
            # 1 was ahead of us; 0.4 of our 1 are filled in this step, which is not over when the venue dies.
            step = market.publish(market.trade("sell", "0.7", "60000"), market.trade("sell", "0.7", "60000"))
            await client.until(lambda: len(client.of(VenueTrade, "maker")) == 1)
            client.send("late", market, quantity="0.2", limit_price=D(59000))
            await client.known("late")
            before = (
                await client.venue.get_trades(0, 100),
                await client.venue.get_open_orders(),
                (await client.venue.get_account()).balances,
                (await client.venue.get_account()).positions,
            )
            process.kill()
            await client.until(lambda: client.lost)
            market.subscribed.clear()
            process = Process(stack)
            await asyncio.wait_for(market.subscribed.wait(), 15)
            await client.until(lambda: client.venue.connected)
            count = len(client.of(VenueMarker))
            await client.until(lambda: len(client.of(VenueMarker)) > count)
            after = (
                await client.venue.get_trades(0, 100),
                await client.venue.get_open_orders(),
                (await client.venue.get_account()).balances,
                (await client.venue.get_account()).positions,
            )
            assert after == before
            assert [str(trade.quantity) for trade in before[0]] == ["1", "0.5", "0.4"]
            client.mark(step, market)
            await asyncio.wait_for(market.acks.reached(step), 15)
            # The queue is as it was: all of the next trade is ours.
            await client.play(market, market.trade("sell", "0.3", "60000"))
            assert [str(trade.quantity) for trade in await client.venue.get_trades(3, 100)] == ["0.3"]
    finally:
        process.kill()


async def test_a_quiet_venue_follows_an_execution_that_did_not_wait_for_it(stack: Stack) -> None:
    async with a_venue(stack) as (_, market, client):
        await client.play(market, market.book(*BOOK))
        client.updates.clear()
        first = market.publish(market.book(*BOOK))
        await client.until(lambda: client.of(VenueMarker))
        rest = [market.publish(market.book(*BOOK)) for _ in range(3)]
        client.send("a", market)
        client.mark(rest[1], market)
        await client.until(lambda: len(client.of(VenueMarker)) == 2)
        assert [(marker.step, marker.quiet) for marker in client.of(VenueMarker)] == [(first, True), (rest[2], False)]
        client.mark(rest[2], market)
        await client.play(market, market.book(*BOOK))
        await client.play(market, market.book(*BOOK))
        assert client.of(VenueMarker)[-1].quiet, "the order is filled"
