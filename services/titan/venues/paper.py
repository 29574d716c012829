"""The paper venue as Execution sees it: a link to the papervenue process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from titan.domain.venue import OrderRequest
from titan.domain.venue_errors import VenueErrors
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import (
    PAPERVENUE_GET_ACCOUNT,
    PAPERVENUE_GET_VENUE_ORDER,
    PAPERVENUE_LIST_OPEN_ORDERS,
    PAPERVENUE_LIST_VENUE_TRADES,
    PAPERVENUE_TRADE,
    Method,
)
from titan.runtime.rpc.errors import RpcError
from titan.runtime.rpc.link import Link
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import Log
from titan.v1 import common_pb2
from titan.v1 import venue_pb2 as pb
from titan.venues.base import (
    AmendOrder,
    CancelOrder,
    SendOrder,
    VenueAccount,
    VenueMarker,
    VenueOrder,
    VenueTrade,
    VenueUnavailableError,
    VenueUpdate,
)
from titan.wire import venue as wire

_Req = TypeVar("_Req", bound=Message)
_Resp = TypeVar("_Resp", bound=Message)


class PaperVenue:
    """The paper venue over gRPC; a :class:`titan.venues.base.Venue`.

    Orders and queries have a connection each, so that a long answer never delays an order.

    ``before_write``, where set, is called with the client order id when the write to the venue process begins. A
    benchmark measures the order path up to there. ``requests_written`` counts these writes.
    """

    name = "paper"

    def __init__(self, settings: ProcessSettings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._queries = RpcChannel(settings, "papervenue")
        self._link: Link[pb.TradeRequest, pb.TradeResponse] | None = None
        # Messages posted while a new stream is greeted; the link sends them first.
        self._greeting: list[pb.TradeRequest] | None = None
        self.errors = VenueErrors()
        self.before_write: Callable[[str], None] | None = None
        self.requests_written = 0

    @property
    def connected(self) -> bool:
        """Whether the private stream is up."""
        return self._greeting is not None or (self._link is not None and self._link.connected)

    @property
    def failure(self) -> BaseException | None:
        """The defect in a handler that ended the private stream for good, if one did."""
        return self._link.failure if self._link is not None else None

    def start(
        self,
        on_update: Callable[[VenueUpdate], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """Open the private stream and keep it open; see :meth:`titan.venues.base.Venue.start`."""

        def greet() -> list[pb.TradeRequest]:
            greeting: list[pb.TradeRequest] = []
            self._greeting = greeting
            try:
                on_connected()
            finally:
                self._greeting = None
            return greeting

        self._link = Link(
            RpcChannel(self._settings, "papervenue"),
            PAPERVENUE_TRADE,
            on_connect=greet,
            on_message=lambda message: on_update(wire.update_from_wire(message)),
            on_lost=on_lost,
            log=self._log,
        )
        self._link.start()

    async def stop(self) -> None:
        """Close both connections."""
        if self._link is not None:
            await self._link.stop()
        await self._queries.close()

    def send_order(self, request: SendOrder) -> bool:
        """Post one order; False when the stream is down."""
        return self._request(request)

    def cancel_order(self, request: CancelOrder) -> bool:
        """Post a cancel; False when the stream is down."""
        return self._request(request)

    def amend_order(self, request: AmendOrder) -> bool:
        """Post an amend; False when the stream is down."""
        return self._request(request)

    def send_marker(self, marker: VenueMarker) -> bool:
        """Post a marker; False when the stream is down."""
        message = common_pb2.StepMarker(step=marker.step, market_time_ns=marker.market_time_ns)
        return self._post(pb.TradeRequest(marker=message))

    async def get_order(self, client_order_id: str) -> VenueOrder | None:
        """Return one order, or None where the venue has none of this id."""
        request = pb.GetVenueOrderRequest(client_order_id=client_order_id)
        response = await self._call(PAPERVENUE_GET_VENUE_ORDER, request)
        return wire.order_from_wire(response.order) if response.found else None

    async def get_open_orders(self) -> tuple[VenueOrder, ...]:
        """Return the orders that are not final, oldest first."""
        response = await self._call(PAPERVENUE_LIST_OPEN_ORDERS, pb.ListOpenOrdersRequest())
        return tuple(wire.order_from_wire(order) for order in response.orders)

    async def get_trades(self, after_sequence: int, limit: int) -> tuple[VenueTrade, ...]:
        """Return trades with a greater sequence, oldest first, at most ``limit``."""
        request = pb.ListVenueTradesRequest(after_sequence=after_sequence, limit=limit)
        response = await self._call(PAPERVENUE_LIST_VENUE_TRADES, request)
        return tuple(wire.trade_from_wire(trade) for trade in response.trades)

    async def get_account(self) -> VenueAccount:
        """Return balances and positions of one moment."""
        return wire.account_from_wire(await self._call(PAPERVENUE_GET_ACCOUNT, pb.GetAccountRequest()))

    def _request(self, request: OrderRequest) -> bool:
        self.errors.add_call(time.monotonic_ns(), failed=not self.connected)
        if not self.connected:
            return False
        message = wire.request_to_wire(request)
        self.requests_written += 1
        if self.before_write is not None:
            self.before_write(request.client_order_id)
        return self._post(message)

    def _post(self, message: pb.TradeRequest) -> bool:
        if self._greeting is not None:
            self._greeting.append(message)
            return True
        return self._link is not None and self._link.post(message)

    async def _call(self, method: Method[_Req, _Resp], request: _Req) -> _Resp:
        try:
            answer = await self._queries.call(method, request)
        except RpcError as error:
            self.errors.add_call(time.monotonic_ns(), failed=True)
            raise VenueUnavailableError(f"paper venue: {method.label} got no answer: {error}") from error
        self.errors.add_call(time.monotonic_ns(), failed=False)
        return answer
