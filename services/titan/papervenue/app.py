"""Composition root of the paper venue: market data and Execution's requests in, the venue's updates out."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.numbers import format_decimal
from titan.domain.reasons import Reason
from titan.domain.venue import (
    RequestKind,
    VenueHeartbeat,
    VenueMarker,
    VenueOrderState,
    VenueReject,
    VenueTrade,
)
from titan.papervenue.settings import PaperVenueSettings
from titan.papervenue.store import StoreError, VenueStore
from titan.papervenue.venue import CURRENCY, RecordedVenue, first_state
from titan.runtime.market_feed import MarketFeed
from titan.runtime.process import ServiceApp, StartError, run
from titan.runtime.rpc.contract import (
    PAPERVENUE_GET_ACCOUNT,
    PAPERVENUE_GET_VENUE_ORDER,
    PAPERVENUE_LIST_OPEN_ORDERS,
    PAPERVENUE_LIST_VENUE_TRADES,
    PAPERVENUE_TRADE,
    PAPERVENUE_TRANSFER,
)
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import Peer, RpcServer, ServerStream
from titan.runtime.watermark import Watermark
from titan.v1 import market_pb2, venue_pb2
from titan.wire import venue as wire
from titan.wire.market import event_from_wire, instrument_from_wire

TradeStream = ServerStream[venue_pb2.TradeRequest, venue_pb2.TradeResponse]

_HEARTBEAT_S = 1.0
_TRADES_DEFAULT, _TRADES_MOST = 1_000, 10_000


class PaperVenueApp(ServiceApp[PaperVenueSettings]):
    """The process. Only Execution trades here; people may query it, and transfer play money."""

    SETTINGS = PaperVenueSettings

    def __init__(self, settings: PaperVenueSettings) -> None:
        super().__init__(settings)
        balance, leverage = settings.check()
        try:
            self._store = VenueStore(Path(settings.state_dir), first_state(balance))
        except StoreError as error:
            raise StartError(str(error)) from error
        self.venue = RecordedVenue(
            self._store, PAPER_INSTRUMENTS, settings.latency_ns, leverage, time.time_ns, self.log
        )
        self.execution_marker = Watermark()
        self._last_marker: VenueMarker | None = None
        self._repeated_ns = 0
        self._streams: set[TradeStream] = set()
        self._heart: asyncio.Task[None] | None = None
        self.server = RpcServer(settings, self.metrics, self.log)
        self.server.stream(PAPERVENUE_TRADE, self._trade)
        self.server.unary(PAPERVENUE_GET_VENUE_ORDER, self._get_order)
        self.server.unary(PAPERVENUE_LIST_OPEN_ORDERS, self._list_open_orders)
        self.server.unary(PAPERVENUE_LIST_VENUE_TRADES, self._list_trades)
        self.server.unary(PAPERVENUE_GET_ACCOUNT, self._get_account)
        self.server.unary(PAPERVENUE_TRANSFER, self._transfer)
        self.feed = MarketFeed(
            settings,
            (market_pb2.CHANNEL_QUOTES, market_pb2.CHANNEL_TRADES, market_pb2.CHANNEL_BOOK),
            self._on_hello,
            self._on_batch,
            self.metrics,
            self.log,
        )
        self._requests = self.metrics.counter("titan_venue_requests", "Requests received, by kind.", ["kind"])
        self._rejects = self.metrics.counter("titan_venue_rejects", "Requests refused, by reason.", ["reason"])
        self._trades = self.metrics.counter("titan_venue_trades", "Executions of our orders.")
        state = self.venue.engine.state
        size = self.metrics.gauge("titan_venue_state_file_bytes", "Length of the venue's own file.")
        size.set_function(lambda: self._store.size_bytes)
        cash = self.metrics.gauge("titan_venue_cash_usdt", "Realized cash of the account.")
        cash.set_function(lambda: float(state.balances[CURRENCY]))

    async def start(self) -> None:
        """Serve, then follow the market."""
        await self.server.start()
        self.feed.start()
        self._heart = asyncio.get_running_loop().create_task(self._beat(), name="venue heartbeat")

    async def stop(self) -> None:
        """Unsubscribe from the market, flush the sent updates, then close the file."""
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.wait([self._heart])
        await self.feed.stop()
        for stream in list(self._streams):
            await stream.flush()
        await self.server.stop()
        self._store.close()

    def not_ready(self) -> list[str]:
        """Return the reasons for which it cannot trade."""
        reasons = []
        if not self.feed.connected:
            reasons.append("the market feed is not connected")
        if self.venue.problem:
            reasons.append(self.venue.problem)
        return reasons

    def status(self) -> dict[str, object]:
        """Account, open orders, market and file."""
        account, engine = self.venue.account(), self.venue.engine
        return {
            "market": {
                "label": self.feed.label or None,
                "connected": self.feed.connected,
                "lockstep": self.feed.lockstep,
                "step": self.feed.last_step,
                "market_time_ns": account.market_time_ns or None,
                "ended": self.feed.ended,
            },
            "execution": {"streams": len(self._streams), "marker": self.execution_marker.value},
            "balances": {asset: format_decimal(total) for asset, total in account.balances.items()},
            "deposits": format_decimal(account.deposits),
            "positions": {each.symbol: format_decimal(each.quantity) for each in account.positions},
            "open_orders": len(engine.open_orders()),
            "trades": account.last_trade_sequence,
            "state_file": {"size_bytes": self._store.size_bytes, "problem": self.venue.problem or None},
        }

    # --- the market --------------------------------------------------------------------------------------------------

    def _on_hello(self, hello: market_pb2.MarketHello) -> None:
        # Steps that were not over when this process ended are sent again, and events that were matched are known.
        self._repeated_ns = hello.steps_ahead * hello.step_ns
        self.venue.engine.list_instruments({each.symbol: instrument_from_wire(each) for each in hello.instruments})

    async def _on_batch(self, batch: market_pb2.MarketBatch) -> None:
        try:
            await self._work_on(batch)
        except Exception as error:
            self.fail(f"step {batch.step} could not be worked on: {error}")
            raise
        if batch.snapshot or not batch.step_complete:
            return
        marker = self._last_marker = VenueMarker(
            step=batch.step, market_time_ns=batch.market_time_ns, quiet=self.venue.engine.quiet
        )
        if self.feed.lockstep and self.execution_marker.value >= batch.step:
            # Execution did not wait for this step: we were quiet.
            return
        self._post_all(wire.update_to_wire(marker))
        if self.feed.lockstep:
            await self.execution_marker.reached(batch.step)

    async def _work_on(self, batch: market_pb2.MarketBatch) -> None:
        events = [event_from_wire(event) for event in batch.events]
        if batch.snapshot:
            for event in events:
                self.venue.engine.on_snapshot(event)
            return
        if batch.step_complete and events:
            self._check_numbering(events[-1].sequence, batch.market_time_ns)
        for update in await self.venue.on_events(events, batch.market_time_ns):
            if isinstance(update, VenueTrade):
                self._trades.inc()
            elif isinstance(update, VenueReject) or update.state is VenueOrderState.REJECTED:
                self._rejects.labels(update.reason.name).inc()
            self._post_all(wire.update_to_wire(update))

    def _check_numbering(self, last_sequence: int, market_time_ns: int) -> None:
        """Refuse or renumber a step that ends before the last matched event: another market, or a restarted source."""
        state = self.venue.engine.state
        matched = state.last_sequence
        if last_sequence >= matched:
            return
        if self.feed.lockstep and 0 < state.market_time_ns - market_time_ns <= self._repeated_ns:
            return
        message = f"the market is at event {last_sequence}, and event {matched} has been matched in {self._store.path}"
        if self.feed.lockstep:
            raise StoreError(f"{message}: the state directory belongs to another market")
        self.log.warning("the market was renumbered", reason=message)
        self.venue.engine.renumber()

    # --- Execution ---------------------------------------------------------------------------------------------------

    async def _trade(self, stream: TradeStream) -> None:
        if self._last_marker is not None:
            stream.post(wire.update_to_wire(self._last_marker))
        self._streams.add(stream)
        try:
            async for request in stream:
                self._on_request(stream, request)
        finally:
            self._streams.discard(stream)

    def _on_request(self, stream: TradeStream, message: venue_pb2.TradeRequest) -> None:
        kind = message.WhichOneof("message") or "empty"
        if kind == "marker":
            self.execution_marker.advance(message.marker.step)
            return
        self._requests.labels(kind).inc()
        if kind == "empty":
            self.log.warning("a request without content was ignored", caller=stream.peer.role)
            return
        try:
            refused = self.venue.request(wire.request_from_wire(message))
        except ValueError as error:
            refused = VenueReject(
                client_order_id=getattr(message, kind).client_order_id,
                request=RequestKind(kind),
                reason=Reason.INVALID_INTENT,
                message=str(error),
                market_time_ns=self.venue.engine.state.market_time_ns,
            )
        if refused is not None:
            self.log.warning("request refused", client_order_id=refused.client_order_id, reason=refused.message)
            self._rejects.labels(refused.reason.name).inc()
            stream.post(wire.update_to_wire(refused))

    def _post_all(self, response: venue_pb2.TradeResponse) -> None:
        for stream in self._streams:
            stream.post(response)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            heartbeat = VenueHeartbeat(
                wall_time_ns=time.time_ns(),
                last_trade_sequence=self.venue.engine.state.last_trade_sequence,
                deposits=self.venue.engine.state.deposits,
            )
            self._post_all(wire.update_to_wire(heartbeat))
            self.venue.tidy()

    # --- queries -----------------------------------------------------------------------------------------------------

    async def _get_order(self, request: venue_pb2.GetVenueOrderRequest, _peer: Peer) -> venue_pb2.GetVenueOrderResponse:
        order = self.venue.engine.order(request.client_order_id)
        if order is None:
            return venue_pb2.GetVenueOrderResponse(found=False)
        return venue_pb2.GetVenueOrderResponse(found=True, order=wire.order_to_wire(order))

    async def _list_open_orders(
        self, _request: venue_pb2.ListOpenOrdersRequest, _peer: Peer
    ) -> venue_pb2.ListOpenOrdersResponse:
        orders = [wire.order_to_wire(order) for order in self.venue.engine.open_orders()]
        return venue_pb2.ListOpenOrdersResponse(orders=orders)

    async def _list_trades(
        self, request: venue_pb2.ListVenueTradesRequest, _peer: Peer
    ) -> venue_pb2.ListVenueTradesResponse:
        limit = min(request.limit or _TRADES_DEFAULT, _TRADES_MOST)
        trades = self.venue.engine.trades_after(request.after_sequence, limit)
        return venue_pb2.ListVenueTradesResponse(trades=[wire.trade_to_wire(trade) for trade in trades])

    async def _get_account(self, _request: venue_pb2.GetAccountRequest, _peer: Peer) -> venue_pb2.GetAccountResponse:
        return wire.account_to_wire(self.venue.account())

    async def _transfer(self, request: venue_pb2.TransferRequest, _peer: Peer) -> venue_pb2.TransferResponse:
        try:
            transfer = wire.transfer_from_wire(request)
        except ValueError as error:
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        refused = self.venue.transfer(transfer)
        reason, message = refused or (Reason.OK, "")
        state = self.venue.engine.state
        return venue_pb2.TransferResponse(
            done=refused is None,
            reason=reason.value,  # type: ignore[arg-type]
            message=message,
            deposits=format_decimal(state.deposits),
            cash=format_decimal(state.balances[CURRENCY]),
        )


def main() -> None:
    """Run the papervenue process."""
    run(PaperVenueApp)


if __name__ == "__main__":
    main()
