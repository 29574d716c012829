"""Requests to the paper venue and its updates: between the domain's records and the wire's messages.

Decimals cross as canonical strings (empty reads as zero), enumerations by their number, which both sides share.
"""

from __future__ import annotations

from decimal import Decimal

from titan.domain.enums import OrderType, Side, TimeInForce
from titan.domain.numbers import ZERO, format_decimal, parse_decimal
from titan.domain.reasons import Reason
from titan.domain.venue import (
    AmendOrder,
    CancelOrder,
    OrderRequest,
    RequestKind,
    SendOrder,
    Transfer,
    VenueAccount,
    VenueHeartbeat,
    VenueMarker,
    VenueOrder,
    VenueOrderState,
    VenuePosition,
    VenueReject,
    VenueTrade,
)
from titan.v1 import common_pb2
from titan.v1 import venue_pb2 as pb
from titan.wire.fields import enum_number, optional_decimal, read_decimal, read_enum

LONGEST_TRANSFER_ID = 64
LARGEST_TRANSFER = Decimal(10) ** 9

VenueUpdate = VenueOrder | VenueTrade | VenueReject | VenueMarker | VenueHeartbeat


def request_to_wire(request: OrderRequest) -> pb.TradeRequest:
    """Write a request."""
    if isinstance(request, SendOrder):
        return pb.TradeRequest(
            send=pb.VenueSend(
                client_order_id=request.client_order_id,
                symbol=request.symbol,
                side=enum_number(request.side),
                type=enum_number(request.type),
                time_in_force=enum_number(request.time_in_force),
                quantity=format_decimal(request.quantity),
                limit_price=optional_decimal(request.limit_price),
                trigger_price=optional_decimal(request.trigger_price),
                reduce_only=request.reduce_only,
                market_time_ns=request.market_time_ns,
                signed_at_ns=request.signed_at_ns,
                receive_window_ms=request.receive_window_ms,
            )
        )
    if isinstance(request, CancelOrder):
        return pb.TradeRequest(
            cancel=pb.VenueCancel(
                client_order_id=request.client_order_id,
                market_time_ns=request.market_time_ns,
                signed_at_ns=request.signed_at_ns,
                receive_window_ms=request.receive_window_ms,
            )
        )
    return pb.TradeRequest(
        amend=pb.VenueAmend(
            client_order_id=request.client_order_id,
            quantity=optional_decimal(request.quantity),
            limit_price=optional_decimal(request.limit_price),
            trigger_price=optional_decimal(request.trigger_price),
            market_time_ns=request.market_time_ns,
            signed_at_ns=request.signed_at_ns,
            receive_window_ms=request.receive_window_ms,
        )
    )


def request_from_wire(message: pb.TradeRequest) -> OrderRequest:
    """Read a send, cancel or amend.

    Raises
    ------
    ValueError
        For a decimal that is not canonical, an enumeration without a name, or no request at all; names the field.
    """
    kind = message.WhichOneof("message")
    if kind == "send":
        send = message.send
        return SendOrder(
            client_order_id=send.client_order_id,
            symbol=send.symbol,
            side=read_enum(Side, send.side, "send.side"),
            type=read_enum(OrderType, send.type, "send.type"),
            time_in_force=read_enum(TimeInForce, send.time_in_force, "send.time_in_force"),
            quantity=read_decimal(send.quantity, "send.quantity"),
            limit_price=read_decimal(send.limit_price, "send.limit_price"),
            trigger_price=read_decimal(send.trigger_price, "send.trigger_price"),
            reduce_only=send.reduce_only,
            market_time_ns=send.market_time_ns,
            signed_at_ns=send.signed_at_ns,
            receive_window_ms=send.receive_window_ms,
        )
    if kind == "cancel":
        cancel = message.cancel
        return CancelOrder(
            client_order_id=cancel.client_order_id,
            market_time_ns=cancel.market_time_ns,
            signed_at_ns=cancel.signed_at_ns,
            receive_window_ms=cancel.receive_window_ms,
        )
    if kind == "amend":
        amend = message.amend
        return AmendOrder(
            client_order_id=amend.client_order_id,
            quantity=read_decimal(amend.quantity, "amend.quantity"),
            limit_price=read_decimal(amend.limit_price, "amend.limit_price"),
            trigger_price=read_decimal(amend.trigger_price, "amend.trigger_price"),
            market_time_ns=amend.market_time_ns,
            signed_at_ns=amend.signed_at_ns,
            receive_window_ms=amend.receive_window_ms,
        )
    raise ValueError(f"message: {kind!r} is no request; allowed are send, cancel and amend")


