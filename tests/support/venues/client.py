"""Execution's side of the paper venue for tests: the real adapter, and every update it received."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from support.market.scripted_market import ScriptedMarket
from support.stack.local_processes import Stack
from support.venues.matching import PERP, D
from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.venue import SendOrder, VenueMarker
from titan.runtime.telemetry.logs import get_logger
from titan.venues.base import Venue, VenueUpdate
from titan.venues.paper import PaperVenue


class VenueClient:
    """Execution's side: the adapter, and the updates it received."""

    def __init__(self, stack: Stack) -> None:
        self.adapter = PaperVenue(stack.client("execution"), get_logger("execution"))
        self.venue: Venue = self.adapter
        self.updates: list[VenueUpdate] = []
        self.lost: list[str] = []
        self.marker: VenueMarker | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> VenueClient:
        self.venue.start(self._receive, self._greet, self._lose)
        await self.until(lambda: self.venue.connected)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.venue.stop()

    def _receive(self, update: VenueUpdate) -> None:
        self.updates.append(update)
        self._news.set()

    def _greet(self) -> None:
        if self.marker is not None:
            assert self.venue.send_marker(self.marker)
        self._news.set()

    def _lose(self, reason: str) -> None:
        self.lost.append(reason)
        self._news.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._news.clear()
                waiter = asyncio.ensure_future(self._news.wait())
                # No callback reports the connection after the greeting.
                await asyncio.wait([waiter], timeout=0.05)
                waiter.cancel()

    async def known(self, client_order_id: str) -> None:
        """Wait until the venue has the order: it reports nothing before the order has arrived in the market."""
        async with asyncio.timeout(60):
            while await self.venue.get_order(client_order_id) is None:
                pass

    def of(self, kind: type[Any], client_order_id: str = "") -> list[Any]:
        return [
            update
            for update in self.updates
            if isinstance(update, kind) and (not client_order_id or update.client_order_id == client_order_id)
        ]

    def send(
        self, client_order_id: str, market: ScriptedMarket, side: Side = Side.BUY, quantity: str = "0.1", **fields: Any
    ) -> None:
        request = SendOrder(
            client_order_id=client_order_id,
            symbol=PERP,
            side=side,
            type=fields.pop("type", OrderType.LIMIT if "limit_price" in fields else OrderType.MARKET),
            time_in_force=TimeInForce.GTC,
            quantity=D(quantity),
            market_time_ns=market.now_ns,
            signed_at_ns=time.time_ns(),
            receive_window_ms=5000,
            **fields,
        )
        assert self.venue.send_order(request)

    def mark(self, step: int, market: ScriptedMarket) -> None:
        self.marker = VenueMarker(step=step, market_time_ns=market.now_ns)
        assert self.venue.send_marker(self.marker)

    async def play(self, market: ScriptedMarket, *events: Any) -> None:
        """One step of lockstep, all the way."""
        step = market.publish(*events)
        await self.until(lambda: any(marker.step >= step for marker in self.of(VenueMarker)))
        self.mark(step, market)
        await asyncio.wait_for(market.acks.reached(step), 15)