def order_to_wire(order: VenueOrder) -> pb.VenueOrder:
    """Write an order of the venue."""
    return pb.VenueOrder(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol=order.symbol,
        side=enum_number(order.side),
        type=enum_number(order.type),
        time_in_force=enum_number(order.time_in_force),
        quantity=format_decimal(order.quantity),
        filled_quantity=format_decimal(order.filled_quantity),
        average_price=optional_decimal(order.average_price),
        limit_price=optional_decimal(order.limit_price),
        trigger_price=optional_decimal(order.trigger_price),
        reduce_only=order.reduce_only,
        state=enum_number(order.state),
        reason=enum_number(order.reason),
        message=order.message,
        market_time_ns=order.market_time_ns,
    )


def order_from_wire(message: pb.VenueOrder) -> VenueOrder:
    """Read an order of the venue.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or an enumeration without a name; names the field.
    """
    return VenueOrder(
        client_order_id=message.client_order_id,
        venue_order_id=message.venue_order_id,
        symbol=message.symbol,
        side=read_enum(Side, message.side, "order.side"),
        type=read_enum(OrderType, message.type, "order.type"),
        time_in_force=read_enum(TimeInForce, message.time_in_force, "order.time_in_force"),
        quantity=read_decimal(message.quantity, "order.quantity"),
        filled_quantity=read_decimal(message.filled_quantity, "order.filled_quantity"),
        average_price=read_decimal(message.average_price, "order.average_price"),
        limit_price=read_decimal(message.limit_price, "order.limit_price"),
        trigger_price=read_decimal(message.trigger_price, "order.trigger_price"),
        reduce_only=message.reduce_only,
        state=read_enum(VenueOrderState, message.state, "order.state"),
        reason=read_enum(Reason, message.reason, "order.reason"),
        message=message.message,
        market_time_ns=message.market_time_ns,
    )


def trade_to_wire(trade: VenueTrade) -> pb.VenueTrade:
    """Write a trade of the venue."""
    return pb.VenueTrade(
        sequence=trade.sequence,
        trade_id=trade.trade_id,
        client_order_id=trade.client_order_id,
        symbol=trade.symbol,
        side=enum_number(trade.side),
        quantity=format_decimal(trade.quantity),
        price=format_decimal(trade.price),
        fee=format_decimal(trade.fee),
        fee_currency=trade.fee_currency,
        maker=trade.maker,
        market_time_ns=trade.market_time_ns,
    )


def trade_from_wire(message: pb.VenueTrade) -> VenueTrade:
    """Read a trade of the venue.

    Raises
    ------
    ValueError
        For a decimal that is not canonical or a side without a name; names the field.
    """
    return VenueTrade(
        sequence=message.sequence,
        trade_id=message.trade_id,
        client_order_id=message.client_order_id,
        symbol=message.symbol,
        side=read_enum(Side, message.side, "trade.side"),
        quantity=read_decimal(message.quantity, "trade.quantity"),
        price=read_decimal(message.price, "trade.price"),
        fee=read_decimal(message.fee, "trade.fee"),
        fee_currency=message.fee_currency,
        maker=message.maker,
        market_time_ns=message.market_time_ns,
    )


def update_to_wire(update: VenueUpdate) -> pb.TradeResponse:
    """Write an update of the venue."""
    if isinstance(update, VenueOrder):
        return pb.TradeResponse(order=order_to_wire(update))
    if isinstance(update, VenueTrade):
        return pb.TradeResponse(trade=trade_to_wire(update))
    if isinstance(update, VenueReject):
        return pb.TradeResponse(
            reject=pb.VenueReject(
                client_order_id=update.client_order_id,
                request=update.request.value,
                reason=enum_number(update.reason),
                message=update.message,
                market_time_ns=update.market_time_ns,
            )
        )
    if isinstance(update, VenueMarker):
        marker = common_pb2.StepMarker(step=update.step, market_time_ns=update.market_time_ns)
        return pb.TradeResponse(marker=marker, quiet=update.quiet)
    return pb.TradeResponse(
        heartbeat=pb.VenueHeartbeat(
            wall_time_ns=update.wall_time_ns,
            last_trade_sequence=update.last_trade_sequence,
            deposits="" if update.deposits is None else format_decimal(update.deposits),
        )
    )


def update_from_wire(message: pb.TradeResponse) -> VenueUpdate:
    """Read an update of the venue.

    Raises
    ------
    ValueError
        For a message without a known update, or with an invalid field, which it names.
    """
    kind = message.WhichOneof("message")
    if kind == "order":
        return order_from_wire(message.order)
    if kind == "trade":
        return trade_from_wire(message.trade)
    if kind == "reject":
        reject = message.reject
        return VenueReject(
            client_order_id=reject.client_order_id,
            request=RequestKind(reject.request),
            reason=read_enum(Reason, reject.reason, "reject.reason"),
            message=reject.message,
            market_time_ns=reject.market_time_ns,
        )
    if kind == "marker":
        marker = message.marker
        return VenueMarker(step=marker.step, market_time_ns=marker.market_time_ns, quiet=message.quiet)
    if kind == "heartbeat":
        heartbeat = message.heartbeat
        return VenueHeartbeat(
            wall_time_ns=heartbeat.wall_time_ns,
            last_trade_sequence=heartbeat.last_trade_sequence,
            deposits=parse_decimal(heartbeat.deposits, "heartbeat.deposits") if heartbeat.deposits else None,
        )
    raise ValueError(f"message: {kind!r} is no update; allowed are order, trade, reject, marker and heartbeat")


def account_to_wire(account: VenueAccount) -> pb.GetAccountResponse:
    """Write balances and positions."""
    return pb.GetAccountResponse(
        balances=[pb.Balance(asset=asset, total=format_decimal(total)) for asset, total in account.balances.items()],
        positions=[
            pb.VenuePosition(
                symbol=each.symbol,
                quantity=format_decimal(each.quantity),
                average_entry_price=format_decimal(each.average_entry_price),
            )
            for each in account.positions
        ],
        market_time_ns=account.market_time_ns,
        wall_time_ns=account.wall_time_ns,
        last_trade_sequence=account.last_trade_sequence,
        deposits=format_decimal(account.deposits),
    )


def account_from_wire(message: pb.GetAccountResponse) -> VenueAccount:
    """Read balances and positions.

    Raises
    ------
    ValueError
        For a decimal that is not canonical; names the field.
    """
    return VenueAccount(
        balances={each.asset: read_decimal(each.total, "balance.total") for each in message.balances},
        positions=tuple(
            VenuePosition(
                symbol=each.symbol,
                quantity=read_decimal(each.quantity, "position.quantity"),
                average_entry_price=read_decimal(each.average_entry_price, "position.average_entry_price"),
            )
            for each in message.positions
        ),
        deposits=read_decimal(message.deposits, "account.deposits"),
        market_time_ns=message.market_time_ns,
        wall_time_ns=message.wall_time_ns,
        last_trade_sequence=message.last_trade_sequence,
    )


def transfer_from_wire(message: pb.TransferRequest) -> Transfer:
    """Read a transfer.

    Raises
    ------
    ValueError
        For an id that is empty or too long, or an amount that is not canonical, 0 or too large.
    """
    if not 0 < len(message.transfer_id) <= LONGEST_TRANSFER_ID:
        raise ValueError(
            f"transfer_id: {message.transfer_id!r} is not allowed; allowed are 1 to {LONGEST_TRANSFER_ID} characters"
        )
    amount = parse_decimal(message.amount, "amount")
    if amount == ZERO or abs(amount) > LARGEST_TRANSFER:
        raise ValueError(f"amount: {message.amount} is not allowed; allowed are up to {LARGEST_TRANSFER}, and not 0")
    return Transfer(message.transfer_id, amount)
